"""resnet50: torchvision's ResNet-50, optionally with its ImageNet weights (the classifier is always new)."""

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50

from adaptive_smoothing.errors import UserError
from adaptive_smoothing.options import Literal, Strict


class Options(Strict):
    """Where training starts: random weights or torchvision's ImageNet weights."""

    weights: Literal["random", "imagenet"]


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for 3 × height × width images; raise UserError if the weights cannot be had."""
    if channels != 3:
        raise UserError(f"model resnet50: needs colour images (3 channels), the dataset has {channels}")
    try:
        weights = ResNet50_Weights.IMAGENET1K_V2 if options.weights == "imagenet" else None
        network = resnet50(weights=weights)
    except OSError as error:
        raise UserError(f"model resnet50: ImageNet weights cannot be downloaded ({error})") from error
    network.fc = nn.Linear(network.fc.in_features, classes)
    made: nn.Module = network
    return made
