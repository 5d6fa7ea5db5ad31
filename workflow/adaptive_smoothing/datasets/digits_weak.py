"""digits_weak: digits whose training labels come from a weak annotator; stands in for Clothing1M at small scale.

The annotator is a nearest-neighbour classifier fitted on few images, so its mistakes depend on the image, as those of
labels taken from web text do. The test set keeps its true labels.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from adaptive_smoothing.datasets import Arrays, digits
from adaptive_smoothing.errors import UserError
from adaptive_smoothing.options import PositiveInt, Strict

CLASSES = 10
LEGAL_RATE = (0.2, 0.4)


class Options(Strict):
    """Size of the test set, and how many training images of each class the annotator has seen."""

    test_size: PositiveInt
    annotator_images: PositiveInt


def make(options: Options, data_seed: int, raw: Path) -> Arrays:
    """Return the digits with the annotator's labels; raise UserError if it errs outside 20 … 40 %."""
    from sklearn.neighbors import KNeighborsClassifier

    clean = digits.make(digits.Options(test_size=options.test_size), data_seed, raw)
    flat = clean.train_images.reshape(len(clean.train_images), -1).astype(np.float64)
    generator = np.random.default_rng(data_seed)
    seen = np.concatenate(
        [
            generator.choice(np.flatnonzero(clean.train_labels == digit), options.annotator_images, replace=False)
            for digit in range(CLASSES)
        ]
    )
    annotator = KNeighborsClassifier(n_neighbors=1).fit(flat[seen], clean.train_labels[seen])
    weak = annotator.predict(flat).astype(np.int64)
    rate = float((weak != clean.train_labels).mean())
    if not LEGAL_RATE[0] <= rate <= LEGAL_RATE[1]:
        raise UserError(
            f"dataset digits_weak: an annotator with {options.annotator_images} images a class and data seed "
            f"{data_seed} errs on {rate:.0%} of the labels; choose annotator_images so that it errs on 20–40 %"
        )
    return replace(clean, train_labels=weak, source=f"{clean.source}; labels of a weak annotator, {rate:.1%} wrong")
