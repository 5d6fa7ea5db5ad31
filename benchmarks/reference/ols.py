"""Online label smoothing as its PyTorch implementations teach it: a loss module that is told when an epoch ends."""

from typing import Any

import torch
from reference.common import test_accuracy
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

Loader = DataLoader[tuple[Tensor, int]]


class OnlineLabelSmoothing(nn.Module):
    """α × cross-entropy to the hard label + (1 - α) × cross-entropy to the class's mean prediction of last epoch."""

    def __init__(self, alpha: float, classes: int, smoothing: float) -> None:
        """Start from labels smoothed by `smoothing`, which are all there is in the first epoch."""
        super().__init__()
        self.alpha = alpha
        self.first_epoch = True
        self.soft = (1 - smoothing) * torch.eye(classes) + smoothing / classes
        self.update = torch.zeros(classes, classes)
        self.count = torch.zeros(classes)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, and in training note the predictions that are right."""
        soft_loss = -(self.soft[labels] * functional.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
        if self.training:
            self.note(logits.softmax(dim=-1), labels)
        if self.first_epoch:
            return soft_loss
        hard_loss: Tensor = functional.cross_entropy(logits, labels)
        return self.alpha * hard_loss + (1 - self.alpha) * soft_loss

    @torch.no_grad()
    def note(self, predictions: Tensor, labels: Tensor) -> None:
        """Add the right predictions to their classes' sums."""
        right = predictions.argmax(dim=-1) == labels
        self.update.index_add_(0, labels[right], predictions[right])
        self.count.index_add_(0, labels[right], torch.ones(int(right.sum().item())))

    def next_epoch(self) -> None:
        """Make the means of the epoch the next one's soft labels."""
        seen = self.count > 0
        self.soft[seen] = self.update[seen] / self.count[seen, None]
        self.update.zero_()
        self.count.zero_()
        self.first_epoch = False


def train(
    model: nn.Module, loader: Loader, test: Loader, epochs: int, evaluate_every: int, settings: dict[str, Any]
) -> float:
    """Train; return the last test accuracy."""
    criterion = OnlineLabelSmoothing(settings["alpha"], settings["classes"], settings["first_epoch_alpha"])
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    schedule = settings["schedule"]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, schedule["milestones"], schedule["factor"])
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        criterion.train()
        running_loss = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        criterion.next_epoch()
        scheduler.step()
        if epoch % evaluate_every == 0 or epoch == epochs:
            accuracy = test_accuracy(model, test)
    return accuracy
