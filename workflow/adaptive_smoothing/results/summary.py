"""From a metrics table to points over seeds: the one place where figures, claims and reports get their numbers.

- *Last epoch*: the row of a run with the highest epoch. Accuracies are in percent, those of IVON at its posterior mean.
- *Diverged*: the last epoch says so, or its test accuracy or test negative log-likelihood is not finite (the accuracy
  alone could be that of a guess). The measures of a diverged run are NaN and enter no mean.
- *Best of a grid*: the point with the highest mean over the seeds that did not diverge; the first of equal points.

Pandas only; nothing is drawn or judged here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results.names import method_name, noise_name, parameter_value

ACCURACIES = {"accuracy": "test_accuracy", "accuracy_mc": "test_accuracy_mc", "validation": "validation_accuracy"}
Description = Mapping[str, Any]  # what a figure's table says of itself


def last_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each run's last evaluated epoch, in the order of the table."""
    return frame.sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1).sort_index()


def last_epochs(frame: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return each run's last evaluated epoch, with columns added or replaced.

    `diverged` (bool); `accuracy`, `accuracy_mc` (averaged over the posterior) and `validation`, in percent;
    `posterior_std`; `task`: the noise as it is written, with dataset and model where the table has several.
    """
    last = last_rows(frame)
    diverged = last["diverged"].astype("boolean").fillna(False).astype(bool)
    diverged |= ~(_finite(last["test_accuracy"]) & _finite(last["test_nll"]))
    measures = {name: (100 * last[column].astype(float)).mask(diverged) for name, column in ACCURACIES.items()}
    measures["accuracy_mc"] = measures["accuracy_mc"].where(_finite(last["test_nll_mc"]))
    measures["posterior_std"] = last["posterior_std"].astype(float).mask(diverged)
    return last.assign(task=_tasks(last, description), diverged=diverged, **measures)


def _finite(values: "pd.Series[Any]") -> "pd.Series[bool]":
    return values.astype(float).abs().lt(np.inf)  # False for NaN too


def _tasks(runs: pd.DataFrame, description: Description) -> "pd.Series[str]":
    task = runs["noise"].map(lambda key: noise_name(key, description))
    for column in ("model", "dataset"):
        if runs[column].nunique() > 1:
            task = runs[column] + ", " + task
    return task


def runs_with(runs: pd.DataFrame, column: str, description: Description) -> pd.DataFrame:
    """Return the runs that have a value in `column`; raise UserError if none has."""
    rows = runs[runs[column].notna()] if column in runs.columns else runs.iloc[:0]
    if rows.empty:
        raise UserError(f"figure {description['figure']}: none of its runs has a '{column}', which it is drawn over")
    return rows


def split_by_method(runs: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Return the runs with the method before the noise in `task`, where there are several methods."""
    if runs["method"].nunique() < 2:
        return runs
    return runs.assign(task=runs["method"].map(lambda method: method_name(method, description)) + ", " + runs["task"])


def grid_of(description: Description, method: str, runs: pd.DataFrame) -> list[str]:
    """Return the hyper-parameters that a method's runs have a grid of."""
    return [axis for axis in description.get("grids", {}).get(method, []) if axis in runs.columns]


def best_point(runs: pd.DataFrame, axes: Sequence[str], measure: str = "accuracy") -> dict[str, Any] | None:
    """Return the best point of a grid (axis → value) by the mean of `measure`; None if no run has that measure."""
    if not axes:
        return {}
    means = runs.groupby(list(axes), sort=False, dropna=False)[measure].mean()
    if means.isna().all():
        return None
    best = means.idxmax()  # the first of equals
    return dict(zip(axes, best if isinstance(best, tuple) else (best,), strict=True))


def at_point(runs: pd.DataFrame, point: Mapping[str, Any]) -> pd.DataFrame:
    """Return the runs at one point of a grid."""
    for axis, value in point.items():
        runs = runs[runs[axis].isna() if pd.isna(value) else runs[axis] == value]
    return runs


def best_runs(
    runs: pd.DataFrame, axes: Sequence[str], within: Sequence[str] = (), measure: str = "accuracy"
) -> pd.DataFrame:
    """Return the runs at the best point of a grid, for each combination of the columns `within`.

    Columns are added: `chosen`, that point as text ('α = 0.1'), '' without a grid; `edge`, the part of that text at the
    edge of the grid (see `edges`). Where no run has the measure, no point is best: all runs are returned, with ''.
    """
    parts = []
    for rows in _groups(runs, within):
        point = best_point(rows, axes, measure) or {}
        chosen = ", ".join(parameter_value(axis, value) for axis, value in point.items())
        edge = ", ".join(parameter_value(axis, point[axis]) for axis in edges(rows, point))
        parts.append(at_point(rows, point).assign(chosen=chosen, edge=edge))
    return pd.concat(parts) if parts else runs.assign(chosen="", edge="")


def edges(runs: pd.DataFrame, point: Mapping[str, Any]) -> list[str]:
    """Return the hyper-parameters of a point that lie at the end of the runs' values, where a better one may be beyond.

    Zero is no such end: most hyper-parameters end there themselves. Nor are words, which have no order.
    """
    return [axis for axis, value in point.items() if at_edge(runs[axis], value)]


def at_edge(values: "pd.Series[Any]", value: object) -> bool:
    """Return whether a value that is not zero is the lowest or the highest of several numbers."""
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    if numbers.nunique() < 2 or not pd.api.types.is_number(value) or not value:
        return False
    return bool(value in (numbers.min(), numbers.max()))


def _groups(runs: pd.DataFrame, keys: Sequence[str]) -> Iterator[pd.DataFrame]:
    if keys:
        yield from (rows for _, rows in runs.groupby(list(keys), sort=False, dropna=False))
    else:
        yield runs


def runs_along(runs: pd.DataFrame, axis: str, axes: Sequence[str]) -> dict[Any, pd.DataFrame]:
    """Return, by rising value of one axis of a grid, the runs there, with all other axes at their best."""
    best = best_runs(runs[runs[axis].notna()], [other for other in axes if other != axis], [axis])
    return {value: best[best[axis] == value] for value in sorted(best[axis].unique())}


def over_seeds(
    runs: pd.DataFrame, keys: Sequence[str], measures: Sequence[str] = ("accuracy", "posterior_std")
) -> pd.DataFrame:
    """Return means over seeds, a row a combination of `keys`, in order of appearance.

    Columns: the keys; each measure (mean), `<measure>_std` (sample s.d.; NaN for one seed) and `<measure>_seeds` (the
    values) over the `n` runs that did not diverge; `diverged` (how many did); `epoch` (the last).
    """
    measured = {name: runs[name].astype(float).mask(runs["diverged"]) for name in measures}
    grouped = runs.assign(finished=~runs["diverged"], **measured).groupby(list(keys), sort=False, dropna=False)
    columns: dict[str, Any] = {name: (name, "mean") for name in measures}
    columns |= {f"{name}_std": (name, "std") for name in measures}
    columns |= {f"{name}_seeds": (name, lambda values: list(values.dropna())) for name in measures}
    columns |= {"n": ("finished", "sum"), "diverged": ("diverged", "sum")}
    if "epoch" not in keys:
        columns["epoch"] = ("epoch", "max")
    means: pd.DataFrame = grouped.agg(**columns).reset_index()
    return means


def means_along(
    runs: pd.DataFrame, description: Description, keys: Sequence[str], axes: Mapping[str, str]
) -> pd.DataFrame:
    """Return means over seeds along one hyper-parameter a method, with all its other gridded ones at their best.

    Args: `runs` from `last_epochs`; `keys`, what to keep apart besides methods; `axes`, method → hyper-parameter,
    methods left out have none. Columns: those of `over_seeds`, `method`, `parameter` and `value` (the hyper-parameter
    of `axes`), `chosen` and `edge` (see `best_runs`).
    """
    parts = []
    for method, rows in runs.groupby("method", sort=False):
        axis = axes.get(str(method))
        values = rows[axis].astype(object) if axis else pd.Series(None, index=rows.index, dtype=object)
        rows = rows.assign(parameter=axis, value=values)
        others = [name for name in grid_of(description, str(method), rows) if name != axis]
        within = [*keys, "method", "parameter", "value"]
        parts.append(over_seeds(best_runs(rows, others, within), [*within, "chosen", "edge"]))
    return pd.concat(parts, ignore_index=True)
