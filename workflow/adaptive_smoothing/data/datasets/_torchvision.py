"""Datasets that torchvision reads, from verified files, whole or cut down to a stratified subset and smaller images."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import SubsetOptions
from adaptive_smoothing.data.archives import unpacked
from adaptive_smoothing.data.download import File, Part
from adaptive_smoothing.data.types import Arrays, Images, Labels, Source, clean_arrays

CHUNK = 1000  # images that are downscaled at once, in floating point
# md5 of a published .gz (from torchvision) → hash of its content. It verifies files that somebody unpacked, or packed
# again as Debian did. Source: several projects publish the eight sums; those of Fashion-MNIST are also the sums of the
# unpacked files of Debian's package dataset-fashion-mnist 0.0~git20200523.
UNPACKED_MD5 = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "md5:6bbc9ace898e44ae57da46a324031adb",  # MNIST: training images
    "d53e105ee54ea40749a09fcbcd1e9432": "md5:a25bea736e30d166cdddb491f175f624",
    "9fb629c4189551a2d022fa330f9573f3": "md5:2646ac647ad5339dbf082846283269ea",  # test images
    "ec29112dd5afa0611ce80d1b7f02629c": "md5:27ae3e4e09519cfbb04c329615203637",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",  # Fashion-MNIST: training images
    "25c81989df183df01b3e8a0aad5dffbe": "md5:9018921c3c673c538a1fc5bad174d6f9",
    "bef4ecab320f06d8554ea6380940ec79": "md5:8181f5470baa50b63fa0f6fddb340f0a",  # test images
    "bb300cfdad3c16e7a12a480ee83cd310": "md5:15d484375f8d13e6eb1aabb0c3f46965",
}


def make_from(name: str, source: Source) -> Arrays:
    """Return the arrays of torchvision's dataset class `name`; raise UserError if its files are missing or damaged."""
    import torchvision.datasets

    dataset_class = getattr(torchvision.datasets, name)
    files = _idx_files(dataset_class) if hasattr(dataset_class, "resources") else [_cifar_archive(dataset_class)]
    if not source.published:
        dataset_class = _without_checksums(dataset_class)
    with unpacked(f"dataset {name}", files, source) as folder:
        try:
            parts = [dataset_class(folder, train=train) for train in (True, False)]
        except Exception as error:  # unpickling and parsing unexpected bytes may raise anything
            names = ", ".join(str(source.root / file.folder / file.name) for file in files)
            raise UserError(
                f"dataset {name}: torchvision cannot read {names} ({type(error).__name__}: {error}); they need the "
                "format of the published files"
            ) from error
    train, test = (_arrays(part) for part in parts)
    return clean_arrays(train, test, map(str, parts[0].classes), f"torchvision.datasets.{name}")


def _idx_files(dataset_class: Any) -> list[File]:
    """Return the gzipped IDX files of torchvision's MNIST or a class derived from it."""
    return [
        File(
            name,
            f"md5:{md5}",
            folder=f"{dataset_class.__name__}/raw",
            urls=tuple(f"{mirror}{name}" for mirror in dataset_class.mirrors),
            parts=(Part(PurePosixPath(name).stem, UNPACKED_MD5.get(md5)),),
        )
        for name, md5 in dataset_class.resources
    ]


def _cifar_archive(dataset_class: Any) -> File:
    """Return the archive of torchvision's CIFAR10 or CIFAR100 with the batches that the class reads."""
    meta = (dataset_class.meta["filename"], dataset_class.meta["md5"])
    parts = [
        Part(f"{dataset_class.base_folder}/{name}", f"md5:{md5}")
        for name, md5 in (*dataset_class.train_list, *dataset_class.test_list, meta)
    ]
    return File(
        dataset_class.filename, f"md5:{dataset_class.tgz_md5}", folder="", urls=(dataset_class.url,), parts=tuple(parts)
    )


def _without_checksums(dataset_class: Any) -> Any:
    """Return a class that reads the same format from files with other contents (MNIST's asks for no checksums)."""
    if not hasattr(dataset_class, "train_list"):
        return dataset_class
    lists = {key: [[name, None] for name, _ in getattr(dataset_class, key)] for key in ("train_list", "test_list")}
    return type(dataset_class.__name__, (dataset_class,), {**lists, "meta": {**dataset_class.meta, "md5": None}})


def reduced(name: str, arrays: Arrays, options: SubsetOptions, data_seed: int) -> Arrays:
    """Return dataset `name` as small as the options say; what they leave out (None) stays as it is.

    The data seed alone determines which images are kept. Raises UserError if the options ask for more or larger images
    than the dataset has.
    """
    # Not [data_seed, 0], from which NumPy draws the same as from data_seed alone, the seed of pairs and annotators.
    train = _subset(f"dataset {name}: train_size", arrays.train_labels, options.train_size, [data_seed, 1])
    test = _subset(f"dataset {name}: test_size", arrays.test_labels, options.test_size, [data_seed, 2])
    return clean_arrays(
        (_downscaled(name, arrays.train_images[train], options.pixels), arrays.train_labels[train]),
        (_downscaled(name, arrays.test_images[test], options.pixels), arrays.test_labels[test]),
        arrays.classes,
        arrays.source,
    )


def _subset(what: str, labels: Labels, size: int | None, seed: list[int]) -> Labels | slice:
    """Return the sorted indices of `size` examples whose class proportions are those of `labels` within one example."""
    if size is None:
        return slice(None)
    if size > len(labels):
        raise UserError(f"{what} is {size}, but there are only {len(labels)} images; legal: 1 … {len(labels)}")
    counts = np.bincount(labels)
    shares, remainders = np.divmod(size * counts, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: size - shares.sum()]] += 1  # largest remainders
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:share] for label, share in enumerate(shares)]
    return np.sort(np.concatenate(chosen))


def _downscaled(name: str, images: Images, pixels: int | None) -> Images:
    """Return N × C × `pixels` × `pixels` images, each pixel the mean over its area, to the nearest (halves to even)."""
    height, width = images.shape[2:]
    if pixels is None:
        return images
    if pixels > (most := min(height, width)):
        raise UserError(f"dataset {name}: pixels is {pixels}, but the images are {height} × {width}; legal: 1 … {most}")
    rows, columns = _overlaps(height, pixels), _overlaps(width, pixels)
    small = np.empty((*images.shape[:2], pixels, pixels), dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        sums = rows @ images[start : start + CHUNK] @ columns.T
        small[start : start + CHUNK] = np.rint(sums / (height * width))
    return small


def _overlaps(size: int, pixels: int) -> NDArray[np.float64]:
    """Return `pixels` × `size` lengths that a new and an old pixel share, in units of 1/`pixels` of an old pixel.

    They are whole numbers, as are the bytes, so that sums are exact in any order and on any machine.
    """
    new, old = np.arange(pixels)[:, None] * size, np.arange(size)[None] * pixels
    shared: NDArray[np.int64] = np.minimum(new + size, old + pixels) - np.maximum(new, old)
    return shared.clip(0).astype(np.float64)


def _arrays(part: Any) -> tuple[Images, Labels]:
    """Return N × C × H × W images and N labels of a torchvision dataset that holds N × H × W (× C) in memory."""
    images = np.asarray(part.data, dtype=np.uint8)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), np.asarray(part.targets, dtype=np.int64)
