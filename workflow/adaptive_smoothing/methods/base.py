"""What a method is: the base class of all of them, and pieces that several share.

The one loop (training/loop.py) calls `set_learning_rate` and `step` for every batch, `epoch_end` after
every epoch, and evaluates with `evaluation_mode` around it.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import BaseHyperparameters, SGDHyperparameters

Batches = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class Context:
    """What a method may know of its run: N training examples and K classes."""

    train_size: int
    classes: int


class Method(ABC):
    """One way of training `model`; owns the loss, the optimizer step and its own state."""

    optimizer: torch.optim.Optimizer
    gradients_per_step: int = 1  # forward and backward passes of a batch in one `step`

    def __init__(self, model: nn.Module, hyperparameters: BaseHyperparameters, context: Context) -> None:
        """Keep the model; subclasses make their optimizer from `hyperparameters`."""
        self.model = model
        self.context = context

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Do one optimisation step on a batch.

        Args: images B × C × H × W (normalised), labels B (int64), indices B (the examples' places in the training
        set). Returns the loss at the step's start, a detached scalar.
        """

    def epoch_end(self) -> None:  # noqa: B027 (most methods do nothing here)
        """Update what changes once an epoch."""

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the next step, in place where it is a tensor: a captured step reads it there."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value

    @contextlib.contextmanager
    def evaluation_mode(self, batches: Batches) -> Iterator[None]:
        """Hold the model ready for evaluation; `batches` yields clean training images where statistics need them."""
        yield

    def sampled_weights(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that holds a draw from the posterior in the model; only where `posterior_std` gives one."""
        raise NotImplementedError(f"{type(self).__module__} has no posterior")

    def posterior_std(self) -> dict[str, Tensor] | None:
        """Return the posterior's standard deviation of each parameter by name (None: no posterior)."""
        return None

    def soft_labels(self) -> Tensor | None:
        """Return the K × K label vectors that training aims at, row y for label y (None: no such fixed table)."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the model's own state that a resumed run needs."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        device = next(self.model.parameters()).device
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"] = group["lr"].to(device)


def method_class(module: ModuleType) -> type[Method]:
    """Return the subclass of Method that a method's file declares; raise UserError unless there is exactly one."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    declared = [value for value in own if issubclass(value, Method)]
    if len(declared) != 1:
        raise UserError(f"{module.__file__}: declares {len(declared)} subclasses of Method; every method declares one")
    return declared[0]


def sgd(model: nn.Module, hyperparameters: SGDHyperparameters) -> torch.optim.SGD:
    """Return SGD with momentum and L2 weight decay on all parameters (batch-norm ones included).

    On a GPU the learning rate is a tensor there, which a captured step reads anew every time.
    """
    device = next(model.parameters()).device
    return torch.optim.SGD(
        model.parameters(),
        lr=hyperparameters.lr if device.type == "cpu" else torch.tensor(hyperparameters.lr, device=device),
        momentum=hyperparameters.momentum,
        weight_decay=hyperparameters.weight_decay,
        fused=True,
    )


def smoothed_labels(classes: int, alpha: float, device: torch.device | None = None) -> Tensor:
    """Return the K × K table of smoothed labels, row y: y' = (1 - α) y + (α / K) 1 (Eq. 1)."""
    return (1.0 - alpha) * torch.eye(classes, device=device) + alpha / classes
