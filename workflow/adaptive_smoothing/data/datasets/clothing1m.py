"""clothing1m: Xiao et al. (2015), 1 M web images of 14 kinds of clothing, labels taken from the surrounding text.

Its authors hand it out on request; it is never downloaded. The folder clothing1m/ holds it in its official layout:
noisy_train_key_list.txt lists the training images, which get their noisy labels; clean_test_key_list.txt lists the test
images, which get their clean labels. The other two key lists are not used. Every file is read once, so that a training
never meets one that is missing or truncated. While training, images are decoded from disk.
"""

import hashlib
import io
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import Literal, PositiveInt, Strict, model_validator
from adaptive_smoothing.data.image_files import IMAGE_FORMATS, list_problems, unreadable_reason
from adaptive_smoothing.data.types import UNKNOWN, Arrays, Decode, Paths, Source

CLASSES = 14
SIZES = {"train_size": 1_000_000, "test_size": 10_526, "channels": 3}  # as published
IMAGES = "files"
OWN_FILES = True  # `own_files` says which: the lists alone, since a million images cannot be looked at when planning
NAMES = (
    "T-shirt",
    "Shirt",
    "Knitwear",
    "Chiffon",
    "Sweater",
    "Hoodie",
    "Windbreaker",
    "Jacket",
    "Down Coat",
    "Suit",
    "Shawl",
    "Dress",
    "Vest",
    "Underwear",
)
FOLDER = "clothing1m"
TRAIN_KEYS, TEST_KEYS = "noisy_train_key_list.txt", "clean_test_key_list.txt"
NOISY_LABELS, CLEAN_LABELS = "noisy_label_kv.txt", "clean_label_kv.txt"
NEEDED = (TRAIN_KEYS, TEST_KEYS, NOISY_LABELS, CLEAN_LABELS, "images")
TWICE = "listed more than once"
OUTSIDE = "with a path that leaves the folder"
UNLABELLED = "without a label"
NO_CLASS = f"with a class outside 0–{CLASSES - 1}"
MISSING = "without a file"
UNREADABLE = "unreadable"
CHUNK = 256  # files that a process checks at a time
PROGRESS = 5000  # files between two lines in the log
Labelled = dict[str, str]  # path → label, as it is written
Problems = dict[str, list[str]]  # kind → paths


class Options(Strict):
    """Shorter side and crop in pixels while training; whether unusable images are refused or left out."""

    resize: PositiveInt
    crop: PositiveInt
    unusable: Literal["refuse", "leave_out"]

    @model_validator(mode="after")
    def _crop_fits(self) -> "Options":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} does not fit into images whose shorter side is resize {self.resize}")
        return self


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return the paths and labels of the usable images; a clean label is UNKNOWN if the dataset gives none.

    Raises UserError if the dataset is missing, or if images are unusable and `unusable` is "refuse".
    """
    folder = source.root / FOLDER
    _check_there(folder)
    noisy, clean = _labelled(folder / NOISY_LABELS), _labelled(folder / CLEAN_LABELS)
    problems: Problems = {kind: [] for kind in (TWICE, OUTSIDE, UNLABELLED, NO_CLASS, MISSING, UNREADABLE)}
    seen: set[str] = set()
    test = _with_labels(_lines(folder / TEST_KEYS), clean, seen, problems)
    train = _with_labels(_lines(folder / TRAIN_KEYS), noisy, seen, problems)
    train = [key for key in train if _is_class(key, clean.get(key, "0"), problems)]
    digests = _digests(folder, [*train, *test], problems)
    train, test = ([key for key in keys if key in digests] for keys in (train, test))
    return Arrays(
        train_images=_paths(train),
        train_labels=np.array([int(noisy[key]) for key in train], dtype=np.int64),
        train_clean_labels=np.array([int(clean.get(key, UNKNOWN)) for key in train], dtype=np.int64),
        test_images=_paths(test),
        test_labels=np.array([int(clean[key]) for key in test], dtype=np.int64),
        classes=NAMES,
        source=f"Clothing1M in its official layout{_left_out(folder, options, problems)}",
        decode=Decode(options.resize, options.crop),
        content=hashlib.sha256(b"".join(digests[key] for key in (*train, *test))).hexdigest(),
    )


def own_files(options: dict[str, Any], root: Path) -> tuple[Path, list[str]]:
    """Return the dataset's folder, and the names in it of the lists that say which image is what."""
    folder = root / FOLDER
    _check_there(folder)
    return folder, [TRAIN_KEYS, TEST_KEYS, NOISY_LABELS, CLEAN_LABELS]


def _check_there(folder: Path) -> None:
    if missing := [name for name in NEEDED if not (folder / name).exists()]:
        raise UserError(
            f"dataset clothing1m: {folder.absolute()} lacks {', '.join(missing)}; Clothing1M is never downloaded: ask "
            "its authors for it (Xiao et al., CVPR 2015, by e-mail as their project page says) and unpack it there"
        )


def _lines(file: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        return [line for line in map(str.strip, file.read_text(encoding="utf-8").splitlines()) if line]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"dataset clothing1m: {file} cannot be read ({error})") from error


def _labelled(file: Path) -> Labelled:
    """Return path → label of a file whose lines are 'path label'; contradicting labels are both kept."""
    labels: Labelled = {}
    for line in _lines(file):
        key, _, label = line.rpartition(" ")
        labels[key.rstrip()] = label if labels.get(key, label) == label else f"{labels[key]} and {label}"
    return labels


def _with_labels(keys: list[str], labels: Labelled, seen: set[str], problems: Problems) -> list[str]:
    """Return the keys that lists and labels allow; add the others to `problems`, and all of them to `seen`."""
    usable = []
    for key in keys:
        if key in seen:
            problems[TWICE].append(key)
        elif key.startswith("/") or ".." in key.split("/"):
            problems[OUTSIDE].append(key)
        elif key not in labels:
            problems[UNLABELLED].append(key)
        elif _is_class(key, labels[key], problems):
            usable.append(key)
        seen.add(key)
    return usable


def _is_class(key: str, label: str, problems: Problems) -> bool:
    """Return whether a label is the number of a class; if not, add the key to `problems`."""
    legal = label.isdecimal() and int(label) < CLASSES
    if not legal:
        problems[NO_CLASS].append(f"{key}: {label}")
    return legal


def _digests(folder: Path, keys: list[str], problems: Problems) -> dict[str, bytes]:
    """Return path → sha256 of the readable images, and add the others to `problems`; all cores read."""
    digests, began = {}, time.perf_counter()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(cores, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        checked = pool.map(partial(check_image, str(folder)), keys, chunksize=CHUNK)
        for number, (key, (digest, kind, reason)) in enumerate(zip(keys, checked, strict=True), start=1):
            if kind:
                problems[kind].append(f"{key}: {reason}" if reason else key)
            else:
                digests[key] = digest
            if number % PROGRESS == 0 or number == len(keys):
                speed = number / (time.perf_counter() - began)
                log(f"{number} of {len(keys)} images checked, {speed:.0f} a second")
    return digests


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which SIGKILL leaves no time to end its children."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def check_image(folder: str, key: str) -> tuple[bytes, str, str]:
    """Return (sha256, kind of problem, reason) of an image; the last two are empty for a readable one.

    A JPEG is decoded at an eighth of its size, which is faster and still reads its first byte to its last.
    """
    from PIL import Image

    try:
        content = Path(folder, key).read_bytes()
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            image.draft("RGB", (1, 1))
            image.load()
    except (FileNotFoundError, NotADirectoryError):
        return b"", MISSING, ""
    except Exception as error:  # Pillow raises half a dozen kinds for a damaged file
        return b"", UNREADABLE, unreadable_reason(error)
    return hashlib.sha256(content).digest(), "", ""


def _left_out(folder: Path, options: Options, problems: Problems) -> str:
    """Return a description of what was left out, for `Arrays.source`; raise UserError if the options refuse it."""
    unusable = {kind: names for kind, names in problems.items() if names}
    described = "; ".join(list_problems(f"images {kind}", names) for kind, names in unusable.items())
    if unusable and options.unusable == "refuse":
        raise UserError(
            f"dataset clothing1m: {folder.absolute()} has {described}; repair it, or let them be left out by "
            "unusable: leave_out"
        )
    return "".join(f", {len(names)} left out {kind}" for kind, names in unusable.items())


def _paths(keys: Sequence[str]) -> Paths:
    return np.array([f"{FOLDER}/{key}".encode() for key in keys], dtype=np.bytes_)
