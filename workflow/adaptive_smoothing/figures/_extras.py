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


def looks(series: Iterable[str], description: Description) -> dict[str, Look]:
    """Return the look of each series: methods in the order of legends, then control and average."""
    present = dict.fromkeys(series)
    own = {name: look for name, look in OWN_LOOKS.items() if name in present}
    return method_looks((name for name in present if name not in own), description) | own


def require_columns(frame: pd.DataFrame, columns: Sequence[str], description: Description) -> None:
    """Raise UserError unless the table has the columns, which a table of earlier code may lack."""
    for column in columns:
        if column not in frame:
            figure = description["figure"]
            raise UserError(f"figure {figure}: its table lacks the column '{column}'; delete it and run again")


def best_and_control(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return the last epoch of the runs at their method's best hyper-parameters, and of the control's runs.

    Columns: those of `summary.last_epochs`; series (method or control); chosen and edge (see `summary.best_runs`).
    """
    parts = []
    for method, rows in summary.last_epochs(frame, description).groupby("method", sort=False):
        grid = summary.grid_of(description, str(method), rows)
        parts.append(summary.best_runs(rows, grid, ["task"]).assign(series=method))
        if method == "ls" and "alpha" in grid:
            parts.append(rows[rows["alpha"] == 0].assign(series=CONTROL, chosen="", edge=""))
    return pd.concat(parts, ignore_index=True)


def over_epochs(frame: pd.DataFrame, description: Description, measures: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds (see `summary.over_seeds`) of the chosen runs, a row a task, series and evaluated epoch.

    Runs that diverged count at the last epoch alone; a series all of whose runs diverged has NaN there.
    """
    picked = best_and_control(frame, description)[["run", "task", "series", "chosen", "edge", "diverged"]]
    rows = frame.drop(columns="diverged").merge(picked, on="run")
    ended = rows[rows["diverged"]].drop_duplicates(["run", "series"]).assign(epoch=frame["epoch"].max())
    rows = pd.concat([rows[~rows["diverged"]], ended], ignore_index=True)
    means = summary.over_seeds(rows, ["task", "series", "chosen", "edge", "epoch"], measures)
    return means.sort_values("epoch", kind="stable", ignore_index=True)


def name_chosen(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Write the chosen hyper-parameters of one task's series above a panel, on the left."""
    points = rows.drop_duplicates("series").set_index("series")
    best = points["chosen"] + points["edge"].map(lambda edge: "*" if edge else "")
    # The averaged IVON has IVON's.
    texts = [f"{look.name}: {best[name]}" for name, look in looks.items() if name != AVERAGED and best.get(name)]
    axes.set_title(", ".join(texts), loc="left", fontsize=7, color="0.3", pad=2)


def missing(frame: pd.DataFrame, description: Description) -> int:
    """Return how many of the runs that the table was made from have no row in it."""
    return len(set(description.get("runs", ())) - set(frame["run"]))


def footer(data: pd.DataFrame, description: Description) -> list[str]:
    """Return what a reader must know of means over seeds of chosen runs (columns n, diverged, chosen, missing)."""
    count = int(data["missing"].max())
    tuned = [
        look.name
        for name, look in looks(data["series"], description).items()
        if name != AVERAGED and data.loc[data["series"] == name, "chosen"].any()
    ]
    best = f"{' and '.join(tuned)} at the best hyper-parameter on the test set, noise by noise" if tuned else ""
    posterior = "IVON evaluated at its mean" if "ivon" in set(data["series"]) else ""
    lacking = f"{count} of the runs are missing from the table" if count else ""
    edge = "*: at the edge of its grid, so a better value may lie beyond" if data["edge"].any() else ""
    return [seeds_text(data), best, edge, posterior, diverged_text(data), lacking]
