"""What a training tells the world while it runs: its log's head and a line an epoch, and its progress record.

The record, progress.json beside the metrics, is for `status` to read: how far the run is, which process trains it, and
when it was last heard of.
"""

import contextlib
import json
import math
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from adaptive_smoothing.core import environment
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.core.units import duration

FILE = "progress.json"
BEAT_S = 10.0  # between two writes of the record within an epoch
EPOCH_BEAT_S = 1.0  # at the ends of epochs, which may be shorter than this
MEASURES = {
    "test_accuracy": "test",
    "validation_accuracy": "validation",
    "train_accuracy_noisy": "train noisy",
    "train_accuracy_clean": "train clean",
}


def head(run: str, spec: RunSpec, device: str, threads: int, parameters: int) -> str:
    """Return the head of a run's log: name, device, versions, seeds and the whole specification."""
    seeds = {"data": spec.dataset.data_seed, "noise": spec.noise_seed, "training": spec.seed}
    lines = [
        f"run {run}",
        f"device {device}, {threads} threads, {parameters:,} parameters",
        "versions " + ", ".join(f"{package} {version}" for package, version in environment.versions().items()),
        "seeds " + ", ".join(f"{kind} {seed}" for kind, seed in seeds.items()),
        *(f"  {key}: {json.dumps(value)}" for key, value in spec.plain().items()),
    ]
    return "\n".join(lines)


class Clock:
    """Tells how long the rest takes, from what this attempt has done so far."""

    def __init__(self, epochs: int, epoch: int, part: float) -> None:
        """Start at `epoch` of `epochs`, of which this `part` (0–1) is done."""
        self.epochs = epochs
        self.begun_at = epoch + part
        self.begun = time.perf_counter()

    def left(self, epoch: float) -> float:
        """Return the seconds that the epochs after `epoch` (parts of one count) take; infinite if nobody can know."""
        spent, done = time.perf_counter() - self.begun, epoch - self.begun_at
        # Nothing is done where a run was resumed between an epoch's last step and its end.
        return spent / done * (self.epochs - epoch) if done else math.inf

    def line(self, epoch: int, loss: float, rate: float, images_per_second: float, row: dict[str, Any]) -> str:
        """Return the line of a finished epoch; accuracies are there where `row` holds measures of it."""
        parts = [f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}", f"loss {loss:.4f}"]
        parts += [f"{name} {100 * row[key]:.2f} %" for key, name in MEASURES.items() if row.get(key) is not None]
        parts += [f"lr {rate:.3g}", f"{images_per_second:.0f} images/s"]
        if row.get("diverged"):
            return "  ".join([*parts, "the loss is not finite: diverged, the run ends here and its metrics say so"])
        return "  ".join([*parts, f"ETA {duration(self.left(epoch))}"])


class ProgressWriter:
    """The run's progress record: written whole now and then, gone with the run's success, telling after its failure.

    It names host, process and process's start, so that nobody takes one attempt for another. A disk that
    refuses it costs the record, never the run. Nothing waits for it (no fsync, nothing read from a GPU).
    """

    def __init__(self, path: Path, epochs: int) -> None:
        """Write the first record of a run of so many epochs, whose data are not opened yet."""
        self._path = path
        self._record: dict[str, Any] = {
            "phase": "starting",
            "epochs": epochs,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "job": _slurm_job(),
            "began": time.time(),
        }
        self._clock: Clock | None = None
        self._steps_per_epoch, self._batch_size = 1, 0
        self._window, self._steps = time.monotonic(), 0  # since when how many steps were done: images a second
        self._write()

    def begin(self, clock: Clock, steps_per_epoch: int, batch_size: int, device: str, restarts: int) -> None:
        """Say what is trained on which device, and after how many restarts."""
        self._clock, self._steps_per_epoch, self._batch_size = clock, steps_per_epoch, batch_size
        self._record |= {"steps_per_epoch": steps_per_epoch, "device": device, "restarts": restarts}
        self._tell("training", clock.begun_at)

    def step(self, epoch: int, step: int) -> None:
        """Hear that so many steps of the epoch after `epoch` finished ones are done."""
        self._steps += 1
        self._record["epoch"] = epoch + step / self._steps_per_epoch
        spent = time.monotonic() - self._window
        if spent >= BEAT_S:
            self._record["images_per_second"] = self._steps * self._batch_size / spent
            self._window, self._steps = time.monotonic(), 0
            self._tell("training", self._record["epoch"])

    def evaluate(self, epoch: int, images_per_second: float) -> None:
        """Hear that `epoch` epochs are trained and that the last one is evaluated now."""
        self._record["images_per_second"] = images_per_second
        self._tell_in_time("evaluating", epoch)

    def epoch_end(self, epoch: int, images_per_second: float) -> None:
        """Hear that an epoch is over; evaluation is no part of images a second."""
        self._record["images_per_second"] = images_per_second
        self._tell_in_time("training", epoch)
        self._window, self._steps = time.monotonic(), 0

    def remove(self) -> None:
        """Delete the record: the run has ended well."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave word of what ended the run, for those who cannot ask its host whether the process lives."""
        if kind is not None:
            self._record["ended"] = kind.__name__
            self._write()

    def _tell_in_time(self, phase: str, epoch: float) -> None:
        if time.time() - self._record["time"] >= EPOCH_BEAT_S:
            self._tell(phase, epoch)

    def _tell(self, phase: str, epoch: float) -> None:
        left = self._clock.left(epoch) if self._clock else math.inf
        self._record |= {"phase": phase, "epoch": epoch, "seconds_left": left if math.isfinite(left) else None}
        self._write()

    def _write(self) -> None:
        self._record["time"] = time.time()
        part = self._path.with_name(f".{self._path.name}.part")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self._record))
            part.replace(self._path)


def _slurm_job() -> str | None:
    """Return the id of the SLURM job that this process belongs to, as squeue writes it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
