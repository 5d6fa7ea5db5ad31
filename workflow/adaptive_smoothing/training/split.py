"""The parts of a run's data: images and their labels on the device, for training and for each evaluation."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data.types import UNKNOWN, Labels, Prepared, labels_sha256
from adaptive_smoothing.training.batches import ImageSource, open_source
from adaptive_smoothing.training.devices import Machine


@dataclass(frozen=True)
class TrainingLabels:
    """Labels of all training images of a dataset (N each): what methods see, and the true class or UNKNOWN.

    `held_out` says which examples are kept for validation.
    """

    noisy: Labels
    clean: Labels
    held_out: NDArray[np.bool_]

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """Return the places of the examples that are trained on."""
        return np.flatnonzero(~self.held_out)

    @property
    def sha256(self) -> str:
        """Return a hash over the labels that are trained on."""
        return labels_sha256(self.noisy[self.train_rows])


@dataclass(frozen=True)
class Split:
    """N images, the labels that they are compared with (N, int64), and the true ones (UNKNOWN: nobody knows)."""

    images: ImageSource
    labels: Tensor
    clean: Tensor

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Splits:
    """What a run trains on, the part of it that training accuracies are measured on, and what else is evaluated."""

    train: Split
    train_subset: Split
    validation: Split
    test: Split


def read_labels(path: Path, prepared: Prepared) -> TrainingLabels:
    """Read a file of noisy labels; raise UserError if it was made from other data than the prepared ones."""
    frame, metadata = parquet.read_frame(path)
    if metadata["dataset_sha256"] != prepared.sha256:
        raise UserError(f"{path}: was made from other data than the prepared ones; delete it and run again")
    if len(frame) != len(prepared.arrays.train_labels):
        raise UserError(f"{path}: has {len(frame)} labels for {len(prepared.arrays.train_labels)} training images")
    clean = frame["clean"].fillna(UNKNOWN).to_numpy(dtype=np.int64)
    return TrainingLabels(frame["noisy"].to_numpy(), clean, (frame["split"] == "validation").to_numpy())


def open_splits(
    spec: RunSpec, prepared: Prepared, labels: TrainingLabels, device: torch.device, machine: Machine
) -> Splits:
    """Return the splits of a run, their labels on the device."""
    open_images = partial(
        open_source,
        prepared,
        device=device,
        channels_last=spec.performance.channels_last,
        workers=machine.threads - 1,  # the training process itself is one of the threads
        root=machine.data_root,
    )

    def of_training_images(rows: NDArray[np.int64]) -> Split:
        return Split(open_images("train", rows), on_device(labels.noisy[rows]), on_device(labels.clean[rows]))

    def on_device(values: Labels) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.int64)).to(device)

    rows = labels.train_rows
    test_labels = on_device(prepared.arrays.test_labels)
    return Splits(
        train=of_training_images(rows),
        train_subset=of_training_images(rows[_evaluated(spec, len(rows))]),
        validation=of_training_images(np.flatnonzero(labels.held_out)),
        test=Split(open_images("test", None), test_labels, test_labels),
    )


def _evaluated(spec: RunSpec, size: int) -> NDArray[np.int64]:
    """Return which of `size` training examples are evaluated: all, or a subset that the data seed determines."""
    subset = spec.train_eval_subset
    if subset is None or subset >= size:
        return np.arange(size)
    order = np.random.default_rng([spec.dataset.data_seed, size]).permutation(size)
    return np.sort(order[:subset])
