"""sam: sharpness-aware minimisation (Foret et al. 2021) under SGD; ρ = 0 is plain SGD at twice the cost.

The gradient is taken at θ + ρ g / ‖g‖, g the gradient at θ, the norm over all parameters together.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from adaptive_smoothing.core.options import Literal, NonNegative, SGDHyperparameters
from adaptive_smoothing.methods._batch_norm import without_running_updates
from adaptive_smoothing.methods.base import Context, Method, sgd

EPSILON = 1e-12  # keeps ρ g / ‖g‖ finite at a stationary point, as in Foret et al.'s code


class Hyperparameters(SGDHyperparameters):
    """SGD's, the neighbourhood size ρ, and which of the two passes updates batch-norm running statistics."""

    rho: NonNegative
    batch_norm: Literal["first_pass", "both_passes"]


class SAM(Method):
    """SGD with the gradient taken at the worst point of a ball of radius ρ (to first order)."""

    gradients_per_step = 2

    def __init__(self, model: nn.Module, hyperparameters: Hyperparameters, context: Context) -> None:
        super().__init__(model, hyperparameters, context)
        self.rho = hyperparameters.rho
        self.second_pass_updates = hyperparameters.batch_norm == "both_passes"
        self.optimizer = sgd(model, hyperparameters)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        loss = self._backward(images, labels)
        statistics = contextlib.nullcontext() if self.second_pass_updates else without_running_updates(self.model)
        with self._perturbed(), statistics:
            self._backward(images, labels)
        self.optimizer.step()
        return loss

    def _backward(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(images), labels)
        loss.backward()
        return loss.detach()

    @contextlib.contextmanager
    def _perturbed(self) -> Iterator[None]:
        """Hold the weights at θ + ρ g / ‖g‖, then put θ back bit for bit, errors included.

        The perturbed weights take the memory of the gradients, which are not needed any more: nothing is copied.
        """
        weights = [parameter.detach() for parameter in self.parameters]
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if len(gradients) < len(weights):
            raise ValueError("sam: a parameter that is trained got no gradient")
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, self.rho / (norm + EPSILON))
        torch._foreach_add_(gradients, weights)
        try:
            for parameter, perturbed in zip(self.parameters, gradients, strict=True):
                parameter.grad, parameter.data = None, perturbed
            yield
        finally:
            for parameter, weight in zip(self.parameters, weights, strict=True):
                parameter.data = weight
