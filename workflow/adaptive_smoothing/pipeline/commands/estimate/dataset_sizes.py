"""How many images a run's dataset has, and of which shape, before anything is prepared. No torch.

A file of data/datasets/ states the published sizes in its constant SIZES; a dataset's options of the same name replace
them. Its keys: `train_size` and `test_size`, or `images` for both together; `channels`; `pixels`, the height and width
of an image; `side_by_side`, the number of these in one image.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import storage
from adaptive_smoothing.pipeline.plan import Run


@dataclass(frozen=True)
class DatasetSize:
    """Training images (held-out ones left out), held-out and test images, their shape C × H × W, and the classes."""

    train: int
    held_out: int
    test: int
    shape: tuple[int, int, int]
    classes: int
    on_disk: bool  # images stay in their own files, whose decoding takes time as well

    def evaluated_images(self, spec: RunSpec) -> int:
        """Return how many images one evaluation of a run looks at."""
        subset = spec.train_eval_subset
        return (self.train if subset is None else min(subset, self.train)) + self.held_out + self.test


def dataset_size(run: Run) -> DatasetSize | None:
    """Return the size of a run's dataset: of the prepared one, else as its file and options state it; None if neither.

    Raises UserError for a prepared dataset that is damaged.
    """
    dataset, held_out = run.spec.dataset, run.spec.validation
    on_disk = registry.constant("dataset", dataset.name, "IMAGES") == "files"
    if Path(paths.META.format(dataset=run.dataset_folder)).exists():
        arrays = storage.open_prepared(paths.DATASET.format(dataset=run.dataset_folder)).arrays
        train, test = len(arrays.train_labels) - held_out, len(arrays.test_labels)
        return DatasetSize(train, held_out, test, arrays.image_shape, len(arrays.classes), on_disk)
    sizes, classes = (registry.constant("dataset", dataset.name, name) for name in ("SIZES", "CLASSES"))
    if dataset.variant is not None or not isinstance(sizes, dict) or not isinstance(classes, int):
        return None
    stated = sizes | {key: value for key, value in dataset.options.items() if value is not None}
    train, test = _counts(stated, classes)
    side = stated.get("crop") or stated["pixels"]
    shape = (stated["channels"], side, side * stated.get("side_by_side", 1))
    return DatasetSize(train - held_out, held_out, test, shape, classes, on_disk)


def _counts(stated: dict[str, Any], classes: int) -> tuple[int, int]:
    """Return the numbers of training and test images: of each class, of each part, or of both parts together."""
    if "train_per_class" in stated:
        return classes * stated["train_per_class"], classes * stated["test_per_class"]
    test: int = stated["test_size"]
    return stated["train_size"] if "train_size" in stated else stated["images"] - test, test
