"""fashion_weak: Fashion-MNIST with training labels from a weak annotator; stands in for Clothing1M at middle scale.

The annotator is a nearest-neighbour classifier fitted on few images, so its mistakes depend on the image, as those of
labels taken from web text do. The test set keeps its true labels.
"""

from adaptive_smoothing.core.options import PositiveInt, SubsetOptions
from adaptive_smoothing.data.datasets import fashion_mnist
from adaptive_smoothing.data.datasets._weak import weakly_labelled
from adaptive_smoothing.data.types import Arrays, Source

CLASSES = 10
SIZES = {"train_size": 60_000, "test_size": 10_000, "channels": 1, "pixels": 28}  # as published


class Options(SubsetOptions):
    """Fashion-MNIST's sizes, and how many training images of each class the annotator has seen."""

    annotator_images: PositiveInt


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return Fashion-MNIST with the annotator's labels; raise UserError if it errs outside 20 … 40 %."""
    sizes = options.model_dump(exclude={"annotator_images"})
    clean = fashion_mnist.make(fashion_mnist.Options(**sizes), data_seed, source)
    return weakly_labelled("fashion_weak", clean, options.annotator_images, data_seed)
