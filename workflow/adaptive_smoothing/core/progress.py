"""What a training reports while it runs: the head of its log, a line an epoch, and its progress record.

`status` reads the record, progress.json beside the metrics: how far the run is, which process trains it, and when it
last wrote the record.
"""

import contextlib
import json
import math
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from adaptive_smoothing.core import environment, processes
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.core.units import duration
from adaptive_smoothing.core.writer import Writer

FILE = "progress.json"
BEAT_S = 10.0  # between two writes of the record within an epoch
PULSE_S = 10.0  # between two changes of the record by a thread of its own
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
    """Estimates the remaining time of a run from what this attempt has done so far."""

    def __init__(self, epochs: int, epoch: int, part: float) -> None:
        """Start after `epoch` of `epochs` finished ones and this `part` (0–1) of the next."""
        self.epochs = epochs
        self.begun_at = epoch + part
        self.begun = time.perf_counter()

    def left(self, epoch: float) -> float:
        """Return the seconds that remain after `epoch` epochs (parts of one count); infinite while nothing is done."""
        spent, done = time.perf_counter() - self.begun, epoch - self.begun_at
        # Nothing is done where a run was resumed between an epoch's last step and its end.
        return spent / done * (self.epochs - epoch) if done else math.inf

    def line(self, epoch: int, loss: float, rate: float, images_per_second: float, row: dict[str, Any]) -> str:
        """Return the line of a finished epoch, with those accuracies that `row` holds."""
        parts = [f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}", f"loss {loss:.4f}"]
        parts += [f"{name} {100 * row[key]:.2f} %" for key, name in MEASURES.items() if row.get(key) is not None]
        parts += [f"lr {rate:.3g}", f"{images_per_second:.0f} images/s"]
        if row.get("diverged"):
            return "  ".join([*parts, "the loss is not finite: diverged, the run ends here"])
        return "  ".join([*parts, f"ETA {duration(self.left(epoch))}"])


class ProgressWriter:
    """The run's progress record: written as a whole, removed when the run succeeds, kept when it fails.

    It names host, process and the process's start, which together identify an attempt. If the disk refuses a write, the
    record is lost but the run continues. Nothing waits for a write: there is no fsync, and nothing is read from a GPU.
    A thread changes the record also while an evaluation or a compilation takes long, so others see that this one lives.
    """

    def __init__(self, path: Path, epochs: int, writer: Writer | None = None) -> None:
        """Write the first record of a run of `epochs` epochs, before its data are opened; `writer` allows writing."""
        self._path, self._writer = path, writer
        self._pulses, self._writing, self._ended = 0, threading.Lock(), threading.Event()
        self._record: dict[str, Any] = {
            "phase": "starting",
            "epochs": epochs,
            **processes.identity(),
            "began": time.time(),
        }
        self._clock: Clock | None = None
        self._steps_per_epoch, self._batch_size = 1, 0
        self._window, self._steps = time.monotonic(), 0  # start of a time window, and steps in it: images a second
        self._write()

    def begin(self, clock: Clock, steps_per_epoch: int, batch_size: int, device: str, restarts: int) -> None:
        """Record the start of training, on which device, and after how many restarts."""
        self._clock, self._steps_per_epoch, self._batch_size = clock, steps_per_epoch, batch_size
        self._record |= {"steps_per_epoch": steps_per_epoch, "device": device, "restarts": restarts}
        self._update("training", clock.begun_at)

    def step(self, epoch: int, step: int) -> None:
        """Record that `step` steps of the epoch after `epoch` finished ones are done."""
        self._steps += 1
        self._record["epoch"] = epoch + step / self._steps_per_epoch
        spent = time.monotonic() - self._window
        if spent >= BEAT_S:
            self._record["images_per_second"] = self._steps * self._batch_size / spent
            self._window, self._steps = time.monotonic(), 0
            self._update("training", self._record["epoch"])

    def evaluate(self, epoch: int, images_per_second: float) -> None:
        """Record that `epoch` epochs are trained and that the last one is being evaluated."""
        self._record["images_per_second"] = images_per_second
        self._update_if_due("evaluating", epoch)

    def epoch_end(self, epoch: int, images_per_second: float) -> None:
        """Record the end of an epoch; evaluation does not count for images a second."""
        self._record["images_per_second"] = images_per_second
        self._update_if_due("training", epoch)
        self._window, self._steps = time.monotonic(), 0

    def remove(self) -> None:
        """Delete the record: the run has succeeded."""
        with self._writing, contextlib.suppress(OSError):
            self._ended.set()
            if self._writer is None or self._writer.is_own():
                self._path.unlink()

    def __enter__(self) -> "ProgressWriter":
        """Change the record now and then, until the end."""
        threading.Thread(target=self._pulse, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record what ended the run, for readers on other hosts, which cannot look at the process."""
        if kind is not None and not self._ended.is_set():
            self._record["ended"] = kind.__name__
            self._write()
        self._ended.set()

    def _update_if_due(self, phase: str, epoch: float) -> None:
        if time.time() - self._record["time"] >= EPOCH_BEAT_S:
            self._update(phase, epoch)

    def _update(self, phase: str, epoch: float) -> None:
        left = self._clock.left(epoch) if self._clock else math.inf
        self._record |= {"phase": phase, "epoch": epoch, "seconds_left": left if math.isfinite(left) else None}
        if self._writer is not None:
            self._writer.check()
        self._write()

    def _pulse(self) -> None:
        while not self._ended.wait(PULSE_S):
            self._write(pulse=True)

    def _write(self, pulse: bool = False) -> None:
        """Write the record as a whole; `time` is that of the training itself, not of its thread."""
        part = self._path.with_name(f".{self._path.name}.part")
        with self._writing, contextlib.suppress(OSError):
            if pulse and self._ended.is_set():
                return
            self._pulses += 1
            self._record |= {"pulses": self._pulses} if pulse else {"pulses": self._pulses, "time": time.time()}
            if self._writer is None or self._writer.is_own():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(json.dumps(self._record))
                part.replace(self._path)
