"""What a run will cost, and how that is known: from past runs on one kind of device, else from a few steps here."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptive_smoothing.core.errors import unknown
from adaptive_smoothing.pipeline.commands import dataset_sizes, history
from adaptive_smoothing.pipeline.commands.dataset_sizes import DatasetSize
from adaptive_smoothing.pipeline.commands.history import CPU, PastRun
from adaptive_smoothing.pipeline.plan import Run
from adaptive_smoothing.pipeline.runtime import gpus

if TYPE_CHECKING:
    from adaptive_smoothing.pipeline.commands.profiling import Timing


@dataclass(frozen=True)
class CostEstimate:
    """Seconds that one run takes on a device (None: unknown), and the source of that knowledge in words."""

    seconds: float | None
    device: str
    source: str
    gpus: int = 1  # that the run takes for itself, where the device is one
    rough: bool = False  # from steps of a few images, which cost more an image than those of whole batches

    @property
    def device_seconds(self) -> float:
        """Seconds of one GPU (or of the CPU); 0 where unknown."""
        return (self.seconds or 0.0) * (1 if self.device == CPU else max(1, self.gpus))


class CostModel:
    """Finds what runs cost; calibrates each kind of run at most once, and all of them in a limited time."""

    def __init__(self, runs: Sequence[Run], measured: Sequence[Run], device: str | None, seconds: float) -> None:
        """Read the past; `runs` are those that will be asked about, those `measured` also for their label noise.

        `device` is (part of) the name of the only one to look at; `seconds` may be spent on calibration. Raises
        UserError for a device on which nothing was run and that is not here.
        """
        self.here = _device_here()
        self.pasts = history.read()
        known = sorted({past.device for past in self.pasts} | {self.here})
        self.wanted = [name for name in known if device is None or device.lower() in name.lower()]
        if not self.wanted:
            raise unknown("device", device, known, "the devices of past runs and this machine's")
        self.left = seconds
        self.measured = {_calibrated_as(run) for run in measured}
        without_past = {_calibrated_as(run) for run in runs if not self._past(run)[1]}
        self.kinds_left = len(without_past | self.measured)
        self.timings: dict[str, Timing | None] = {}

    def of(self, run: Run) -> CostEstimate:
        """Return what training a run costs."""
        epochs = run.specification["epochs"]
        device, pasts = self._past(run)
        if pasts:
            same = pasts[0].budget == tuple(run.specification[key] for key in history.BUDGET)
            how = "" if same else ", scaled by epochs"
            if device == CPU and pasts[0].threads != run.resources.threads:
                how += f", with {pasts[0].threads} of its {run.resources.threads} threads"
            count = "1 past run" if len(pasts) == 1 else f"{len(pasts)} past runs"
            return CostEstimate(history.seconds(pasts, epochs), device, f"{count} on {device}{how}", run.resources.gpu)
        size = dataset_sizes.dataset_size(run)
        if size is None:
            return CostEstimate(
                None, "", f"unknown: how many images {run.dataset_folder} has is known once it is prepared"
            )
        timing = self.timing(run, size)
        if timing is None:
            return CostEstimate(None, "", "unknown: not calibrated (no time was left for it)")
        return CostEstimate(
            training_seconds(run, size, timing),
            timing.device,
            calibrated(timing, run, size),
            run.resources.gpu,
        )

    def of_measuring(self, run: Run, samples: int) -> CostEstimate:
        """Return what measuring a run's label noise costs; past measurements left no times."""
        size = dataset_sizes.dataset_size(run)
        timing = self.timing(run, size) if size else None
        if size is None or timing is None:
            return CostEstimate(None, "", "unknown: not calibrated, and past measurements left no times")
        each = timing.evaluation + samples * (timing.measuring or 0.0)
        return CostEstimate(
            size.train * each,
            timing.device,
            calibrated(timing, run, size),
            run.resources.gpu,
        )

    def timing(self, run: Run, size: DatasetSize) -> "Timing | None":
        """Return the timing of a run's kind, made now if it was not; None where the time for it is used up."""
        kind = _calibrated_as(run)
        if kind not in self.timings:
            self.timings[kind] = self._time(run, size, kind in self.measured)
        return self.timings[kind]

    def _time(self, run: Run, size: DatasetSize, measured: bool) -> "Timing | None":
        share = self.left / max(1, self.kinds_left)
        self.kinds_left -= 1
        device = CPU if run.resources.device == CPU else self.here
        if self.left <= 0 or device not in self.wanted:
            return None
        from adaptive_smoothing.pipeline.commands import profiling  # imports torch, in seconds

        begun = time.monotonic()
        threads, on = run.resources.threads, "cpu" if device == CPU else "cuda"
        timing = profiling.profile_run(run.specification, size, threads, on, share, measured)
        self.left -= time.monotonic() - begun
        return timing

    def _past(self, run: Run) -> tuple[str, list[PastRun]]:
        """Return a device and past runs on it: this machine's; for a run that wants a GPU, one on which most ran."""
        found = history.comparable(self.pasts, run.specification, run.resources.threads)
        found = {device: pasts for device, pasts in found.items() if device in self.wanted}
        elsewhere = [device for device in found if device != CPU and run.resources.gpu and self.here == CPU]
        best = max(elsewhere, key=lambda device: len(found[device]), default=None)
        if len(self.wanted) == 1 and found:
            best = self.wanted[0]
        device = best or (CPU if run.resources.device == CPU else self.here)
        return device, found.get(device, [])


def training_seconds(run: Run, size: DatasetSize, timing: "Timing") -> float:
    """Return the time of a run: its steps, its evaluations and, where it has a posterior, the average at its end."""
    specification = run.specification
    epochs: int = specification["epochs"]
    every: int = specification["evaluate_every"]
    batch_size: int = specification["batch_size"]
    steps = epochs * math.ceil(size.train / batch_size)
    one = dataset_sizes.evaluated_images(specification, size) * timing.evaluation + size.train * timing.readying
    samples: int = specification["eval_mc_samples"] if timing.averaged else 0
    average = samples * size.test * timing.evaluation
    return steps * timing.step + math.ceil(epochs / every) * one + average


def calibrated(timing: "Timing", run: Run, size: DatasetSize) -> str:
    """Return how a timing was made, in words."""
    steps = "1 step" if timing.steps == 1 else f"{timing.steps} steps"
    steps += f" of {timing.images} images" if _rough(timing, run) else ""
    decoding = ", decoding of images left out" if size.on_disk else ""
    return f"calibrated here: {steps} on {timing.device}, random images{decoding}"


def _rough(timing: "Timing", run: Run) -> bool:
    batch_size: int = run.specification["batch_size"]
    return timing.images < batch_size


def simple(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with those first that a calibration is done with soonest, as far as the network's name tells."""
    return sorted(runs, key=lambda run: (run.specification["batch_size"] * _pixels(run), run.method))


def _pixels(run: Run) -> int:
    size = dataset_sizes.dataset_size(run)
    return 0 if size is None else math.prod(size.shape)


def _calibrated_as(run: Run) -> str:
    """Return what decides a step's time, as text: the kind of run, but not its dataset's name or its budget."""
    size = dataset_sizes.dataset_size(run)
    specification = {**run.specification, "dataset": {"shape": size and size.shape}, "validation": 0}
    return history.kind_of({**specification, "train_eval_subset": None}) + str(run.resources.threads)


def _device_here() -> str:
    """Return the name of this machine's device, as records name it."""
    if not gpus.devices():
        return CPU
    from adaptive_smoothing.training import devices  # imports torch, in seconds

    return devices.device_name(devices.choose_device("auto"))
