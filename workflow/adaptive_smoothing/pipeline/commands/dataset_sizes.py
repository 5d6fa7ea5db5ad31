"""How big a run is, before anything of it exists: images of its dataset, and bytes of what is made. No torch."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.data import storage
from adaptive_smoothing.pipeline.plan import Run, Specification

LABEL_BYTES, FLOAT_BYTES = 8, 4
DIGITS = 1797
Options = dict[str, Any]


@dataclass(frozen=True)
class DatasetSize:
    """Training images (held-out ones left out), held-out, test images, their shape C × H × W, and the classes."""

    train: int
    held_out: int
    test: int
    shape: tuple[int, int, int]
    classes: int
    on_disk: bool  # images stay in their own files, whose decoding takes time as well
    prepared: bool

    @property
    def data_bytes(self) -> int:
        """Bytes of the prepared arrays; images that stay on disk are there already."""
        training = self.train + self.held_out
        images = 0 if self.on_disk else (training + self.test) * prod(self.shape)
        return images + LABEL_BYTES * (2 * training + self.test)

    def label_noise_bytes(self, vectors: int) -> int:
        """Bytes of a measurement with so many K-vectors an example, before compression."""
        return self.train * (vectors * self.classes * FLOAT_BYTES + 4 * LABEL_BYTES)


def dataset_size(run: Run) -> DatasetSize | None:
    """Return the size of a run's dataset: of the prepared one, else as its publisher and options say; None if neither.

    Raises UserError for a prepared dataset that is damaged.
    """
    specification = run.specification
    name, held_out = specification["dataset"]["name"], specification["validation"]
    on_disk = registry.constant("dataset", name, "IMAGES") == "files"
    if Path(paths.META.format(dataset=run.dataset_folder)).exists():
        arrays = storage.open_prepared(paths.DATASET.format(dataset=run.dataset_folder)).arrays
        train, test = len(arrays.train_labels) - held_out, len(arrays.test_labels)
        return DatasetSize(train, held_out, test, arrays.image_shape, len(arrays.classes), on_disk, True)
    classes = registry.constant("dataset", name, "CLASSES")
    if specification["dataset"]["variant"] is not None or name not in EXPECTED or not isinstance(classes, int):
        return None
    train, test, shape = EXPECTED[name]({**specification["dataset"]["options"], "classes": classes})
    return DatasetSize(train - held_out, held_out, test, shape, classes, on_disk, False)


def evaluated_images(specification: Specification, size: DatasetSize) -> int:
    """Return how many images one evaluation looks at."""
    shown = specification["train_eval_subset"]
    return (size.train if shown is None else min(shown, size.train)) + size.held_out + size.test


Expected = tuple[int, int, tuple[int, int, int]]  # training images, held-out ones included; test images; shape


def _subset(train: int, test: int, channels: int, pixels: int) -> Callable[[Options], Expected]:
    def expected(options: Options) -> Expected:
        side = options["pixels"] or pixels
        return options["train_size"] or train, options["test_size"] or test, (channels, side, side)

    return expected


def _pairs(pixels: int) -> Callable[[Options], Expected]:
    def expected(options: Options) -> Expected:
        side = options.get("pixels") or pixels
        train, test = (options["classes"] * options[key] for key in ("train_per_class", "test_per_class"))
        return train, test, (1, side, 2 * side)

    return expected


def _digits(options: Options) -> Expected:
    return DIGITS - options["test_size"], options["test_size"], (1, 8, 8)


def _clothing1m(options: Options) -> Expected:
    return 1_000_000, 10_526, (3, options["crop"], options["crop"])  # its authors' numbers


# What datasets/ makes of each published dataset (tests/unit/test_costs.py makes those that need no download).
EXPECTED: dict[str, Callable[[Options], Expected]] = {
    "mnist": _subset(60_000, 10_000, 1, 28),
    "fashion_mnist": _subset(60_000, 10_000, 1, 28),
    "fashion_weak": _subset(60_000, 10_000, 1, 28),
    "fashion_pairs": _pairs(28),
    "cifar10": _subset(50_000, 10_000, 3, 32),
    "cifar100": _subset(50_000, 10_000, 3, 32),
    "digits": _digits,
    "digits_weak": _digits,
    "digit_pairs": _pairs(8),
    "clothing1m": _clothing1m,
}
