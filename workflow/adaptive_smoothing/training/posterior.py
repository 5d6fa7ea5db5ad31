"""posterior.pt: the trained weights, their standard deviations and the method's soft labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.methods.base import Batches, Method


def save_posterior(path: str | Path, method: Method, batches: Batches, check: Callable[[], None] | None = None) -> None:
    """Write the weights (a posterior's mean), standard deviations and soft labels of a method, the latter or None.

    `batches` yields clean training images, where the method's statistics need them. `check` may forbid the writing by
    an error.
    """
    with method.evaluation_mode(batches):
        soft = method.soft_labels()
        state = {
            "model": {name: value.cpu() for name, value in method.model.state_dict().items()},
            "std": _on_cpu(method.posterior_std()),
            "soft_labels": _on_cpu(None if soft is None else {"soft_labels": soft}),
        }
    with atomic_write(path, check) as temporary:
        torch.save(state, temporary)


def load_posterior(path: str | Path) -> dict[str, Any]:
    """Return what `save_posterior` wrote; raise UserError for a damaged file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise UserError(f"{path}: is damaged ({type(error).__name__}); delete it and run again") from error
    return state


def _on_cpu(tensors: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if tensors is None else {name: tensor.detach().clone().cpu() for name, tensor in tensors.items()}
