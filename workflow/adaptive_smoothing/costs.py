"""What runs cost: device, seconds and memory, from the last row that a run has in a metrics table."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Cost:
    """One training: device, seconds (interrupted attempts included as far as recorded), peak memory in MB."""

    device: str
    seconds: float
    peak_memory_mb: float


def of_table(frame: pd.DataFrame) -> dict[str, Cost]:
    """Return each run's cost, as far as the table has the columns; none for a table that is not of metrics."""
    if not {"run", "device", "seconds"} <= set(frame.columns):
        return {}
    last = frame.groupby("run", sort=False).last()
    memory = last["peak_memory_mb"] if "peak_memory_mb" in last.columns else pd.Series(float("nan"), index=last.index)
    rows = zip(last.index, last["device"], last["seconds"], memory, strict=True)
    return {str(run): Cost(device, seconds, peak) for run, device, seconds, peak in rows}


def total(costs: Iterable[Cost]) -> str:
    """Return the time of all of them together in words, '–' if there are none."""
    seconds = [cost.seconds for cost in costs]
    return span(sum(seconds)) if seconds else "–"


def span(seconds: float) -> str:
    """Return a time in words: '8.3 s', '34 min', '2.5 h'."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
