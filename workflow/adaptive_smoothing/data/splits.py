"""Divisions of a dataset that depend on the data seed alone: train and test, training and validation."""

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.types import Images, Labels


def stratified_split(images: Images, labels: Labels, test_size: int, data_seed: int) -> tuple[Labels, Labels]:
    """Return the indices (train, test) of a stratified division that depends on the data seed alone.

    Raises UserError where one of the parts would lack a class.
    """
    from sklearn.model_selection import train_test_split

    classes = len(np.unique(labels))
    if not classes <= test_size <= len(labels) - classes:
        raise UserError(
            f"test_size: {test_size} of {len(labels)} images cannot be set aside; legal: {classes} to "
            f"{len(labels) - classes}, so that both parts hold all {classes} classes"
        )
    train, test = train_test_split(np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=data_seed)
    return np.sort(train), np.sort(test)


def validation_indices(size: int, held_out: int, data_seed: int) -> Labels:
    """Return which of `size` training examples are held out for validation; raise UserError if too many are."""
    if held_out >= size:
        raise UserError(f"validation: {held_out} examples cannot be held out of {size} training examples")
    order = np.random.default_rng([data_seed, size]).permutation(size)
    return np.sort(order[:held_out])
