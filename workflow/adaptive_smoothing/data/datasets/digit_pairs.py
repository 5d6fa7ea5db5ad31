"""digit_pairs: two real digits side by side, 100 classes (8 × 16 images); stands in for CIFAR-100 at small scale.

Training pairs are made only of training digits and test pairs only of test digits, so no test stroke was ever seen.
"""

from dataclasses import replace

from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.data.datasets import digits
from adaptive_smoothing.data.datasets._pairs import paired
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 100
SIZES = {"images": 1797, "channels": 1, "pixels": 8, "side_by_side": 2}  # as published


class Options(Strict):
    """How many digits are set aside for test pairs, and how many pairs of each class are made."""

    test_size: PositiveInt
    train_per_class: PositiveInt
    test_per_class: PositiveInt


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the pairs; which digits are paired depends on the data seed alone; `source` is not used."""
    singles = digits.make(digits.Options(test_size=options.test_size), data_seed, source)
    return paired(
        "digit_pairs",
        replace(singles, source="scikit-learn load_digits"),
        train_per_class=options.train_per_class,
        test_per_class=options.test_per_class,
        data_seed=data_seed,
    )
