"""Panels that several figures share: points with error bars, level lines, and Fig. 5, 8 and 9 as a whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from adaptive_smoothing.figures._style import Look, frame_figure, method_looks, runs_footer
from adaptive_smoothing.results import summary
from adaptive_smoothing.results.names import parameter_name, value_text

LEVEL_BAND = 0.15  # opacity


def curve(
    axes: Axes, x: ArrayLike, data: pd.DataFrame, look: Look, y: str = "accuracy", line: bool = True, **changes: Any
) -> None:
    """Draw means (column `y`) with s.d. (`<y>_std`) at positions `x`; crosses for points with diverged seeds.

    Args: `changes` go to `Axes.errorbar` and win over the look.
    """
    settings: dict[str, Any] = {"color": look.colour, "marker": look.marker, "label": look.name, "zorder": 3}
    settings["linestyle"] = look.line if line else "none"
    deviations = data[f"{y}_std"] if data[f"{y}_std"].notna().any() else None
    axes.errorbar(x, data[y], yerr=deviations, **{**settings, "elinewidth": 1.0, **changes})
    crosses(axes, x, data, look, y)


def crosses(axes: Axes, x: ArrayLike, data: pd.DataFrame, look: Look, y: str = "accuracy") -> None:
    """Mark the points (column `y`) behind which seeds diverged: on the mean, or on the lower axis if all did."""
    positions = np.asarray(x, dtype=float)
    lost = data[y].isna().to_numpy()
    partly = (data["diverged"] > 0).to_numpy() & ~lost
    style: dict[str, Any] = {"linestyle": "none", "marker": "x", "markeredgewidth": 1.6, "zorder": 5}
    axes.plot(positions[partly], data[y][partly], color="black", markersize=8, **style)
    if lost.any():  # an empty line without clipping would have no extent, on which the layout fails
        # On the axis itself, where no mean can lie: data keep a margin.
        edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(positions[lost], np.zeros(lost.sum()), color=look.colour, markersize=7, **edge, **style)


def level(axes: Axes, data: pd.DataFrame, look: Look) -> None:
    """Draw the accuracy of a method without a grid (one row) as a horizontal line with a band of ± 1 s.d."""
    mean, deviation = data["accuracy"].iloc[0], data["accuracy_std"].iloc[0]
    crosses(axes, [np.mean(axes.get_xlim())], data, look)
    if np.isnan(mean):
        return
    axes.axhline(mean, color=look.colour, linestyle=look.line, label=look.name, zorder=2)
    if not np.isnan(deviation):
        axes.axhspan(mean - deviation, mean + deviation, color=look.colour, alpha=LEVEL_BAND, linewidth=0, zorder=1)


def legend(body: SubFigure, names: Sequence[str] = (), columns: int = 6) -> None:
    """Put one legend over all panels, each entry once, in the order of `names` (others as they come)."""
    entries: dict[str, Any] = {}
    for axes in body.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    order = [name for name in names if name in entries]
    labels = order + [name for name in entries if name not in order]
    handles = [entries[label] for label in labels]
    body.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), columns))


def grid_data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return the points of Fig. 5, 8 and 9: means over seeds of the last epoch.

    Columns: task (the row of panels), method, parameter and value (its first gridded hyper-parameter; null for a
    method without a grid), chosen (its other gridded hyper-parameters, at their best), accuracy and accuracy_std
    (percent), n, diverged, epoch, posterior_std, posterior_std_std.
    """
    axes = {method: names[0] for method, names in description["grids"].items() if names}
    return summary.means_along(summary.last_epochs(frame, description), description, ["task"], axes)


def grid_figure(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
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
    values = ordered(of_all_tasks["value"])
    axes.set_xticks(range(len(values)), [value_text(value) for value in values])
    axes.set_xlim(-0.4, len(values) - 0.6)
    places = rows["value"].map(values.index)
    rows = rows.assign(place=places).sort_values("place")
    curve(axes, rows["place"], rows, look)


def ordered(values: "pd.Series[Any]") -> list[Any]:
    """Return the distinct values, numbers by size and anything else as it comes."""
    distinct = list(values.unique())
    return sorted(distinct) if all(isinstance(value, int | float) for value in distinct) else distinct
