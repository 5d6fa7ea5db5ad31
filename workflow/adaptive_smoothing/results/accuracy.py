"""Test accuracies of every method that a figure compares: a row a noise and method, as table, Markdown and CSV.

Last epoch, mean ± s.d. over seeds. A method with a grid is at the point that is best on the test set for that noise, as
in the paper. `summary` says what these words mean.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results import summary
from adaptive_smoothing.results.names import method_name
from adaptive_smoothing.results.text import markdown_table

COLUMNS = ("figure", "noise", "method", "chosen", "accuracy", "accuracy_std", "n", "diverged", "epoch")
FIRST = ("ls", "sam", "ivon")  # the first columns of the Markdown table; other methods follow as they come
COMPARING = ("accuracy_over_grid", "fig7")  # kinds of figures that compare methods, even where there is one only
COLUMNS_READ = (  # columns of a metrics table that `summary` reads
    *("run", "dataset", "model", "noise", "method", "epoch", "diverged", "test_nll", "test_nll_mc", "posterior_std"),
    *summary.ACCURACIES.values(),
)
CAPTION = (
    "Test accuracy in percent at the last epoch, mean ± s.d. over seeds. A method with a grid is at the point (in "
    "brackets) that is best on the test set, as in the paper."
)
Description = Mapping[str, Any]  # what a figure's table says of itself
Table = tuple[pd.DataFrame, Description]


def has_accuracies(description: Description) -> bool:
    """Whether a figure's table holds the test accuracies of its runs."""
    return bool(description.get("table") == "metrics")


def compares(description: Description) -> bool:
    """Whether a figure compares the accuracies of methods; extras do it again for other figures' runs."""
    if description["figure"].startswith(paths.EXTRA) or not has_accuracies(description):
        return False
    return len(description.get("grids", {})) > 1 or description.get("kind") in COMPARING


def of_figure(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return the accuracies of one figure's table, with COLUMNS; accuracies in percent.

    `chosen` is the best point of the method's grid as text ('' without a grid); means are over the `n` runs that did
    not diverge. Raises UserError for a table that an older version made.
    """
    if frame.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    check_columns(frame, description)
    means = summary.means_along(summary.last_epochs(frame, description), description, ["task"], {})
    tasks = pd.Categorical(means["task"], means["task"].unique())
    means = means.assign(figure=description["figure"], noise=tasks.astype(str), order=tasks.codes)
    return means.sort_values("order", kind="stable", ignore_index=True)[list(COLUMNS)]


def of_figures(tables: Sequence[Table]) -> pd.DataFrame:
    """Return the accuracies of several figures' tables below each other."""
    parts = [of_figure(frame, description) for frame, description in tables]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def markdown(accuracies: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of a Markdown table: a row a figure and noise, a column a method."""
    methods = ordered(accuracies["method"])
    rows = []
    for (figure, noise), group in accuracies.groupby(["figure", "noise"], sort=False):
        cells = {row["method"]: _cell(row) for row in group.to_dict("records")}
        rows.append([str(figure).removeprefix("fig"), str(noise), *(cells.get(method, "–") for method in methods)])
    yield from markdown_table(("figure", "noise", *map(method_name, methods)), rows)


def plain(accuracies: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain values; None where there is no number."""
    rows = accuracies.astype(object).where(accuracies.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def ordered(methods: "pd.Series[str]") -> list[str]:
    """Return the methods of a table, each once, in the order of columns."""
    present = list(methods.unique())
    return [*(method for method in FIRST if method in present), *(name for name in present if name not in FIRST)]


def _cell(row: Mapping[Hashable, Any]) -> str:
    """Return '91.1 ± 0.6 (α = 0.6)': no '±' for one seed; how many runs diverged, if any did."""
    if not row["n"]:
        return "diverged"
    spread = "" if pd.isna(row["accuracy_std"]) else f" ± {row['accuracy_std']:.1f}"
    notes = [row["chosen"]] if row["chosen"] else []
    notes += [f"{row['diverged']} of {row['n'] + row['diverged']} runs diverged"] if row["diverged"] else []
    return f"{row['accuracy']:.1f}{spread}" + (f" ({'; '.join(notes)})" if notes else "")


def check_columns(frame: pd.DataFrame, description: Description) -> None:
    """Raise UserError if the table lacks a column that accuracies are made from."""
    for column in COLUMNS_READ:
        if column not in frame.columns:
            table = paths.TABLE.format(scale=description["scale"], figure=description["figure"])
            raise UserError(f"{table}: has no column '{column}'; delete it and make it again: snakemake {table}")
