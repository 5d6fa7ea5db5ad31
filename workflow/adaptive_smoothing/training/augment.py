"""Normalisation and augmentation of images on the device, all functions of (seed, epoch)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PADDING = 4  # pixels around an image before a crop (I)


class Normalisation:
    """Turns uint8 images into floats that have mean 0 and standard deviation 1 per channel over the dataset."""

    def __init__(
        self, mean: NDArray[np.float32], std: NDArray[np.float32], device: torch.device, channels_last: bool
    ) -> None:
        """Take `mean` and `std` per channel, of values in 0–1; `channels_last` lays batches out as NHWC, not NCHW."""
        self.device = device
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.mean = torch.from_numpy(mean).to(device).view(1, -1, 1, 1)
        self.std = torch.from_numpy(std).to(device).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Return B × C × H × W images on the device as normalised floats."""
        scaled = (images.to(torch.float32) / 255 - self.mean) / self.std
        return scaled.contiguous(memory_format=self.memory_format)


class EpochDraws:
    """One epoch's random decisions for each example, drawn on the CPU so that every device sees the same."""

    def __init__(self, size: int, generator: torch.Generator, device: torch.device) -> None:
        self.offsets = torch.randint(0, 2 * PADDING + 1, (size, 2), generator=generator).to(device)
        self.flips = (torch.rand(size, generator=generator) < 0.5).to(device)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed for (seed, epoch); different pairs give unrelated streams."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def crop(images: Tensor, offsets: Tensor) -> Tensor:
    """Return crops of the original size out of images padded with zeros (4 pixels), at offsets B × 2 in 0 … 8."""
    padded = functional.pad(images, (PADDING,) * 4)
    height, width = images.shape[-2:]
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flip(images: Tensor, flips: Tensor) -> Tensor:
    """Return the images, mirrored left to right where `flips` (B, bool) says so."""
    return torch.where(flips[:, None, None, None], images.flip(-1), images)
