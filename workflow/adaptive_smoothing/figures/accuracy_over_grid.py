"""Test accuracy of IVON, and of LS over α and SAM over ρ: a row of panels a noise (Fig. 5, 8 and 9; Sec. 4.3.1, 4.3.3).

Drawn from the metrics table. The grids in the scale decide the columns: a method with a grid has a panel over its first
hyper-parameter, a method without one is a level line. LS is Eq. 1; IVON's noise is Eq. 20.
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, level, seeds_remark
from adaptive_smoothing.figures._style import Look, add_to_footer, frame_figure, method_looks, runs_footer
from adaptive_smoothing.results import summary
from adaptive_smoothing.results.names import parameter_name, value_text

TABLE = "metrics"


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a noise, method and value of its hyper-parameter.

    Columns: task (the row of panels), method, parameter and value (its first gridded hyper-parameter; null for a
    method without a grid), chosen (its other gridded hyper-parameters, at their best), best_at_edge (whether the point
    is its panel's best, at the edge of the grid), accuracy and others of `summary.means_along` (percent).
    """
    axes = {method: names[0] for method, names in description["grids"].items() if names}
    return _with_best(summary.means_along(summary.last_epochs(frame, description), description, ["task"], axes))


def _with_best(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points with `best_at_edge`: the best of its task's panel, at the edge of the grid."""
    panels = [_best_at_edge(rows) for _, rows in points.groupby(["task", "method"], sort=False)]
    return points.assign(best_at_edge=pd.concat(panels))


def _best_at_edge(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether a point of one panel's method is the best one, at the edge of the grid."""
    best = rows["accuracy"].max()
    marked = [
        bool(accuracy == best) and summary.at_edge(rows["value"], value)
        for accuracy, value in zip(rows["accuracy"], rows["value"], strict=True)
    ]
    return pd.Series(marked, index=rows.index)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a row of panels a task, a column a gridded method, and the methods without a grid as level lines."""
    looks = method_looks(data["method"], description)
    gridded = [method for method in looks if data.loc[data["method"] == method, "parameter"].notna().any()]
    levels = [method for method in looks if method not in gridded]
    tasks = list(data["task"].unique())
    best = "other gridded hyper-parameters at their best on the test set" if data["chosen"].any() else ""
    figure, body = frame_figure(description, 1.35 + 1.75 * len(tasks), [*runs_footer(data), seeds_remark(data), best])
    panels = body.subplots(len(tasks), max(len(gridded), 1), sharey="row", sharex="col", squeeze=False)
    for task, row in zip(tasks, panels, strict=True):
        rows = data[data["task"] == task]
        row[0].set_ylabel(f"{task}\ntest accuracy (%)")
        for method, axes in zip(gridded, row, strict=False):
            _over_grid(axes, rows[rows["method"] == method], data[data["method"] == method], looks[method])
        for axes in row:
            for method in levels:
                if (rows["method"] == method).any():
                    level(axes, rows[rows["method"] == method], looks[method])
            axes.grid(axis="x", visible=False)
            if not gridded:
                axes.set_xticks([])
    for method, axes in zip(gridded, panels[-1], strict=False):
        parameter = data.loc[data["method"] == method, "parameter"].iloc[0]
        axes.set_xlabel(f"{looks[method].name}: {parameter_name(parameter)}")
    sns.despine(figure)
    legend(body, [look.name for look in looks.values()])
    own_scale = "each row has its own scale" if len(tasks) > 1 else ""
    add_to_footer(figure, begin_axes(panels[:, 0]), own_scale, _edge_remark(data, looks))
    return figure


def _edge_remark(data: pd.DataFrame, looks: dict[str, Look]) -> str:
    """Return what the rings mean and where they are, or '' where there is none."""
    marked = data[data["best_at_edge"]]
    if marked.empty:
        return ""
    places = [
        f"{look.name} {_values(rows)} in {len(rows)} of {count} rows"
        for method, look in looks.items()
        if len(rows := marked[marked["method"] == method])
        and (count := data.loc[data["method"] == method, "task"].nunique())
    ]
    return f"ring: the best value is the edge of its grid, so a better one may lie beyond: {', '.join(places)}"


def _values(points: pd.DataFrame) -> str:
    """Return the values of one method's points as text: 'ρ = 0.05, 0.5'."""
    values = ", ".join(dict.fromkeys(map(value_text, _ordered(points["value"]))))
    return f"{parameter_name(points['parameter'].iloc[0])} = {values}"


def _over_grid(axes: Axes, rows: pd.DataFrame, of_all_tasks: pd.DataFrame, look: Look) -> None:
    """Draw a method over its grid at evenly spaced places: grids are often irregular or span decades."""
    values = _ordered(of_all_tasks["value"])
    axes.set_xticks(range(len(values)), [value_text(value) for value in values])
    axes.set_xlim(-0.4, len(values) - 0.6)
    places = rows["value"].map(values.index)
    rows = rows.assign(place=places).sort_values("place")
    curve(axes, rows["place"], rows, look)
    ringed = rows[rows["best_at_edge"]]
    ring: dict[str, Any] = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "linestyle": "none"}
    axes.plot(ringed["place"], ringed["accuracy"], color="0.2", markeredgewidth=0.9, zorder=6, **ring)


def _ordered(values: "pd.Series[Any]") -> list[Any]:
    """Return the distinct values, numbers by size and anything else as it comes."""
    distinct = list(values.unique())
    return sorted(distinct) if all(isinstance(value, int | float) for value in distinct) else distinct
