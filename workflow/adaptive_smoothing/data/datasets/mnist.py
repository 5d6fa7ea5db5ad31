"""mnist: LeCun & Cortes (2010), 60,000 + 10,000 grey 28 × 28 images, through torchvision (which checks md5 sums)."""

from adaptive_smoothing.core.options import SubsetOptions
from adaptive_smoothing.data.datasets._torchvision import make_from, reduced
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 10
SIZES = {"train_size": 60_000, "test_size": 10_000, "channels": 1, "pixels": 28}  # as published


class Options(SubsetOptions):
    """Sizes of stratified subsets and of the images, each as published if not given."""


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return MNIST with its own train and test parts, cut down as the options say; fetches what is not there."""
    return reduced("mnist", make_from("MNIST", source), options, data_seed)
