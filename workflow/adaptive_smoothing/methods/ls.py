"""ls: cross-entropy with label smoothing (Eq. 1) under SGD; α = 0 is plain SGD."""

from torch import Tensor, nn
from torch.nn import functional

from adaptive_smoothing.core.options import Fraction, SGDHyperparameters
from adaptive_smoothing.methods.base import Context, Method, sgd, smoothed_labels


class Hyperparameters(SGDHyperparameters):
    """SGD's, and the smoothing rate α."""

    alpha: Fraction


class LS(Method):
    """SGD on the cross-entropy to y' = (1 - α) y + (α / K) 1."""

    def __init__(self, model: nn.Module, hyperparameters: Hyperparameters, context: Context) -> None:
        super().__init__(model, hyperparameters, context)
        self.alpha = hyperparameters.alpha
        self.optimizer = sgd(model, hyperparameters)

    def step(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(images), labels, label_smoothing=self.alpha)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def soft_labels(self) -> Tensor:
        return smoothed_labels(self.context.classes, self.alpha)
