"""Make one dataset and store it as memory-mappable arrays with meta.json, which vouches for them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.log import announce
from adaptive_smoothing.data.image_files import decode_image
from adaptive_smoothing.data.storage import ARRAYS, OWN_CONTENT, arrays_sha256
from adaptive_smoothing.data.types import UNKNOWN, Arrays, Source

MEASURED_IMAGES = 2000


def prepare(
    name: str,
    options: dict[str, Any],
    data_seed: int,
    files: dict[str, str],
    variant: str | None,
    source: dict[str, Any],
    content: str | None = None,
    measured_images: int = MEASURED_IMAGES,
) -> None:
    """Make dataset `name` and write it as npy files plus meta.json (last, so that it vouches for the others).

    `files` maps the names of `paths.DATASET_FILES` to paths; `variant` names other data in the same format (None: the
    published data); `source` holds root, mirrors and fetch of `Source`; `content` is the digest of the user's own
    files, as planning has it (None: the dataset has none). Of images on disk the pixels of at most `measured_images`
    give mean and standard deviation. A summary is announced. Raises UserError if the dataset cannot be made.
    """
    module = registry.load("dataset", name)
    where = Source(Path(source["root"]), tuple(source["mirrors"]), source["fetch"], published=variant is None)
    arrays: Arrays = module.make(module.Options(**options), data_seed, where)
    check(arrays, name)
    _check_classes(arrays, name)
    mean, measured = _mean_and_std(arrays, data_seed, where.root, measured_images)
    std, constant = divisors(measured)
    for key in ARRAYS:
        with atomic_write(files[f"{key}.npy"]) as temporary:
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
        "sha256": arrays_sha256(arrays),
        **({} if content is None else {OWN_CONTENT: content}),
    }
    with atomic_write(files["meta.json"]) as temporary:
        temporary.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    sizes = f"{len(arrays.train_images)} training and {len(arrays.test_images)} test images"
    summary = f"{Path(files['meta.json']).parent}: {sizes} of {len(arrays.classes)} classes"
    announce("; ".join([summary, *arrays.remarks, *constant]))


def divisors(std: list[float]) -> tuple[list[float], list[str]]:
    """Return what each channel's values are divided by, and a remark on the constant channels, which keep their scale.

    A constant channel has the standard deviation 0, and dividing by it would give NaN.
    """
    constant = [str(number) for number, value in enumerate(std, start=1) if value == 0]
    remarks = [f"channel {number} of {len(std)} is constant, so it is not scaled" for number in constant]
    return [value or 1.0 for value in std], remarks


def _mean_and_std(arrays: Arrays, data_seed: int, root: Path, measured_images: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel of the training images' values in 0–1.

    Of images on disk a sample is measured that the data seed determines, at the size in which a network sees them.
    """
    if arrays.decode is None:
        pixels = arrays.train_images.transpose(1, 0, 2, 3).reshape(arrays.train_images.shape[1], -1)
        mean, std = pixels.mean(axis=1, dtype=np.float64), pixels.std(axis=1, dtype=np.float64)
        return (mean / 255).tolist(), (std / 255).tolist()
    size = len(arrays.train_images)
    generator = np.random.default_rng([data_seed, size])
    counts = np.zeros((3, 256), dtype=np.int64)  # of each value in each channel: exact in any order
    for row in np.sort(generator.permutation(size)[:measured_images]):
        image = decode_image(root / arrays.train_images[row].decode(), arrays.decode)
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in image]
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    means = shares @ values
    return means.tolist(), np.sqrt(np.maximum(shares @ values**2 - means**2, 0)).tolist()


def check(arrays: Arrays, name: str) -> None:
    """Raise UserError unless types, shapes and labels of dataset `name` are what `Arrays` says."""
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


def _check_classes(arrays: Arrays, name: str) -> None:
    """Raise UserError if the dataset's file states another number of classes: plans and figures believe it."""
    stated = registry.constant("dataset", name, "CLASSES")
    if stated is not None and stated != len(arrays.classes):
        raise UserError(f"dataset {name}: has {len(arrays.classes)} classes, but its file states CLASSES = {stated}")


def _empty_part(arrays: Arrays) -> str:
    return "test" if len(arrays.train_images) else "training"
