"""ols: online label smoothing (Zhang et al. 2021; Eq. 3–5) under SGD.

While an epoch runs, the softmax outputs of correctly predicted examples are summed by class; at its end each class's
mean becomes the soft label of that class for the next epoch. Loss = α CE(hard) + (1 - α) CE(soft). The first epoch
uses plain label smoothing. A class without a correct prediction keeps its soft label (the paper does not say).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adaptive_smoothing.core.options import Fraction, SGDHyperparameters
from adaptive_smoothing.methods.base import Context, Method, sgd, smoothed_labels


class Hyperparameters(SGDHyperparameters):
    """SGD's, the weight α of the hard label, and the smoothing rate of the first epoch."""

    alpha: Fraction
    first_epoch_alpha: Fraction


class OLS(Method):
    """SGD on a mixture of hard labels and the last epoch's mean prediction for the class."""

    def __init__(self, model: nn.Module, hyperparameters: Hyperparameters, context: Context) -> None:
        super().__init__(model, hyperparameters, context)
        self.alpha = hyperparameters.alpha
        self.optimizer = sgd(model, hyperparameters)
        device = next(model.parameters()).device
        classes = context.classes
        self.hard = torch.eye(classes, device=device)
        self.soft = smoothed_labels(classes, hyperparameters.first_epoch_alpha, device)
        self.targets = self.soft.clone()
        self.sums = torch.zeros(classes, classes, device=device)
        self.counts = torch.zeros(classes, device=device)

    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = functional.cross_entropy(logits, self.targets[labels])
        loss.backward()
        self.optimizer.step()
        self._collect(logits.detach(), labels)
        return loss.detach()

    def _collect(self, logits: Tensor, labels: Tensor) -> None:
        """Add the softmax outputs of correctly predicted examples to the row of their class."""
        correct = (logits.argmax(dim=1) == labels).to(logits.dtype)
        self.sums.index_add_(0, labels, logits.softmax(dim=1) * correct[:, None])
        self.counts.index_add_(0, labels, correct)

    def epoch_end(self) -> None:
        seen = self.counts[:, None] > 0
        # In place, for a captured step reads them where they are.
        self.soft.copy_(torch.where(seen, self.sums / self.counts.clamp(min=1.0)[:, None], self.soft))
        # CE is linear in the targets, so one mixed target equals the two mixed losses.
        self.targets.copy_(self.alpha * self.hard + (1.0 - self.alpha) * self.soft)
        self.sums.zero_()
        self.counts.zero_()

    def soft_labels(self) -> Tensor:
        return self.targets.clone()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self._tables()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, table in self._tables().items():
            table.copy_(state[name])

    def _tables(self) -> dict[str, Tensor]:
        return {"soft": self.soft, "targets": self.targets, "sums": self.sums, "counts": self.counts}
