"""posterior.pt: the trained weights, their standard deviations and the method's soft labels."""

from pathlib import Path
from typing import Any

import torch

from adaptive_smoothing.core.errors import UserError


def load_posterior(path: str | Path) -> dict[str, Any]:
    """Return what `Trainer.posterior` gave; raise UserError for a damaged file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise UserError(f"{path}: is damaged ({type(error).__name__}); delete it and run again") from error
    return state
