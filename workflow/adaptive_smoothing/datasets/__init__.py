"""Datasets: each file here makes the arrays of one dataset; this module stores, checks and opens them.

A dataset file declares `class Options(Strict)`, the number of classes where it is fixed (`CLASSES = 10`) and
`make(options, data_seed, raw) -> Arrays`. Heavy imports stand inside `make`: planning reads these files.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptive_smoothing import registry
from adaptive_smoothing.errors import UserError
from adaptive_smoothing.files import written_whole

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
UNKNOWN = -1  # the clean label of an example whose true class nobody knows


@dataclass(frozen=True)
class Arrays:
    """A dataset in memory. Images: uint8, N × C × H × W. Labels: int64, N; `train_clean_labels` may be UNKNOWN."""

    train_images: Images
    train_labels: Labels
    train_clean_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: the arrays of `Arrays`, memory-mapped, and what meta.json says of them."""

    arrays: Arrays
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    sha256: str


def prepare(name: str, options: dict[str, Any], data_seed: int, files: dict[str, str], raw: str) -> None:
    """Make dataset `name` and write it as npy files plus meta.json (last, so that it vouches for the others).

    `files` maps the names of `paths.DATASET_FILES` to paths; `raw` is the folder for downloaded archives.
    """
    module = registry.load("dataset", name)
    arrays: Arrays = module.make(module.Options(**options), data_seed, Path(raw))
    _check(arrays, name)
    digest = hashlib.sha256()
    for key in ("train_images", "train_labels", "train_clean_labels", "test_images", "test_labels"):
        array = np.ascontiguousarray(getattr(arrays, key))
        digest.update(f"{key}{array.dtype}{array.shape}".encode())
        digest.update(array.data)
        with written_whole(files[f"{key}.npy"]) as temporary:
            np.save(temporary, array)
    pixels = arrays.train_images.transpose(1, 0, 2, 3).reshape(arrays.train_images.shape[1], -1)
    meta = {
        "name": name,
        "options": options,
        "data_seed": data_seed,
        "source": arrays.source,
        "classes": list(arrays.classes),
        "mean": (pixels.mean(axis=1, dtype=np.float64) / 255).tolist(),
        "std": (pixels.std(axis=1, dtype=np.float64) / 255).tolist(),
        "sha256": digest.hexdigest(),
    }
    with written_whole(files["meta.json"]) as temporary:
        temporary.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def open_prepared(folder: str | Path) -> Prepared:
    """Open a prepared dataset; arrays are memory-mapped, so that jobs on one machine share their pages."""
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        loaded = {
            key: np.load(folder / f"{key}.npy", mmap_mode="r")
            for key in ("train_images", "train_labels", "train_clean_labels", "test_images", "test_labels")
        }
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: the prepared dataset is damaged ({error}); delete the folder and run again"
        ) from error
    arrays = Arrays(**loaded, classes=tuple(meta["classes"]), source=meta["source"])
    return Prepared(
        arrays, np.array(meta["mean"], dtype=np.float32), np.array(meta["std"], dtype=np.float32), meta["sha256"]
    )


def split(images: Images, labels: Labels, test_size: int, data_seed: int) -> tuple[Labels, Labels]:
    """Return the indices (train, test) of a stratified division that depends on the data seed alone."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=data_seed)
    return np.sort(train), np.sort(test)


def validation_indices(size: int, held_out: int, data_seed: int) -> Labels:
    """Return which of `size` training examples are held out for validation; raise UserError if too many are."""
    if held_out >= size:
        raise UserError(f"validation: {held_out} examples cannot be held out of {size} training examples")
    order = np.random.default_rng([data_seed, size]).permutation(size)
    return np.sort(order[:held_out])


def _check(arrays: Arrays, name: str) -> None:
    for images in (arrays.train_images, arrays.test_images):
        if images.dtype != np.uint8 or images.ndim != 4:
            raise UserError(
                f"dataset {name}: images must be uint8 of shape N × C × H × W, not {images.dtype} {images.shape}"
            )
    for labels, images in (
        (arrays.train_labels, arrays.train_images),
        (arrays.train_clean_labels, arrays.train_images),
        (arrays.test_labels, arrays.test_images),
    ):
        if labels.dtype != np.int64 or len(labels) != len(images):
            raise UserError(f"dataset {name}: needs one int64 label an image, has {len(labels)} for {len(images)}")
        if labels.min() < UNKNOWN or labels.max() >= len(arrays.classes):
            raise UserError(f"dataset {name}: labels lie outside 0 … {len(arrays.classes) - 1}")
