"""From a metrics table to means over seeds: the numbers behind Fig. 5–10. Pandas only, nothing is drawn here.

Accuracies are those of the last evaluated epoch (IVON's at its posterior mean), in percent. A run diverged if its test
accuracy or test negative log-likelihood is not finite: the accuracy alone would pass for that of a guess.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.figures._style import method_looks
from adaptive_smoothing.results.names import noise_name, parameter_value

Description = dict[str, Any]


def final(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return each run's last evaluated epoch, with columns added.

    `accuracy`: test accuracy in percent, NaN if the run diverged; `diverged`; `task`: the noise as it is written on
    the figure, with dataset and model where the table has several.
    """
    last = frame.sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1).sort_index()
    finite = last[["test_accuracy", "test_nll"]].abs().lt(np.inf).all(axis=1)  # false for NaN too
    task = last["noise"].map(lambda key: noise_name(key, description))
    for column in ("model", "dataset"):
        if last[column].nunique() > 1:
            task = last[column] + ", " + task
    return last.assign(accuracy=(100 * last["test_accuracy"]).where(finite), diverged=~finite, task=task)


def having(frame: pd.DataFrame, column: str, description: Description) -> pd.DataFrame:
    """Return the rows that have a value in `column`; raise UserError if none has."""
    rows = frame[frame[column].notna()] if column in frame.columns else frame.iloc[:0]
    if rows.empty:
        raise UserError(f"figure {description['figure']}: none of its runs has a '{column}', which it is drawn over")
    return rows


def apart_by_method(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs (from `final`) with the method put before `task` where there are several methods."""
    if runs["method"].nunique() < 2:
        return runs
    looks = method_looks(runs["method"])
    return runs.assign(task=runs["method"].map(lambda method: looks[method].name) + ", " + runs["task"])


def over_seeds(runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return a row a combination of `keys`, in order of appearance.

    Columns: the keys; `accuracy` (mean, percent), `accuracy_std` (sample s.d.; NaN for one seed), `posterior_std`,
    `posterior_std_std`, over the `n` seeds that did not diverge; `diverged` (how many did); `epoch`.
    """
    grouped = runs.groupby(list(keys), sort=False, dropna=False)
    return grouped.agg(
        accuracy=("accuracy", "mean"),
        accuracy_std=("accuracy", "std"),
        posterior_std=("posterior_std", "mean"),
        posterior_std_std=("posterior_std", "std"),
        n=("accuracy", "count"),
        diverged=("diverged", "sum"),
        epoch=("epoch", "max"),
    ).reset_index()


def best(summary: pd.DataFrame, within: Sequence[str]) -> pd.DataFrame:
    """Return, for each combination of `within`, the row of the highest mean accuracy (the first of equals)."""
    falling = summary.sort_values("accuracy", ascending=False, kind="stable", na_position="last")
    return falling.groupby(list(within), sort=False, dropna=False).head(1).sort_index()


def along(runs: pd.DataFrame, description: Description, keys: Sequence[str], axes: Mapping[str, str]) -> pd.DataFrame:
    """Return means over seeds along one hyper-parameter a method, at the best of all its other gridded ones.

    Args: `runs` from `final`; `keys`, what to keep apart besides methods; `axes`, method → hyper-parameter, methods
    left out have none. Columns: those of `over_seeds`, `method`, `parameter` and `value` (the hyper-parameter of
    `axes`), and `chosen`: the other gridded hyper-parameters at their best, as text ('α = 0.1'), '' without.
    """
    parts = []
    for method, rows in runs.groupby("method", sort=False):
        axis, grid = axes.get(str(method)), description["grids"].get(method, [])
        others = [name for name in grid if name != axis]
        summary = over_seeds(rows, [*keys, "method", *([axis] if axis else []), *others])
        described: dict[str, Any] = {
            "parameter": pd.Series([axis] * len(summary), dtype=object),
            "value": summary[axis].astype(object) if axis else pd.Series([None] * len(summary), dtype=object),
            "chosen": [
                ", ".join(parameter_value(name, row[name]) for name in others) if row["n"] else ""
                for _, row in summary.iterrows()
            ],
        }
        summary = summary.drop(columns=[axis] if axis else []).drop(columns=others).assign(**described)
        parts.append(best(summary, [*keys, "value"]))
    return pd.concat(parts, ignore_index=True)
