"""Metrics of runs: the rows of all runs, below each other (Fig. 5–10 and most extras)."""

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.results.inputs import Inputs, Table


def check_runs(asked: AskedFigure) -> None:
    """Refuse a figure without runs."""
    asked.needs_runs()


def make(inputs: Inputs) -> Table:
    """Return the rows of all runs' metrics, below each other."""
    return parquet.concatenated(inputs.metrics), {}
