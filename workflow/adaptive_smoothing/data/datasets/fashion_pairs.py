"""fashion_pairs: two real Fashion-MNIST images side by side, 100 classes; stands in for CIFAR-100 at middle scale.

Training pairs are made only of training images and test pairs only of test images.
"""

from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.data.datasets import fashion_mnist
from adaptive_smoothing.data.datasets._pairs import paired
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 100
SIZES = {"channels": 1, "pixels": 28, "side_by_side": 2}  # as published


class Options(Strict):
    """How many pairs of each class are made, and height = width of each half (None: 28, as published)."""

    train_per_class: PositiveInt
    test_per_class: PositiveInt
    pixels: PositiveInt | None = None


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the pairs (height `pixels`, width twice that); which images are paired depends on the data seed alone."""
    singles = fashion_mnist.make(fashion_mnist.Options(pixels=options.pixels), data_seed, source)
    return paired(
        "fashion_pairs",
        singles,
        train_per_class=options.train_per_class,
        test_per_class=options.test_per_class,
        data_seed=data_seed,
    )
