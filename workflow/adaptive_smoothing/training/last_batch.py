"""Whether a network can train on an epoch's last batch: batch normalisation needs more than one value a channel."""

from collections.abc import Iterable

import torch

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data.types import Prepared
from adaptive_smoothing.models.build import build_model
from adaptive_smoothing.training.batches import EVALUATION_BATCH


def check_last_batch(spec: RunSpec, prepared: Prepared, size: int) -> None:
    """Raise UserError if an epoch over `size` training images ends with a batch that is too small for the network."""
    if 1 not in _last_batches(spec, size) or _takes_one_image(spec, prepared):
        return
    _, height, width = prepared.arrays.image_shape
    raise UserError(
        f"setup of dataset '{spec.dataset.key}': batch_size {spec.batch_size} is not allowed; {size} training images "
        f"leave a last batch of one image, which the batch normalisation of {spec.model.name} cannot take at "
        f"{height} × {width} pixels; choose another batch_size"
    )


def _last_batches(spec: RunSpec, size: int) -> Iterable[int]:
    """Return the sizes of the last batches of an epoch, and of a pass that estimates running statistics anew."""
    batch_sizes = [spec.batch_size]
    if spec.hyperparameters.get("batch_norm") == "mean":
        batch_sizes.append(EVALUATION_BATCH)
    return [size % batch_size or min(batch_size, size) for batch_size in batch_sizes]


def _takes_one_image(spec: RunSpec, prepared: Prepared) -> bool:
    """Return whether the network can train on one image. Nothing is computed: tensors of 'meta' have shapes alone."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        network = build_model(spec, prepared).train()
        try:
            network(torch.empty(1, *prepared.arrays.image_shape))
        except ValueError:  # "Expected more than 1 value per channel when training"
            return False
    return True
