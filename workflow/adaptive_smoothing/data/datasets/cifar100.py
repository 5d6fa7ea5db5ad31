"""cifar100: Krizhevsky & Hinton (2009), 50,000 + 10,000 colour 32 × 32 images.

Through torchvision, which checks md5 sums.
"""

from adaptive_smoothing.core.options import SubsetOptions
from adaptive_smoothing.data.datasets._torchvision import make_from, reduced
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 100
SIZES = {"train_size": 50_000, "test_size": 10_000, "channels": 3, "pixels": 32}  # as published


class Options(SubsetOptions):
    """Sizes of stratified subsets and of the images, each as published if not given."""


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the dataset with its own train and test parts, cut down as the options say; fetches what is not there."""
    return reduced("cifar100", make_from("CIFAR100", source), options, data_seed)
