"""What the extras drawn from runs share: each method at its best hyper-parameter, and plain SGD; means over seeds.

The best is that of the highest mean test accuracy at the last epoch, as in Fig. 7. Where label smoothing's grid holds
α = 0, those runs are the control: SGD without any smoothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.figures._style import Look, diverged_text, method_looks, seeds_text
from adaptive_smoothing.results import summary

CONTROL, AVERAGED = "plain", "ivon_mc"
OWN_LOOKS = {
    CONTROL: Look("SGD without smoothing", "#000000", "P", (0, (1, 2.5))),
    AVERAGED: Look("IVON, averaged over its posterior", "#E69F00", "v", (0, (8, 2))),
}
Description = dict[str, Any]


def looks(series: Iterable[str]) -> dict[str, Look]:
    """Return the look of each series: methods in the order of legends, then control and average."""
    present = dict.fromkeys(series)
    own = {name: look for name, look in OWN_LOOKS.items() if name in present}
    return method_looks(name for name in present if name not in own) | own


def require_columns(frame: pd.DataFrame, columns: Sequence[str], description: Description) -> None:
    """Raise UserError unless the table has the columns, which one made by earlier code may lack."""
    for column in columns:
        if column not in frame:
            raise UserError(f"figure {description['figure']}: its table lacks the column '{column}'; make it anew")


def best_and_control(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return the last epoch of the runs at their method's best hyper-parameters, and of the control's runs.

    Columns: those of `summary.last_epochs`; series (method or control); chosen (see `summary.best_runs`).
    """
    parts = []
    for method, rows in summary.last_epochs(frame, description).groupby("method", sort=False):
        grid = summary.grid_of(description, str(method), rows)
        parts.append(summary.best_runs(rows, grid, ["task"]).assign(series=method))
        if method == "ls" and "alpha" in grid:
            parts.append(rows[rows["alpha"] == 0].assign(series=CONTROL, chosen=""))
    return pd.concat(parts, ignore_index=True)


def over_epochs(frame: pd.DataFrame, description: Description, measures: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds (see `summary.over_seeds`) of the chosen runs, a row a task, series and evaluated epoch.

    Runs that diverged count at the last epoch alone; a series all of whose runs diverged has NaN there.
    """
    picked = best_and_control(frame, description)[["run", "task", "series", "chosen", "diverged"]]
    rows = frame.drop(columns="diverged").merge(picked, on="run")
    ended = rows[rows["diverged"]].drop_duplicates(["run", "series"]).assign(epoch=frame["epoch"].max())
    rows = pd.concat([rows[~rows["diverged"]], ended], ignore_index=True)
    means = summary.over_seeds(rows, ["task", "series", "chosen", "epoch"], measures)
    return means.sort_values("epoch", kind="stable", ignore_index=True)


def name_chosen(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Write the chosen hyper-parameters of one task's series above a panel, on the left."""
    best = rows.drop_duplicates("series").set_index("series")["chosen"]
    texts = [f"{look.name}: {best[name]}" for name, look in looks.items() if best.get(name)]
    axes.set_title(", ".join(texts), loc="left", fontsize=7, color="0.3", pad=2)


def missing(frame: pd.DataFrame, description: Description) -> int:
    """Return how many of the runs that the table was made from have no row in it."""
    return len(set(description.get("runs", ())) - set(frame["run"]))


def footer(data: pd.DataFrame) -> list[str]:
    """Return what a reader must know of means over seeds of chosen runs (columns n, diverged, chosen, missing)."""
    lost = int(data["missing"].max())
    tuned = [
        look.name for name, look in looks(data["series"]).items() if data.loc[data["series"] == name, "chosen"].any()
    ]
    best = f"{' and '.join(tuned)} at the best hyper-parameter on the test set, noise by noise" if tuned else ""
    posterior = "IVON evaluated at its mean" if "ivon" in set(data["series"]) else ""
    lacking = f"{lost} of the runs are missing from the table" if lost else ""
    return [seeds_text(data), best, posterior, diverged_text(data), lacking]
