"""What runs have cost: the records of past runs in this folder, by what decides how long a run takes. No torch."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adaptive_smoothing.core.parquet import KEY
from adaptive_smoothing.core.specification import RunSpec

CPU = "cpu"  # as training/devices.py names it
COLUMNS = ["epoch", "diverged", "seconds", "device", "threads"]
STEP_FIELDS = {"model", "augment", "performance", "batch_size", "method"}  # of a specification
EPOCH_FIELDS = {*STEP_FIELDS, "validation", "train_eval_subset"}
Budget = tuple[int, int, int | None]


@dataclass(frozen=True)
class PastRun:
    """A run that was trained to its end: its device, and its seconds (all attempts)."""

    kind: str
    budget: Budget
    device: str
    threads: int
    seconds: float

    def seconds_for(self, epochs: int) -> float:
        """Return what this number of epochs would have taken."""
        return self.seconds * epochs / self.budget[0]


def budget_of(spec: RunSpec) -> Budget:
    """Return what a run of a kind may spend: epochs, epochs between evaluations, draws of the last evaluation."""
    return spec.epochs, spec.evaluate_every, spec.eval_mc_samples


def kind_of(spec: RunSpec) -> str:
    """Return what decides the time of an epoch, as text: two runs with the same one cost the same on one device."""
    dataset = spec.dataset.model_dump(mode="json", exclude={"key", "data_seed"})
    return json.dumps({**_work(spec, EPOCH_FIELDS), "dataset": dataset}, sort_keys=True)


def step_kind_of(spec: RunSpec, shape: tuple[int, int, int] | None) -> str:
    """Return what decides the time of a step, as text: as `kind_of`, but of a dataset only its images' `shape`."""
    return json.dumps({**_work(spec, STEP_FIELDS), "shape": shape}, sort_keys=True)


def _work(spec: RunSpec, fields: set[str]) -> dict[str, Any]:
    """Return fields of a specification, and the hyper-parameters that change the amount of work.

    Numbers with a fraction (learning rates, α, ρ) do not.
    """
    counted = {
        key: value
        for key, value in spec.hyperparameters.items()
        if isinstance(value, bool | int | str) and not isinstance(value, float)
    }
    return {**spec.model_dump(mode="json", include=fields), "hyperparameters": counted}


def read(results: Path = Path("results")) -> list[PastRun]:
    """Return the past runs of all scales; damaged files, and runs that diverged, are left out."""
    pasts = (_read_run(path) for path in sorted(results.glob("*/runs/**/metrics.parquet")))
    return [past for past in pasts if past is not None]


def _read_run(path: Path) -> PastRun | None:
    try:
        table = pq.read_table(path, columns=COLUMNS, partitioning=None)
        spec = RunSpec.model_validate(json.loads(table.schema.metadata[KEY])["specification"])
        last = table.slice(table.num_rows - 1).to_pylist()[0]
    except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException):
        return None
    if last["diverged"] or last["epoch"] != spec.epochs:
        return None
    return PastRun(kind_of(spec), budget_of(spec), last["device"], last["threads"], last["seconds"])


def comparable(pasts: Iterable[PastRun], spec: RunSpec, threads: int) -> dict[str, list[PastRun]]:
    """Return device → past runs that cost what this one will.

    On a CPU those with the same number of threads, else those with the most frequent number. If some have the same
    budget, those; else all, whose times are to be scaled by epochs.
    """
    kind, budget = kind_of(spec), budget_of(spec)
    by_device: dict[str, list[PastRun]] = defaultdict(list)
    for past in pasts:
        if past.kind == kind:
            by_device[past.device].append(past)
    if on_cpu := by_device.get(CPU):
        counts = Counter(past.threads for past in on_cpu)
        number = threads if threads in counts else counts.most_common(1)[0][0]
        by_device[CPU] = [past for past in on_cpu if past.threads == number]
    same = {device: [past for past in those if past.budget == budget] for device, those in by_device.items()}
    return {device: same[device] or those for device, those in by_device.items()}


def seconds(pasts: Iterable[PastRun], epochs: int) -> float:
    """Return the median time of past runs, scaled to this number of epochs."""
    return median(past.seconds_for(epochs) for past in pasts)
