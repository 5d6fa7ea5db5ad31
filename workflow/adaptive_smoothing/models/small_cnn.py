"""small_cnn: conv16 – pool – conv32 – pool – conv32 – linear with batch normalisation, for 8-pixel-high images."""

import torch
from torch import nn

from adaptive_smoothing.core.options import Strict

SMALLEST = 4
ONE_PIXEL = 7


class Options(Strict):
    """No options."""


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for channels × height × width images; 15,418 parameters for 1 × 8 × 8 and ten classes."""
    height, width = size[0] // 4, size[1] // 4
    return nn.Sequential(
        *_block(channels, 16),
        nn.MaxPool2d(2),
        *_block(16, 32),
        nn.MaxPool2d(2),
        *_block(32, 32),
        nn.Flatten(),
        nn.Linear(32 * height * width, classes),
    )


def _block(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution: torch.nn.Module = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()
