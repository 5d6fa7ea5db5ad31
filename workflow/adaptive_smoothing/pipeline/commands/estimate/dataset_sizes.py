"""How many images a run's dataset has, and of which shape: as prepared, else as its file states it. No torch."""

from dataclasses import dataclass
from pathlib import Path

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import storage
from adaptive_smoothing.pipeline.plan import Run
from adaptive_smoothing.pipeline.stated_sizes import stated_sizes


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
    size = None if dataset.variant is not None else stated_sizes(dataset.name, dataset.options)
    if size is None:
        return None
    return DatasetSize(size.train - held_out, held_out, size.test, size.shape, size.classes, on_disk)
