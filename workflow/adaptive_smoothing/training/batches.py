"""Images on the device: batches, their order and their augmentation, all functions of (seed, epoch)."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.types import Prepared
from adaptive_smoothing.training.augment import Normalisation

EVALUATION_BATCH = 1000


class ImageSource(Protocol):
    """Images of one part of a dataset, handed out as normalised float batches (B × C × H × W) on the device."""

    def __len__(self) -> int: ...

    def in_order(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Tensor]:
        """Yield all images in dataset order, without augmentation."""
        ...

    def shuffled(
        self, batch_size: int, augment: Sequence[str], seed: int, epoch: int, skipped: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, indices) of one epoch in an order, and with an augmentation, that (seed, epoch) determine."""
        ...


@contextlib.contextmanager
def deaths_of_decoders() -> Iterator[None]:
    """Turn the death of a process that decodes images into one sentence.

    torch raises it from a signal's handler, so it may come out of any line.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise UserError(
            f"a process that decodes images died ({error}); the job's memory (mem_mb) or /dev/shm may be too small; "
            "write fewer 'threads' in the setup's resources (1: no such processes), or give the job more memory"
        ) from error


def open_source(
    prepared: Prepared,
    part: str,
    rows: NDArray[np.int64] | None,
    device: torch.device,
    channels_last: bool,
    workers: int,
    root: Path,
) -> ImageSource:
    """Return the images of `part` ('train' or 'test') in `rows` (None: all), by the dataset's own file of sources/.

    Images that stay on disk are decoded from files below `root` by `workers` processes (0: by this one).
    """
    images = prepared.arrays.train_images if part == "train" else prepared.arrays.test_images
    normalise = Normalisation(prepared.mean, prepared.std, device, channels_last)
    source: ImageSource = registry.load("source", prepared.arrays.image_source).open_images(
        images, rows, prepared.arrays.decode, normalise, workers, root
    )
    return source
