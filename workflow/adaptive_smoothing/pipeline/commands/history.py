"""What runs have cost: the records of all past runs in this folder, by what decides how long a run takes. No torch."""

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
from adaptive_smoothing.pipeline.plan import Specification

CPU = "cpu"  # as speed.name_of records it
COLUMNS = ["epoch", "diverged", "seconds", "device", "threads"]
BUDGET = ("epochs", "evaluate_every", "eval_mc_samples")


@dataclass(frozen=True)
class PastRun:
    """A run that was trained to its end: on what, and for how many seconds (all attempts)."""

    kind: str
    budget: tuple[int, ...]
    device: str
    threads: int
    seconds: float

    def seconds_for(self, epochs: int) -> float:
        """Return what so many epochs would have taken."""
        return self.seconds * epochs / self.budget[0]


def kind_of(specification: Specification) -> str:
    """Return what decides the time of an epoch, as text: two runs with the same one cost the same on one device.

    Of the hyper-parameters those that are numbers with a fraction (learning rates, α, ρ) change no amount of work.
    """
    dataset = {key: value for key, value in specification["dataset"].items() if key not in ("key", "data_seed")}
    counted = {
        key: value
        for key, value in specification["hyperparameters"].items()
        if isinstance(value, bool | int | str) and not isinstance(value, float)
    }
    keys = ("validation", "model", "augment", "performance", "train_eval_subset", "batch_size", "method")
    same = {key: specification.get(key) for key in keys}
    return json.dumps({**same, "dataset": dataset, "hyperparameters": counted}, sort_keys=True)


def read(results: Path = Path("results")) -> list[PastRun]:
    """Return the past runs of all scales; files that are damaged, and runs that diverged, tell nothing."""
    found = (_read(path) for path in sorted(results.glob("*/runs/**/metrics.parquet")))
    return [past for past in found if past is not None]


def _read(path: Path) -> PastRun | None:
    try:
        table = pq.read_table(path, columns=COLUMNS, partitioning=None)
        specification: dict[str, Any] = json.loads(table.schema.metadata[KEY])["specification"]
        last = table.slice(table.num_rows - 1).to_pylist()[0]
        kind, budget = kind_of(specification), tuple(specification[key] for key in BUDGET)
    except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException):
        return None
    if last["diverged"] or last["epoch"] != budget[0]:
        return None
    return PastRun(kind, budget, last["device"], last["threads"], last["seconds"])


def comparable(pasts: Iterable[PastRun], specification: Specification, threads: int) -> dict[str, list[PastRun]]:
    """Return device → past runs that cost what this one will.

    On a CPU those with as many threads, where there are any, else those with the number that most had. Of the same
    budget where there are any, else those whose epochs are to be scaled.
    """
    kind, budget = kind_of(specification), tuple(specification[key] for key in BUDGET)
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
    """Return the median time of past runs, scaled to so many epochs."""
    return median(past.seconds_for(epochs) for past in pasts)
