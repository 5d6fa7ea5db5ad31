"""mnist: LeCun & Cortes (2010), 60,000 + 10,000 grey 28 × 28 images, through torchvision (which checks md5 sums)."""

from pathlib import Path

from adaptive_smoothing.datasets import Arrays
from adaptive_smoothing.datasets._torchvision import make_from
from adaptive_smoothing.options import Strict

CLASSES = 10


class Options(Strict):
    """No options."""


def make(options: Options, data_seed: int, raw: Path) -> Arrays:
    """Return MNIST with its own train and test parts; downloads into `raw` what is not there."""
    return make_from("MNIST", raw)
