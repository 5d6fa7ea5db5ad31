"""From a run's specification to its network, with pretrained weights if the model's options name some."""

from pathlib import Path

from torch import nn

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import types


def build_model(spec: RunSpec, prepared: types.Prepared) -> nn.Module:
    """Return the specification's network for the prepared dataset, initialised from torch's global generator."""
    module = registry.load("model", spec.model.name)
    channels, height, width = prepared.arrays.image_shape
    model: nn.Module = module.build(
        module.Options(**spec.model.options), channels, (height, width), len(prepared.arrays.classes)
    )
    return model


def load_pretrained(network: nn.Module, spec: RunSpec, root: Path, fetch: bool) -> None:
    """Load pretrained weights if the model's options name some, and log which.

    `root` is the folder of weight files, into which they are downloaded if `fetch`.
    """
    module = registry.load("model", spec.model.name)
    if (load := getattr(module, "load_pretrained", None)) is not None:
        published = spec.dataset.variant is None
        if (weights := load(network, module.Options(**spec.model.options), root, published, fetch)) is not None:
            log(f"pretrained weights: {weights}")
