"""How many images a dataset has, and of which shape, as its file and options state it. Nothing is prepared for that.

A file of data/datasets/ states the published sizes in its constant SIZES; a dataset's options of the same name replace
them. Its keys: `train_size` and `test_size`, or `images` for both together; `channels`; `pixels`, the height and width
of an image; `side_by_side`, the number of these in one image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adaptive_smoothing.core import registry


@dataclass(frozen=True)
class StatedSizes:
    """Training images (held-out ones included), test images, the shape C × H × W of one, and the classes."""

    train: int
    test: int
    shape: tuple[int, int, int]
    classes: int


def published_sizes(dataset: str) -> Mapping[str, Any] | None:
    """Return the constant SIZES of a registered dataset; None if its file states none."""
    sizes = registry.constant("dataset", dataset, "SIZES")
    return sizes if isinstance(sizes, dict) else None


def stated_sizes(dataset: str, options: Mapping[str, Any]) -> StatedSizes | None:
    """Return the size of a registered dataset with these options; None if its file states none."""
    sizes, classes = published_sizes(dataset), registry.constant("dataset", dataset, "CLASSES")
    if sizes is None or not isinstance(classes, int):
        return None
    stated = {**sizes, **{key: value for key, value in options.items() if value is not None}}
    train, test = _counts(stated, classes)
    side = stated.get("crop") or stated["pixels"]
    return StatedSizes(train, test, (stated["channels"], side, side * stated.get("side_by_side", 1)), classes)


def _counts(stated: Mapping[str, Any], classes: int) -> tuple[int, int]:
    """Return the numbers of training and test images: of each class, of each part, or of both parts together."""
    if "train_per_class" in stated:
        return classes * stated["train_per_class"], classes * stated["test_per_class"]
    test: int = stated["test_size"]
    return stated["train_size"] if "train_size" in stated else stated["images"] - test, test
