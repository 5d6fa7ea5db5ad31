"""Datasets: each file here makes the arrays of one dataset; this module stores, checks and opens them.

A dataset file declares `class Options(Strict)`, the number of classes where it is fixed (`CLASSES = 10`) and
`make(options, data_seed, source) -> Arrays`. Heavy imports stand inside `make`: planning reads these files.
Images too many for memory stay on disk: `make` then gives their paths and how to decode them, and the file says
`ON_DISK = True`.
"""

import hashlib
import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptive_smoothing import registry
from adaptive_smoothing.errors import UserError
from adaptive_smoothing.files import written_whole

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Paths = NDArray[np.bytes_]  # of image files, in UTF-8, relative to `Source.root`
UNKNOWN = -1  # the clean label of an example whose true class nobody knows
MEASURED_IMAGES = 2000  # of those on disk, whose pixels give mean and standard deviation
ARRAYS = ("train_images", "train_labels", "train_clean_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Source:
    """Where a dataset's own files are looked for, and whether they may be fetched.

    `root`: folder of downloaded archives; `mirrors`: folders or URLs to fetch from before the publisher's own;
    `fetch`: false where the user named the folder, which is then read only; `published`: false where the folder holds
    other data in the same files' format, for which the published checksums do not hold.
    """

    root: Path
    mirrors: tuple[str, ...] = ()
    fetch: bool = True
    published: bool = True


@dataclass(frozen=True)
class Decode:
    """How an image on disk becomes an array: shorter side to `resize` pixels, then a square of `crop` pixels (RGB)."""

    resize: int
    crop: int


@dataclass(frozen=True)
class Arrays:
    """A dataset. Images: uint8, N × C × H × W. Labels: int64, N; `train_clean_labels` may be UNKNOWN.

    Where `decode` is given the images stay on disk: `train_images` and `test_images` are their `Paths` (N), and
    `content` is a hash over all of their bytes.
    """

    train_images: NDArray[Any]  # Images or Paths
    train_labels: Labels
    train_clean_labels: Labels
    test_images: NDArray[Any]
    test_labels: Labels
    classes: tuple[str, ...]
    source: str
    decode: Decode | None = None
    content: str = ""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of the images that a network sees."""
        if self.decode is not None:
            return 3, self.decode.crop, self.decode.crop
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: the arrays of `Arrays`, memory-mapped, and what meta.json says of them."""

    arrays: Arrays
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    sha256: str


def prepare(
    name: str,
    options: dict[str, Any],
    data_seed: int,
    files: dict[str, str],
    variant: str | None,
    source: dict[str, Any],
) -> None:
    """Make dataset `name` and write it as npy files plus meta.json (last, so that it vouches for the others).

    `files` maps the names of `paths.DATASET_FILES` to paths; `variant` names other data in the same format (None: the
    published data); `source` holds root, mirrors and fetch of `Source`.
    """
    module = registry.load("dataset", name)
    where = Source(Path(source["root"]), tuple(source["mirrors"]), source["fetch"], published=variant is None)
    arrays: Arrays = module.make(module.Options(**options), data_seed, where)
    _check(arrays, name)
    mean, std = _mean_and_std(arrays, data_seed, where.root)
    for key in ARRAYS:
        with written_whole(files[f"{key}.npy"]) as temporary:
            np.save(temporary, np.ascontiguousarray(getattr(arrays, key)))
    meta = {
        "name": name,
        "options": options,
        "data_seed": data_seed,
        "variant": variant,
        "source": arrays.source,
        "classes": list(arrays.classes),
        "mean": mean,
        "std": std,
        "decode": None if arrays.decode is None else asdict(arrays.decode),
        "content": arrays.content,
        "sha256": _sha256(arrays),
    }
    with written_whole(files["meta.json"]) as temporary:
        temporary.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def open_prepared(folder: str | Path) -> Prepared:
    """Open a prepared dataset; arrays are memory-mapped, so that jobs on one machine share their pages."""
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        loaded = {key: np.load(folder / f"{key}.npy", mmap_mode="c") for key in ARRAYS}
        decode = None if meta["decode"] is None else Decode(**meta["decode"])
        described = {"classes": tuple(meta["classes"]), "source": meta["source"], "content": meta["content"]}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: the prepared dataset is damaged ({error}); delete the folder and run again"
        ) from error
    arrays = Arrays(**loaded, **described, decode=decode)
    return Prepared(
        arrays, np.array(meta["mean"], dtype=np.float32), np.array(meta["std"], dtype=np.float32), meta["sha256"]
    )


def verify(folder: str | Path) -> Prepared:
    """Open a prepared dataset and read all of it; raise UserError unless it is what was prepared, to the last byte."""
    prepared = open_prepared(folder)
    if _sha256(prepared.arrays) != prepared.sha256:
        raise UserError(
            f"{folder}: the prepared arrays are not those that meta.json vouches for (their sha256 differs); delete "
            "the folder and run again"
        )
    return prepared


def _sha256(arrays: Arrays) -> str:
    """Return a hash over names, types, shapes and bytes of the arrays, and over images that stay on disk."""
    digest = hashlib.sha256(arrays.content.encode())
    for key in ARRAYS:
        array = np.ascontiguousarray(getattr(arrays, key))
        digest.update(f"{key}{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


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


def _mean_and_std(arrays: Arrays, data_seed: int, root: Path) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel of the training images' values in 0–1.

    Of images on disk a sample is measured that the data seed determines, at the size in which a network sees them.
    """
    if arrays.decode is None:
        pixels = arrays.train_images.transpose(1, 0, 2, 3).reshape(arrays.train_images.shape[1], -1)
        mean, std = pixels.mean(axis=1, dtype=np.float64), pixels.std(axis=1, dtype=np.float64)
        return (mean / 255).tolist(), (std / 255).tolist()
    # By name, so that a run whose images are arrays does not depend on this code.
    decoded = importlib.import_module("adaptive_smoothing.image_files").decoded
    size = len(arrays.train_images)
    generator = np.random.default_rng([data_seed, size])
    counts = np.zeros((3, 256), dtype=np.int64)  # of each value in each channel: exact in any order
    for row in np.sort(generator.permutation(size)[:MEASURED_IMAGES]):
        image = decoded(root / arrays.train_images[row].decode(), arrays.decode)
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in image]
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    means = shares @ values
    return means.tolist(), np.sqrt(shares @ values**2 - means**2).tolist()


def _check(arrays: Arrays, name: str) -> None:
    if not len(arrays.train_images) or not len(arrays.test_images):
        raise UserError(f"dataset {name}: needs training and test images, has no {_empty_part(arrays)} images")
    for images in (arrays.train_images, arrays.test_images):
        if arrays.decode is not None:
            if images.dtype.kind != "S" or images.ndim != 1:
                raise UserError(f"dataset {name}: paths must be an array of bytes, not {images.dtype} {images.shape}")
        elif images.dtype != np.uint8 or images.ndim != 4:
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


def _empty_part(arrays: Arrays) -> str:
    return "test" if len(arrays.train_images) else "training"
