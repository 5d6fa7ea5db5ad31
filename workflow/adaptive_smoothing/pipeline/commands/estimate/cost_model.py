"""What a run will cost, and how that is known: from past runs on one kind of device, else from a few steps here."""

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptive_smoothing.core.errors import unknown
from adaptive_smoothing.pipeline.commands.estimate import history
from adaptive_smoothing.pipeline.commands.estimate.dataset_sizes import DatasetSize, dataset_size
from adaptive_smoothing.pipeline.commands.estimate.history import CPU, PastRun
from adaptive_smoothing.pipeline.plan import Run
from adaptive_smoothing.pipeline.runtime import gpus

if TYPE_CHECKING:
    from adaptive_smoothing.pipeline.commands.estimate.profiling import Timing


@dataclass(frozen=True)
class CostEstimate:
    """Seconds that one job takes on a device (None: unknown), and the source of that knowledge in words."""

    seconds: float | None
    device: str
    source: str
    gpus: int = 1  # that the job takes for itself, if the device is one
    partial: bool = False  # from steps with partial batches, which cost more an image than whole ones

    @property
    def device_seconds(self) -> float:
        """Seconds of one GPU (or of the CPU); 0 if unknown."""
        return (self.seconds or 0.0) * (1 if self.device == CPU else max(1, self.gpus))


class Profiler:
    """Times each kind of run at most once on this machine, and all of them in a limited time."""

    def __init__(self, here: str, seconds: float) -> None:
        """Spend `seconds` in all; `here` is the name of this machine's device."""
        self.here, self.left = here, seconds
        self.expected: set[str] = set()  # kinds that will be asked for, and are not timed yet
        self.measured: set[str] = set()  # those whose label noise is timed as well
        self.timings: dict[str, Timing | None] = {}

    def expect(self, runs: Iterable[Run], measured: Iterable[Run]) -> None:
        """Share the time among the kinds of these runs, of which those `measured` are timed with their label noise."""
        self.measured |= {_profiled_kind(run) for run in measured}
        self.expected |= {_profiled_kind(run) for run in runs} | self.measured

    def timing(self, run: Run, size: DatasetSize) -> "Timing | None":
        """Return the timing of a run's kind; None if no time is left for it."""
        kind = _profiled_kind(run)
        if kind not in self.timings:
            share = self.left / max(1, len(self.expected))
            self.expected.discard(kind)
            self.timings[kind] = self._profile(run, size, share, kind in self.measured) if self.left > 0 else None
        return self.timings[kind]

    def device(self, run: Run) -> str:
        """Return the name of the device that a run would be trained on here."""
        return CPU if run.resources.device == CPU else self.here

    def _profile(self, run: Run, size: DatasetSize, seconds: float, measured: bool) -> "Timing":
        from adaptive_smoothing.pipeline.commands.estimate.profiling import profile_run  # imports torch, in seconds
        from adaptive_smoothing.training.devices import Machine

        began = time.monotonic()
        threads = min(run.resources.threads, len(os.sched_getaffinity(0)))  # as Snakemake limits them
        machine = Machine(device="cpu" if self.device(run) == CPU else "cuda", threads=threads)
        timing = profile_run(run.spec, size, machine, seconds, measured)
        self.left -= time.monotonic() - began
        return timing


class CostModel:
    """Finds what runs cost."""

    def __init__(self, pasts: Sequence[PastRun], profiler: Profiler, device: str | None = None) -> None:
        """Estimate from past runs, else from steps of `profiler`.

        `device` is (part of) the name of the only device to look at. Raises UserError if it is neither the device of a
        past run nor this machine's.
        """
        self.pasts, self.profiler = pasts, profiler
        known = sorted({past.device for past in pasts} | {profiler.here})
        self.devices = [name for name in known if device is None or device.lower() in name.lower()]
        if not self.devices:
            raise unknown("device", device, known, "the devices of past runs and this machine's")

    def expect(self, runs: Iterable[Run], measured: Iterable[Run]) -> None:
        """Prepare for questions about `runs`, and about the label noise of those `measured`."""
        self.profiler.expect((run for run in runs if not self._past(run)[1]), measured)

    def of_training(self, run: Run) -> CostEstimate:
        """Return what training a run costs."""
        device, pasts = self._past(run)
        if pasts:
            seconds = history.seconds(pasts, run.spec.epochs)
            return CostEstimate(seconds, device, _past_source(run, device, pasts), run.resources.gpu)
        if (size := dataset_size(run)) is None:
            reason = f"unknown: how many images {run.dataset_folder} has is known once it is prepared"
            return CostEstimate(None, "", reason)
        if (timing := self._timing(run, size)) is None:
            return CostEstimate(None, "", "unknown: no past run, and no time left to profile it")
        return _profiled_cost(training_seconds(run, size, timing), timing, run, size)

    def of_measuring(self, run: Run, samples: int) -> CostEstimate:
        """Return what measuring a run's label noise costs; past measurements left no times."""
        size = dataset_size(run)
        timing = self._timing(run, size) if size else None
        if size is None or timing is None:
            return CostEstimate(None, "", "unknown: not profiled, and past measurements left no times")
        each = timing.evaluation + samples * (timing.measuring or 0.0)
        return _profiled_cost(size.train * each, timing, run, size)

    def _timing(self, run: Run, size: DatasetSize) -> "Timing | None":
        return self.profiler.timing(run, size) if self.profiler.device(run) in self.devices else None

    def _past(self, run: Run) -> tuple[str, list[PastRun]]:
        """Return a device and past runs on it: this machine's; for a run that takes a GPU, one on which most ran."""
        here = self.profiler.here
        pasts = history.comparable(self.pasts, run.spec, run.resources.threads)
        pasts = {device: those for device, those in pasts.items() if device in self.devices}
        elsewhere = [device for device in pasts if device != CPU and run.resources.gpu and here == CPU]
        best = max(elsewhere, key=lambda device: len(pasts[device]), default=None)
        if len(self.devices) == 1 and pasts:
            best = self.devices[0]
        device = best or self.profiler.device(run)
        return device, pasts.get(device, [])


def training_seconds(run: Run, size: DatasetSize, timing: "Timing") -> float:
    """Return the time of a run: its steps, its evaluations, and the posterior-averaged evaluation at its end."""
    spec = run.spec
    steps = spec.epochs * math.ceil(size.train / spec.batch_size)
    evaluation = size.evaluated_images(spec) * timing.evaluation + size.train * timing.readying
    average = (spec.eval_mc_samples or 0) * size.test * timing.evaluation
    return steps * timing.step + math.ceil(spec.epochs / spec.evaluate_every) * evaluation + average


def cheapest_first(runs: Iterable[Run]) -> list[Run]:
    """Return the runs ordered by the pixels of a batch: those that are profiled soonest come first."""
    return sorted(runs, key=lambda run: (run.spec.batch_size * math.prod(_shape(run) or (0,)), run.method))


def device_here() -> str:
    """Return the name of this machine's device, as records name it."""
    if not gpus.devices():
        return CPU
    from adaptive_smoothing.training import devices  # imports torch, in seconds

    return devices.device_name(devices.choose_device("auto"))


def _past_source(run: Run, device: str, pasts: Sequence[PastRun]) -> str:
    """Return in words which past runs an estimate is from, and what differs from the run."""
    source = f"{len(pasts)} past run{'' if len(pasts) == 1 else 's'} on {device}"
    if pasts[0].budget != history.budget_of(run.spec):
        source += ", scaled by epochs"
    if device == CPU and pasts[0].threads != run.resources.threads:
        source += f", with {pasts[0].threads} of its {run.resources.threads} threads"
    return source


def _profiled_cost(seconds: float, timing: "Timing", run: Run, size: DatasetSize) -> CostEstimate:
    partial = timing.images < run.spec.batch_size
    source = f"measured here: {timing.steps} step{'' if timing.steps == 1 else 's'}"
    source += f" of {timing.images} images" if partial else ""
    source += f" on {timing.device}, random images"
    source += ", decoding of images left out" if size.on_disk else ""
    return CostEstimate(seconds, timing.device, source, run.resources.gpu, partial)


def _profiled_kind(run: Run) -> str:
    return f"{history.step_kind_of(run.spec, _shape(run))} {run.resources.device} {run.resources.threads}"


def _shape(run: Run) -> tuple[int, int, int] | None:
    size = dataset_size(run)
    return None if size is None else size.shape
