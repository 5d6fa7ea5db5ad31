"""digits: scikit-learn's load_digits, 1,797 real 8 × 8 images of ten handwritten digits, inside the package.

Stands in for MNIST and CIFAR-10 at small scale.
"""

import numpy as np

from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.data.splits import stratified_split
from adaptive_smoothing.data.types import Arrays, Images, Labels, Source, clean_arrays

CLASSES = 10
SIZES = {"images": 1797, "channels": 1, "pixels": 8}  # as published


class Options(Strict):
    """How many images are set aside as the test set (stratified by class)."""

    test_size: PositiveInt


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the digits, divided into train and test by the data seed; `source` is not used."""
    images, labels = load()
    train, test = stratified_split(images, labels, options.test_size, data_seed)
    origin = "scikit-learn load_digits (UCI optical recognition of handwritten digits)"
    classes = map(str, range(CLASSES))
    return clean_arrays((images[train], labels[train]), (images[test], labels[test]), classes, origin)


def load() -> tuple[Images, Labels]:
    """Return all images (uint8, 1797 × 1 × 8 × 8; the original 0 … 16 spread over 0 … 255) and labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images[:, None] * (255 / 16)).astype(np.uint8)
    return images, bunch.target.astype(np.int64)
