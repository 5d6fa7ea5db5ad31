"""Batch normalisation's running statistics, where a method trains at other weights than those it evaluates."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def layers(model: nn.Module) -> list[_BatchNorm]:
    """Return the model's batch-norm layers that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


@contextlib.contextmanager
def without_running_updates(model: nn.Module) -> Iterator[None]:
    """Leave running means and variances as they are while the model runs in training mode."""
    changed = [(layer, layer.momentum) for layer in layers(model)]
    for layer, _ in changed:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in changed:
            layer.momentum = momentum


@torch.no_grad()
def recompute_statistics(model: nn.Module, batches: Callable[[], Iterator[Tensor]]) -> None:
    """Replace the running statistics by the average over `batches` (B × C × H × W) at the weights as they are."""
    changed = [(layer, layer.momentum) for layer in layers(model)]
    if not changed:
        return
    was_training = model.training
    for layer, _ in changed:
        layer.reset_running_stats()
        layer.momentum = None  # the cumulative average
    model.train()
    try:
        for images in batches():
            model(images)
    finally:
        for layer, momentum in changed:
            layer.momentum = momentum
        model.train(was_training)
