"""Images in memory: uint8 arrays, on a GPU a copy of them, on the CPU the memory-mapped file itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaptive_smoothing.data.types import Decode
from adaptive_smoothing.training.augment import EpochDraws, Normalisation, crop, epoch_seed, flip
from adaptive_smoothing.training.batches import EVALUATION_BATCH, ImageSource


def open_images(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64] | None,
    decode: Decode | None,
    normalise: Normalisation,
    workers: int,
    root: Path,
) -> ImageSource:
    """Return the images in `rows` (None: all); `decode`, `workers` and `root` are not used."""
    return MemoryBatches(images, normalise, rows)


class MemoryBatches:
    """The images of one part of a dataset, uint8: on a GPU a copy, on the CPU the memory-mapped file itself.

    So two jobs on one machine share the pages of their dataset.
    """

    def __init__(
        self, images: NDArray[np.uint8], normalise: Normalisation, rows: NDArray[np.int64] | None = None
    ) -> None:
        """Take `rows` (None: all) of N × C × H × W images."""
        self.normalise, device = normalise, normalise.device
        chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
        mapped = torch.from_numpy(images)
        self.images = mapped if device.type == "cpu" else mapped[chosen].to(device)
        self.rows = chosen if device.type == "cpu" else torch.arange(len(chosen), device=device)

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Tensor]:
        """Yield all images in dataset order, without augmentation."""
        for rows in self.rows.split(batch_size):
            yield self.normalise(self.images[rows])

    def shuffled(
        self, batch_size: int, augment: Sequence[str], seed: int, epoch: int, skipped: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, indices) of one epoch in an order, and with an augmentation, that (seed, epoch) determine.

        A resumed run leaves out the first `skipped` batches, which it has seen.
        """
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(self), generator=generator)
        draws = EpochDraws(len(self), generator, self.images.device)
        for indices in order.to(self.images.device).split(batch_size)[skipped:]:
            images = self.images[self.rows[indices]]
            if "crop" in augment:
                images = crop(images, draws.offsets[indices])
            if "flip" in augment:
                images = flip(images, draws.flips[indices])
            yield self.normalise(images), indices
