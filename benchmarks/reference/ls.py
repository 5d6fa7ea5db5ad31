"""Label smoothing as a plain PyTorch script does it: CrossEntropyLoss(label_smoothing=α), SGD, MultiStepLR."""

from typing import Any

import torch
from reference.common import test_accuracy
from torch import Tensor, nn
from torch.utils.data import DataLoader

Loader = DataLoader[tuple[Tensor, int]]


def train(
    model: nn.Module, loader: Loader, test: Loader, epochs: int, evaluate_every: int, settings: dict[str, Any]
) -> float:
    """Train; return the last test accuracy."""
    criterion = nn.CrossEntropyLoss(label_smoothing=settings["alpha"])
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    schedule = settings["schedule"]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, schedule["milestones"], schedule["factor"])
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        running_loss = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        scheduler.step()
        if epoch % evaluate_every == 0 or epoch == epochs:
            accuracy = test_accuracy(model, test)
    return accuracy
