"""Images that stay on disk: batches decoded by worker processes, in the order and augmentation of (seed, epoch).

The interface is that of `memory.MemoryBatches`. Memory does not grow with the dataset: the workers share one array of
paths, and at most a few batches are decoded ahead. A batch travels through shared memory (/dev/shm on Linux).
"""

import atexit
import contextlib
import functools
import math
import os
import signal
import weakref
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.interrupts import STOP_SIGNALS
from adaptive_smoothing.core.log import log
from adaptive_smoothing.data.image_files import decode_image
from adaptive_smoothing.data.types import Decode, Paths
from adaptive_smoothing.training.augment import Normalisation, epoch_seed, flip
from adaptive_smoothing.training.batches import ImageSource

SHARED_MEMORY = "/dev/shm"
AHEAD = 2  # batches that torch's loader lets each worker decode ahead
EVALUATION_BATCH = 100  # 15 MB of 224 × 224 images; several wait in shared memory
Item = tuple[int, tuple[float, float] | None]  # row, and where the crop lies (None: in the centre)


def open_images(
    images: Paths,
    rows: NDArray[np.int64] | None,
    decode: Decode | None,
    normalise: Normalisation,
    workers: int,
    root: Path,
) -> ImageSource:
    """Return the images at the paths in `rows` (None: all), decoded by `workers` processes from files below `root`."""
    assert decode is not None  # Arrays.image_source says so
    return FileBatches(images if rows is None else images[rows], root, decode, normalise, workers)


class FileBatches:
    """The images of one part of a dataset, decoded from files, handed out as normalised float batches."""

    def __init__(self, paths: Paths, root: Path, decode: Decode, normalise: Normalisation, workers: int) -> None:
        """Hand out the images of `paths` (N, relative to `root`); `workers` processes decode, 0: this one itself."""
        self.files = _Files(paths, root, decode)
        self.normalise, self.device = normalise, normalise.device
        self.workers = workers

    def __len__(self) -> int:
        return len(self.files.paths)

    def in_order(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Tensor]:
        """Yield all images in dataset order, their centres cropped; raise UserError for one that cannot be read."""
        for images in self._decoded(_Sampler(_parts(torch.arange(len(self)), batch_size), None)):
            yield self.normalise(images)

    def shuffled(
        self, batch_size: int, augment: Sequence[str], seed: int, epoch: int, skipped: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, indices) of one epoch in an order, and with an augmentation, that (seed, epoch) determine.

        "crop": anywhere out of the resized image, else the centre; "flip": half of the images are mirrored. The first
        `skipped` batches are left out undecoded. Raises UserError for an image that cannot be read.
        """
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(self), generator=generator)
        places = torch.rand((len(self), 2), generator=generator)
        flips = torch.rand(len(self), generator=generator) < 0.5
        left = _parts(order, batch_size)[skipped:]
        batches = self._decoded(_Sampler(left, places if "crop" in augment else None))
        for images, indices in zip(batches, left, strict=True):
            turned = flip(images, flips[indices].to(self.device)) if "flip" in augment else images
            yield self.normalise(turned), indices.to(self.device)

    def _decoded(self, sampler: "_Sampler") -> Iterator[Tensor]:
        """Yield the uint8 images of each batch of `sampler` on the device."""
        if len(sampler):
            batches = _from_workers(self._loader(sampler))
            _open_iterations.add(batches)
            with contextlib.closing(batches):
                for images in batches:
                    if isinstance(images, str):
                        raise UserError(images)
                    yield images.to(self.device, non_blocking=True)

    def _loader(self, sampler: "_Sampler") -> "DataLoader[Tensor | str]":
        return DataLoader(
            self.files,
            batch_sampler=sampler,
            num_workers=_fitting(self.workers, sampler.largest * self.files.image_bytes),
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_ignore_signals,
            # The loader draws a seed for its workers: not from the global generator, whose state a run's result needs.
            generator=torch.Generator(),
        )


class _Files(Dataset["Tensor | str"]):
    """What a worker holds: the paths, as one array that forked processes share."""

    def __init__(self, paths: Paths, root: Path, decode: Decode) -> None:
        self.paths, self.root, self.decode = paths, root, decode

    @property
    def image_bytes(self) -> int:
        """The bytes of one decoded image."""
        return 3 * self.decode.crop**2

    def __getitems__(self, items: list[Item]) -> Tensor | str:
        """Return a batch of images, uint8, B × 3 × crop × crop; or the sentence of an image that cannot be read.

        The sentence is returned since the loader would wrap an exception in a worker's traceback.
        """
        images = _empty((len(items), 3, self.decode.crop, self.decode.crop))
        for position, (row, place) in enumerate(items):
            try:
                image = decode_image(self.root / self.paths[row].decode(), self.decode, place)
            except UserError as error:
                return str(error)
            images[position] = torch.from_numpy(image)
        return images


def _empty(shape: tuple[int, ...]) -> Tensor:
    """Return an uint8 tensor; in a worker in the shared memory in which it travels, as torch's own collation does.

    Moved there later, it would leave the worker's heap in pieces, which grows with every batch.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


class _Sampler:
    """Says batch by batch which images to decode, and where to crop them."""

    def __init__(self, batches: Sequence[Tensor], places: Tensor | None) -> None:
        """Take the rows of each batch; crops lie at the `places` (N × 2) of their rows, None: in the centre."""
        self.batches, self.places = batches, places

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def largest(self) -> int:
        """The number of images of the largest batch."""
        return max(map(len, self.batches))

    def __iter__(self) -> Iterator[list[Item]]:
        for rows in self.batches:
            places = [None] * len(rows) if self.places is None else map(tuple, self.places[rows].tolist())
            yield list(zip(rows.tolist(), places, strict=True))


def _fitting(workers: int, batch_bytes: int) -> int:
    """Return how many of `workers` have room for their batches in shared memory; containers often have 64 MB of it.

    The number of workers changes no batch.
    """
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:  # no such folder: macOS
        return workers
    fitting = min(workers, (status.f_bavail * status.f_frsize // batch_bytes - 2) // AHEAD)
    if fitting < workers:
        _report_small_memory(max(0, fitting), workers)
    return max(0, fitting)


@functools.cache  # once a job, not once an epoch
def _report_small_memory(fitting: int, workers: int) -> None:
    log(f"{SHARED_MEMORY} is small: {fitting} of {workers} processes decode images; a container takes --shm-size")


def _parts(rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    return rows.split(batch_size) if len(rows) else ()


def _from_workers(loader: "DataLoader[Tensor | str]") -> Generator[Tensor | str, None, None]:
    """Yield the loader's batches; when this generator is closed its workers end."""
    with _blocked(STOP_SIGNALS):
        batches = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise UserError(
            f"a process that decodes images died ({error}); memory (mem_mb) or {SHARED_MEMORY} may be too small; write "
            "fewer 'threads' in the setup's resources (1: no such processes), or give the job more memory"
        ) from error


# Those whose workers have not ended. At exit multiprocessing waits for workers, which would wait for work: end them.
_open_iterations: "weakref.WeakSet[Generator[Tensor | str, None, None]]" = weakref.WeakSet()


@atexit.register
def _end_workers() -> None:
    for batches in list(_open_iterations):
        batches.close()


@contextlib.contextmanager
def _blocked(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Hold back signals; processes and threads that start meanwhile never get them.

    A stop signal to all processes of a job must leave the workers alive: the main process still takes a step before it
    saves its state.
    """
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _ignore_signals(worker: int) -> None:
    """Let a worker ignore stop signals also where it was not forked, and so did not inherit the blocked ones."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:
    return batch
