"""Check the tables and figures that `make small` left behind: every run that the plan asks for, trained to its end.

    .venv/bin/python tests/check_small_outputs.py

Run from the repository's root. Exit status 1 and a line for each shortfall, if there are any.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan

SCALE = "small"
FIGURES = [f"fig{number}" for number in range(2, 11)]


def shortfalls(figure: plan.FigurePlan) -> Iterator[str]:
    """Yield what is wrong with one figure's table and files."""
    for file in paths.figure_files(SCALE, figure.name):
        if not Path(file).is_file() or Path(file).stat().st_size == 0:
            yield f"{file}: absent or empty"
    file = paths.TABLE.format(scale=SCALE, figure=figure.name)
    try:
        table, description = parquet.read_frame(file)
    except UserError as error:
        yield str(error)
        return
    if table.empty:
        yield f"{file}: has no row"
    if description["table"] != figure.description["table"]:
        yield f"{file}: is a table of '{description['table']}', not of '{figure.description['table']}'"
    elif "run" in table:
        yield from (f"{file}: {text}" for text in run_shortfalls(figure, table))
    elif figure.runs:
        yield f"{file}: has no column 'run', but the figure asks for {len(figure.runs)} runs"


def run_shortfalls(figure: plan.FigurePlan, table: pd.DataFrame) -> Iterator[str]:
    """Yield what is wrong with the runs of a table that has a column 'run'."""
    planned = {run.name for run in figure.runs}
    found = set(table["run"])
    yield from (f"lacks the run {name}" for name in sorted(planned - found))
    yield from (f"has the run {name}, which the plan does not ask for" for name in sorted(found - planned))
    if figure.description["table"] == "metrics":
        for run in figure.runs:
            if run.name in found:
                yield from metric_shortfalls(run, table[table["run"] == run.name])


def metric_shortfalls(run: plan.Run, rows: pd.DataFrame) -> Iterator[str]:
    """Yield what is wrong with one run's rows, one an evaluated epoch."""
    last = run.specification["epochs"]
    if rows["epoch"].max() != last:
        yield f"{run.name}: ends at epoch {rows['epoch'].max()}, not {last}"
    if rows["epoch"].duplicated().any():
        yield f"{run.name}: has an epoch twice"
    if not rows["test_accuracy"].between(0, 1).all():  # false for a missing value, too
        yield f"{run.name}: test_accuracy is missing or outside 0–1"


def main() -> int:
    """Print every shortfall, or how much was checked; return the exit status."""
    figures = plan.load(SCALE).figures
    found = [f"{name}: not in the plan of '{SCALE}'" for name in FIGURES if name not in figures]
    found += [text for figure in figures.values() for text in shortfalls(figure)]
    for text in found:
        print(f"error: {text}")
    if not found:
        runs = plan.load(SCALE).runs
        print(f"{len(figures)} figures from {len(runs)} runs are as config/{SCALE}.yaml plans them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
