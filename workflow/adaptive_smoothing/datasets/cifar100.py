"""cifar100: Krizhevsky & Hinton (2009), 50,000 + 10,000 colour 32 × 32 images.

Through torchvision, which checks md5 sums.
"""

from pathlib import Path

from adaptive_smoothing.datasets import Arrays
from adaptive_smoothing.datasets._torchvision import make_from
from adaptive_smoothing.options import Strict

CLASSES = 100


class Options(Strict):
    """No options."""


def make(options: Options, data_seed: int, raw: Path) -> Arrays:
    """Return the dataset with its own train and test parts; downloads into `raw` what is not there."""
    return make_from("CIFAR100", raw)
