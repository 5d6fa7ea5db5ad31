"""IVON as the README of `ivon-opt` teaches it: sampled_params around forward and backward, then step."""

from typing import Any

import torch
from ivon import IVON
from reference.common import test_accuracy
from torch import Tensor, nn
from torch.utils.data import DataLoader

Loader = DataLoader[tuple[Tensor, int]]


def train(
    model: nn.Module, loader: Loader, test: Loader, epochs: int, evaluate_every: int, settings: dict[str, Any]
) -> float:
    """Train; return the last test accuracy, at the posterior's mean."""
    criterion = nn.CrossEntropyLoss()
    optimizer = IVON(
        model.parameters(),
        lr=settings["lr"],
        ess=settings["ess_per_example"] * settings["train_size"],
        hess_init=settings["hess_init"],
        beta1=settings["beta1"],
        beta2=settings["beta2"],
        weight_decay=settings["weight_decay"],
        mc_samples=settings["train_mc_samples"],
    )
    warm_up = settings["schedule"]["warmup_epochs"] * len(loader)
    rising = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warm_up, 1.0, warm_up - 1)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader) - warm_up)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [warm_up])
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        running_loss = 0.0
        for images, labels in loader:
            for _ in range(settings["train_mc_samples"]):
                with optimizer.sampled_params(train=True):
                    optimizer.zero_grad()
                    loss = criterion(model(images), labels)
                    loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss += loss.item()
        if epoch % evaluate_every == 0 or epoch == epochs:
            accuracy = test_accuracy(model, test)
    return accuracy
