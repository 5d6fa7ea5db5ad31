"""mnist_cnn: a 3-layer convolutional network (App. C.1 says "3-layers convolutional neural networks", no more).

Widths and kernel sizes are an assumption: two 5 × 5 convolutions with pooling and one linear layer.
"""

from torch import nn

from adaptive_smoothing.core.options import PositiveInt, Strict

SMALLEST = 4


class Options(Strict):
    """Channels of the two convolutions."""

    channels: tuple[PositiveInt, PositiveInt]


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for images of channels × height × width (multiples of four)."""
    first, second = options.channels
    return nn.Sequential(
        nn.Conv2d(channels, first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (size[0] // 4) * (size[1] // 4), classes),
    )
