"""What a dataset is: images or their paths, labels, classes, and where its files come from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Paths = NDArray[np.bytes_]  # of image files, in UTF-8, relative to `Source.root`
UNKNOWN = -1  # the clean label of an example whose true class is unknown


@dataclass(frozen=True)
class Source:
    """Where a dataset's own files lie, and whether they may be fetched.

    `root`: folder of the files; `mirrors`: folders or URLs, tried in their order before the publisher; `fetch`: false
    for a folder that the user named, which is only read; `published`: false for other data in the same format, which
    the published hashes do not fit; `timeout`: seconds without an answer or a byte after which a download fails;
    `retries`: further attempts at a download that failed.
    """

    root: Path
    mirrors: tuple[str, ...] = ()
    fetch: bool = True
    published: bool = True
    timeout: float = 20.0
    retries: int = 2


@dataclass(frozen=True)
class Decode:
    """How an image on disk becomes an array: shorter side to `resize` pixels, then a square of `crop` pixels (RGB)."""

    resize: int
    crop: int


@dataclass(frozen=True)
class Arrays:
    """A dataset. Images: uint8, N × C × H × W. Labels: int64, N; `train_clean_labels` may be UNKNOWN.

    If `decode` is given, the images stay on disk: `train_images` and `test_images` are their `Paths` (N), and `content`
    is a hash over all of their bytes. `remarks` are what a user should know of what was left out.
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
    remarks: tuple[str, ...] = ()

    @property
    def image_source(self) -> str:
        """Return which file of training/sources/ hands out the images: 'memory' or 'files'."""
        return "memory" if self.decode is None else "files"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of the images that a network sees."""
        if self.decode is not None:
            return 3, self.decode.crop, self.decode.crop
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def clean_arrays(
    train: tuple[Images, Labels], test: tuple[Images, Labels], classes: Iterable[str], source: str
) -> Arrays:
    """Return a dataset of images in memory whose given labels are the true ones."""
    return Arrays(*train, train[1], *test, tuple(classes), source)


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: the arrays of `Arrays`, memory-mapped, and what meta.json says of them."""

    arrays: Arrays
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    sha256: str


def labels_sha256(labels: Labels) -> str:
    """Return a hash over labels that are trained on, in the order of their examples."""
    return hashlib.sha256(labels.tobytes()).hexdigest()
