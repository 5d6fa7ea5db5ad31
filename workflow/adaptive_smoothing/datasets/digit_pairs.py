"""digit_pairs: two real digits side by side, 100 classes (8 × 16 images); stands in for CIFAR-100 at small scale.

Training pairs are made only of training digits and test pairs only of test digits, so no test stroke was ever seen.
"""

from pathlib import Path

import numpy as np

from adaptive_smoothing.datasets import Arrays, Images, Labels, split
from adaptive_smoothing.datasets.digits import load
from adaptive_smoothing.options import PositiveInt, Strict

CLASSES = 100


class Options(Strict):
    """How many digits are set aside for test pairs, and how many pairs of each class are made."""

    test_size: PositiveInt
    train_per_class: PositiveInt
    test_per_class: PositiveInt


def make(options: Options, data_seed: int, raw: Path) -> Arrays:
    """Return the pairs; which digits are paired depends on the data seed alone; `raw` is not used."""
    images, labels = load()
    train, test = split(images, labels, options.test_size, data_seed)
    generator = np.random.default_rng(data_seed)
    train_images, train_labels = _pairs(images[train], labels[train], options.train_per_class, generator)
    test_images, test_labels = _pairs(images[test], labels[test], options.test_per_class, generator)
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        train_clean_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=tuple(f"{pair:02d}" for pair in range(CLASSES)),
        source="pairs of scikit-learn load_digits images",
    )


def _pairs(images: Images, labels: Labels, per_class: int, generator: np.random.Generator) -> tuple[Images, Labels]:
    """Return `per_class` pairs of each class 10 a + b, a on the left, in shuffled order."""
    by_digit = [np.flatnonzero(labels == digit) for digit in range(10)]
    pairs = np.repeat(np.arange(CLASSES), per_class)
    generator.shuffle(pairs)
    left = np.array([generator.choice(by_digit[pair // 10]) for pair in pairs])
    right = np.array([generator.choice(by_digit[pair % 10]) for pair in pairs])
    return np.concatenate([images[left], images[right]], axis=3), pairs.astype(np.int64)
