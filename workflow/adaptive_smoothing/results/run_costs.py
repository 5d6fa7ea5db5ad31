"""What runs cost: device, seconds and memory, from the last row that a run has in a metrics table."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from adaptive_smoothing.core.units import span
from adaptive_smoothing.results.summary import last_rows


@dataclass(frozen=True)
class RunCost:
    """One training: device, seconds (interrupted attempts included as far as recorded), peak memory in MB."""

    device: str
    seconds: float
    peak_memory_mb: float


def costs_by_run(frame: pd.DataFrame) -> dict[str, RunCost]:
    """Return each run's cost, as far as the table has the columns; none for a table that is not of metrics."""
    if not {"run", "epoch", "device", "seconds"} <= set(frame.columns):
        return {}
    last = last_rows(frame).set_index("run")
    memory = last["peak_memory_mb"] if "peak_memory_mb" in last.columns else pd.Series(float("nan"), index=last.index)
    rows = zip(last.index, last["device"], last["seconds"], memory, strict=True)
    return {str(run): RunCost(device, seconds, peak) for run, device, seconds, peak in rows}


def total(costs: Iterable[RunCost]) -> str:
    """Return the time of all of them together in words, '–' if there are none."""
    seconds = [cost.seconds for cost in costs]
    return span(sum(seconds)) if seconds else "–"
