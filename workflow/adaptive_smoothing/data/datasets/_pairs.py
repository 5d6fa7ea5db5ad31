"""Pairs of images of ten classes, side by side: a hundred classes out of ten."""

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.types import Arrays, Images, Labels, clean_arrays

SINGLE_CLASSES = 10


def paired(name: str, singles: Arrays, *, train_per_class: int, test_per_class: int, data_seed: int) -> Arrays:
    """Return pairs of the ten classes' images (N × C × H × 2 W): class 10 a + b has a on the left and b on the right.

    Training pairs hold training images only and test pairs test images only; which ones depends on the data seed alone.
    Raise UserError, naming dataset `name`, if a class has no image to pair.
    """
    generator = np.random.default_rng(data_seed)  # one stream, training pairs first
    train = _pairs(name, singles.train_images, singles.train_labels, train_per_class, generator)
    test = _pairs(name, singles.test_images, singles.test_labels, test_per_class, generator)
    classes = (f"{pair:02d}" for pair in range(SINGLE_CLASSES**2))
    return clean_arrays(train, test, classes, f"pairs of {singles.source} images")


def _pairs(
    name: str, images: Images, labels: Labels, per_class: int, generator: np.random.Generator
) -> tuple[Images, Labels]:
    """Return `per_class` pairs of each class in shuffled order, and their labels."""
    members = [np.flatnonzero(labels == label) for label in range(SINGLE_CLASSES)]
    for label, images_of_label in enumerate(members):
        if not len(images_of_label):
            raise UserError(f"dataset {name}: class {label} has no image to pair")
    pairs = np.repeat(np.arange(SINGLE_CLASSES**2), per_class)
    generator.shuffle(pairs)
    left = np.array([generator.choice(members[pair // SINGLE_CLASSES]) for pair in pairs])
    right = np.array([generator.choice(members[pair % SINGLE_CLASSES]) for pair in pairs])
    return np.concatenate([images[left], images[right]], axis=3), pairs.astype(np.int64)
