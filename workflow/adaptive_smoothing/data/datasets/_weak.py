"""Training labels from a weak annotator: a nearest-neighbour classifier that has seen a few images of each class."""

from dataclasses import replace

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.types import Arrays

LEGAL_RATE = (0.2, 0.4)


def weakly_labelled(name: str, clean: Arrays, annotator_images: int, data_seed: int) -> Arrays:
    """Return `clean` with the training labels that an annotator gives it; test labels and clean labels stay true.

    The annotator has seen `annotator_images` training images a class, which ones depends on the data seed alone. Raise
    UserError, naming dataset `name`, if a class has fewer or if the annotator errs outside 20 … 40 % of the labels.
    """
    from sklearn.neighbors import KNeighborsClassifier

    flat = clean.train_images.reshape(len(clean.train_images), -1).astype(np.float64)
    smallest = int(np.bincount(clean.train_labels, minlength=len(clean.classes)).min())
    if annotator_images > smallest:
        raise UserError(
            f"dataset {name}: annotator_images is {annotator_images}, but a class has only {smallest} training images"
        )
    generator = np.random.default_rng(data_seed)
    seen = np.concatenate(
        [
            generator.choice(np.flatnonzero(clean.train_labels == label), annotator_images, replace=False)
            for label in range(len(clean.classes))
        ]
    )
    annotator = KNeighborsClassifier(n_neighbors=1).fit(flat[seen], clean.train_labels[seen])
    weak = annotator.predict(flat).astype(np.int64)
    rate = float((weak != clean.train_labels).mean())
    if not LEGAL_RATE[0] <= rate <= LEGAL_RATE[1]:
        raise UserError(
            f"dataset {name}: an annotator with {annotator_images} images a class and data seed "
            f"{data_seed} errs on {rate:.0%} of the labels; choose annotator_images so that it errs on 20–40 %"
        )
    return replace(clean, train_labels=weak, source=f"{clean.source}; labels of a weak annotator, {rate:.1%} wrong")
