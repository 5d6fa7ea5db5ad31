"""Datasets that torchvision downloads and verifies."""

from pathlib import Path
from typing import Any

import numpy as np

from adaptive_smoothing.datasets import Arrays, Images, Labels
from adaptive_smoothing.errors import UserError


def make_from(name: str, raw: Path) -> Arrays:
    """Return the arrays of torchvision's dataset class `name`; raise UserError if it cannot be had."""
    import torchvision.datasets

    dataset_class = getattr(torchvision.datasets, name)
    try:
        parts = [dataset_class(raw, train=train, download=True) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"dataset {name}: cannot be downloaded or is damaged ({error}); without internet, put torchvision's files "
            f"for {name} into {raw}"
        ) from error
    (train_images, train_labels), (test_images, test_labels) = (_arrays(part) for part in parts)
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        train_clean_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=tuple(str(label) for label in parts[0].classes),
        source=f"torchvision.datasets.{name}",
    )


def _arrays(part: Any) -> tuple[Images, Labels]:
    """Return N × C × H × W images and N labels of a torchvision dataset that holds N × H × W (× C) in memory."""
    images = np.asarray(part.data, dtype=np.uint8)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), np.asarray(part.targets, dtype=np.int64)
