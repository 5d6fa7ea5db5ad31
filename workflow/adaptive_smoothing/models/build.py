"""From a run's specification to its network: built from the registered file, pretrained weights where it names some."""

from pathlib import Path
from typing import Any

from torch import nn

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.log import log
from adaptive_smoothing.data import types


def build_model(specification: dict[str, Any], prepared: types.Prepared) -> nn.Module:
    """Return the specification's network for the prepared dataset, initialised from torch's global generator."""
    wanted = specification["model"]
    module = registry.load("model", wanted["name"])
    channels, height, width = prepared.arrays.image_shape
    model: nn.Module = module.build(
        module.Options(**wanted["options"]), channels, (height, width), len(prepared.arrays.classes)
    )
    return model


def load_pretrained(network: nn.Module, specification: dict[str, Any], root: Path, fetch: bool) -> None:
    """Load pretrained weights where the model's options name some, and log which."""
    wanted = specification["model"]
    module = registry.load("model", wanted["name"])
    if (load := getattr(module, "load_pretrained", None)) is not None:
        published = specification["dataset"]["variant"] is None
        if (what := load(network, module.Options(**wanted["options"]), root, published, fetch)) is not None:
            log(f"pretrained weights: {what}")
