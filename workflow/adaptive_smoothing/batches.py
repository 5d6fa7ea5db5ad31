"""Images on the device: batches, their order and their augmentation, all functions of (seed, epoch)."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from adaptive_smoothing.datasets import Prepared

PADDING = 4  # pixels around an image before a crop (I)
EVALUATION_BATCH = 1000


class Batches(Protocol):
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


def opened(
    prepared: Prepared,
    part: str,
    rows: NDArray[np.int64] | None,
    device: torch.device,
    channels_last: bool,
    workers: int,
    root: str,
) -> Batches:
    """Return the images of `part` ('train' or 'test') in `rows` (None: all).

    Images that stay on disk are decoded by so many `workers` from below the folder `root`.
    """
    images = prepared.arrays.train_images if part == "train" else prepared.arrays.test_images
    if (decode := prepared.arrays.decode) is None:
        return ImageBatches(images, prepared.mean, prepared.std, device, channels_last, rows)
    # By name, so that only a run on such a dataset depends on this code.
    on_disk = importlib.import_module("adaptive_smoothing.file_batches")
    paths = images if rows is None else images[rows]
    batches: Batches = on_disk.FileBatches(
        paths, Path(root), decode, prepared.mean, prepared.std, device, channels_last, workers
    )
    return batches


class Normalisation:
    """Makes uint8 images floats with the dataset's mean 0 and standard deviation 1 per channel."""

    def __init__(
        self, mean: NDArray[np.float32], std: NDArray[np.float32], device: torch.device, channels_last: bool
    ) -> None:
        """Take `mean` and `std` per channel, of values in 0–1."""
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.mean = torch.from_numpy(mean).to(device).view(1, -1, 1, 1)
        self.std = torch.from_numpy(std).to(device).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Return B × C × H × W images as floats in the memory format asked for."""
        scaled = (images.to(torch.float32) / 255 - self.mean) / self.std
        return scaled.contiguous(memory_format=self.memory_format)


class ImageBatches:
    """The images of one part of a dataset, uint8: on a GPU a copy, on the CPU the memory-mapped file itself.

    So two jobs on one machine share the pages of their dataset.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
        device: torch.device,
        channels_last: bool = False,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Take `rows` (None: all) of N × C × H × W images; `mean` and `std` are per channel, of values in 0–1."""
        self.normalised = Normalisation(mean, std, device, channels_last)
        chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
        mapped = torch.from_numpy(images)
        self.images = mapped if device.type == "cpu" else mapped[chosen].to(device)
        self.rows = chosen if device.type == "cpu" else torch.arange(len(chosen), device=device)

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Tensor]:
        """Yield all images in dataset order, without augmentation."""
        for rows in self.rows.split(batch_size):
            yield self.normalised(self.images[rows])

    def shuffled(
        self, batch_size: int, augment: Sequence[str], seed: int, epoch: int, skipped: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, indices) of one epoch in an order, and with an augmentation, that (seed, epoch) determine.

        A resumed run leaves out the first `skipped` batches, which it has seen.
        """
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(self), generator=generator)
        draws = _Draws(len(self), generator, self.images.device)
        for indices in order.to(self.images.device).split(batch_size)[skipped:]:
            images = self.images[self.rows[indices]]
            if "crop" in augment:
                images = cropped(images, draws.offsets[indices])
            if "flip" in augment:
                images = flipped(images, draws.flips[indices])
            yield self.normalised(images), indices


class _Draws:
    """One epoch's random decisions for each example, drawn on the CPU so that every device sees the same."""

    def __init__(self, size: int, generator: torch.Generator, device: torch.device) -> None:
        self.offsets = torch.randint(0, 2 * PADDING + 1, (size, 2), generator=generator).to(device)
        self.flips = (torch.rand(size, generator=generator) < 0.5).to(device)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed for (seed, epoch); different pairs give unrelated streams."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def cropped(images: Tensor, offsets: Tensor) -> Tensor:
    """Return crops of the original size out of images padded with zeros (4 pixels), at offsets B × 2 in 0 … 8."""
    padded = functional.pad(images, (PADDING,) * 4)
    height, width = images.shape[-2:]
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flipped(images: Tensor, flips: Tensor) -> Tensor:
    """Return the images, mirrored left to right where `flips` (B, bool) says so."""
    return torch.where(flips[:, None, None, None], images.flip(-1), images)
