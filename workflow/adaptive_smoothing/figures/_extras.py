"""What the extras drawn from runs share: each method at its best hyper-parameter beside plain SGD, means over seeds.

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
from adaptive_smoothing.results.names import parameter_value

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


def needed(frame: pd.DataFrame, columns: Sequence[str], description: Description) -> None:
    """Raise UserError unless the table has the columns, which one made by earlier code may lack."""
    for column in columns:
        if column not in frame:
            raise UserError(f"figure {description['figure']}: its table lacks the column '{column}'; make it anew")


def chosen(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return a row a run at its method's best hyper-parameters, and one more a run of the control.

    Columns: run, task (the noise as it is written), series (method or control), chosen (the best, as text; '' where
    there was nothing to choose), diverged.
    """
    runs, parts = summary.final(frame, description), []
    for method, rows in runs.groupby("method", sort=False):
        grid = description["grids"].get(method, [])
        best = summary.best(summary.over_seeds(rows, ["task", *grid]), ["task"])[["task", *grid]]
        text = [", ".join(parameter_value(name, row[name]) for name in grid) for _, row in best.iterrows()]
        parts.append(rows.merge(best.assign(chosen=text), on=["task", *grid]).assign(series=method))
        if method == "ls" and "alpha" in grid:
            parts.append(rows[rows["alpha"] == 0].assign(series=CONTROL, chosen=""))
    return pd.concat(parts, ignore_index=True)[["run", "task", "series", "chosen", "diverged"]]


def over_seeds(rows: pd.DataFrame, keys: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds, a row a combination of `keys`.

    Columns: the keys; each measure (mean) and `<measure>_std` (sample s.d.; NaN for one seed) over the `n` runs that
    did not diverge; `diverged` (how many did); `epoch` (the last).
    """
    kept = rows.assign(**{name: rows[name].astype(float).mask(rows["diverged"]) for name in measures})
    grouped = kept.assign(lasted=~rows["diverged"]).groupby(list(keys), sort=False, dropna=False)
    columns: dict[str, Any] = {name: (name, "mean") for name in measures}
    columns |= {f"{name}_std": (name, "std") for name in measures}
    columns |= {"n": ("lasted", "sum"), "diverged": ("diverged", "sum"), "last": ("epoch", "max")}
    means: pd.DataFrame = grouped.agg(**columns).reset_index()
    return means.drop(columns="last") if "epoch" in keys else means.rename(columns={"last": "epoch"})


def over_epochs(frame: pd.DataFrame, description: Description, measures: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds (see `over_seeds`) of the chosen runs, a row a task, series and evaluated epoch.

    Runs that diverged are told at the last epoch alone; a series all of whose runs did has NaN there.
    """
    picked = chosen(frame, description)
    rows = frame.drop(columns="diverged").merge(picked.drop(columns="diverged"), on="run").assign(diverged=False)
    failed = set(picked.loc[picked["diverged"], "run"])
    ended = rows[rows["run"].isin(failed)].drop_duplicates(["run", "series"])
    ended = ended.assign(diverged=True, epoch=frame["epoch"].max())
    rows = pd.concat([rows[~rows["run"].isin(failed)], ended], ignore_index=True)
    return over_seeds(rows, ["task", "series", "chosen", "epoch"], measures).sort_values(
        "epoch", kind="stable", ignore_index=True
    )


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
