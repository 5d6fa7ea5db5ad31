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
from adaptive_smoothing.figures._panels import curve, legend, level
from adaptive_smoothing.figures._style import Look, frame_figure, method_looks, runs_footer
from adaptive_smoothing.results import summary
from adaptive_smoothing.results.names import parameter_name, value_text

TABLE = "metrics"


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a noise, method and value of its hyper-parameter.

    Columns: task (the row of panels), method, parameter and value (its first gridded hyper-parameter; null for a
    method without a grid), chosen (its other gridded hyper-parameters, at their best), accuracy and accuracy_std
    (percent), n, diverged, epoch, posterior_std, posterior_std_std.
    """
    axes = {method: names[0] for method, names in description["grids"].items() if names}
    return summary.means_along(summary.last_epochs(frame, description), description, ["task"], axes)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a row of panels a task, a column a gridded method, and the methods without a grid as level lines."""
    looks = method_looks(data["method"])
    gridded = [method for method in looks if data.loc[data["method"] == method, "parameter"].notna().any()]
    levels = [method for method in looks if method not in gridded]
    tasks = list(data["task"].unique())
    best = "other gridded hyper-parameters at their best on the test set" if data["chosen"].any() else ""
    figure, body = frame_figure(description, 1.35 + 1.75 * len(tasks), [*runs_footer(data), best])
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
    return figure


def _over_grid(axes: Axes, rows: pd.DataFrame, of_all_tasks: pd.DataFrame, look: Look) -> None:
    """Draw a method over its grid at evenly spaced places: grids are often irregular or span decades."""
    values = _ordered(of_all_tasks["value"])
    axes.set_xticks(range(len(values)), [value_text(value) for value in values])
    axes.set_xlim(-0.4, len(values) - 0.6)
    places = rows["value"].map(values.index)
    rows = rows.assign(place=places).sort_values("place")
    curve(axes, rows["place"], rows, look)


def _ordered(values: "pd.Series[Any]") -> list[Any]:
    """Return the distinct values, numbers by size and anything else as it comes."""
    distinct = list(values.unique())
    return sorted(distinct) if all(isinstance(value, int | float) for value in distinct) else distinct
