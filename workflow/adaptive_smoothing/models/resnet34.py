"""resnet34: torchvision's ResNet-34 with the CIFAR stem (3 × 3 convolution, stride 1, no max pooling)."""

from torch import nn
from torchvision.models import resnet34

from adaptive_smoothing.core.options import Strict

ONE_PIXEL = 8


class Options(Strict):
    """No options."""


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for channels × height × width images; 21.3 M parameters for ten classes."""
    network: nn.Module = resnet34(num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network
