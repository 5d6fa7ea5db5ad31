"""digits_weak: digits whose training labels come from a weak annotator; stands in for Clothing1M at small scale.

The annotator is a nearest-neighbour classifier fitted on few images, so its mistakes depend on the image, as those of
labels taken from web text do. The test set keeps its true labels.
"""

from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.data.datasets import digits
from adaptive_smoothing.data.datasets._weak import weakly_labelled
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 10
SIZES = {"images": 1797, "channels": 1, "pixels": 8}  # as published


class Options(Strict):
    """Size of the test set, and how many training images of each class the annotator has seen."""

    test_size: PositiveInt
    annotator_images: PositiveInt


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the digits with the annotator's labels; raise UserError if it errs outside 20 … 40 %."""
    clean = digits.make(digits.Options(test_size=options.test_size), data_seed, source)
    return weakly_labelled("digits_weak", clean, options.annotator_images, data_seed)
