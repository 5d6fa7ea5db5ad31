"""SAM as the much-used PyTorch implementation teaches it: an optimizer around SGD with a first and a second step."""

from collections.abc import Iterable
from typing import Any

import torch
from reference.common import test_accuracy
from torch import Tensor, nn
from torch.utils.data import DataLoader

Loader = DataLoader[tuple[Tensor, int]]


class SAM(torch.optim.Optimizer):
    """Climbs to the worst point nearby (first_step), goes back and steps with the gradient there (second_step)."""

    def __init__(self, params: Iterable[nn.Parameter], rho: float, **kwargs: float) -> None:
        """Take SAM's ρ and SGD's own arguments."""
        super().__init__(params, {"rho": rho, **kwargs})
        self.base_optimizer = torch.optim.SGD(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        """Climb."""
        norms = [p.grad.norm(p=2) for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.norm(torch.stack(norms), p=2)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.state[p]["old_p"] = p.data.clone()
                    p.add_(p.grad * (group["rho"] / (norm + 1e-12)))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back and step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data = self.state[p]["old_p"]
        self.base_optimizer.step()
        self.zero_grad()


def update_running_statistics(model: nn.Module, on: bool) -> None:
    """Let batch norm's running statistics move, or not, by way of its momentum."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1 if on else 0.0


def train(
    model: nn.Module, loader: Loader, test: Loader, epochs: int, evaluate_every: int, settings: dict[str, Any]
) -> float:
    """Train; return the last test accuracy."""
    criterion = nn.CrossEntropyLoss()
    optimizer = SAM(
        model.parameters(),
        rho=settings["rho"],
        lr=settings["lr"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
    )
    schedule = settings["schedule"]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimizer.base_optimizer, schedule["milestones"], schedule["factor"]
    )
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        running_loss = 0.0
        for images, labels in loader:
            update_running_statistics(model, on=True)
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.first_step()
            update_running_statistics(model, on=False)
            criterion(model(images), labels).backward()
            optimizer.second_step()
            running_loss += loss.item()
        scheduler.step()
        if epoch % evaluate_every == 0 or epoch == epochs:
            accuracy = test_accuracy(model, test)
    return accuracy
