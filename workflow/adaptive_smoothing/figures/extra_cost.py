"""Accuracy against cost, beyond the paper: gradient evaluations and time, of one training and of a whole grid.

Drawn from the metrics table of Fig. 5's runs; each method at its best hyper-parameter (by test accuracy at the last
epoch). A gradient evaluation is one forward and backward pass of a batch: SAM does two a step, IVON one a sample.
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import _extras
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, seeds_remark
from adaptive_smoothing.figures._style import Look, add_to_footer, frame_figure
from adaptive_smoothing.results import summary

TABLE = "metrics"
COSTS = ("gradient_evaluations", "time")
PROCESSOR, WALL = "processor time (seconds)", "wall time (seconds)"
ABOUT = {
    PROCESSOR: "processor time: of all threads of a training, evaluations included; what runs beside it adds nothing",
    WALL: "wall time: of a training, data loading and evaluations included, whatever else ran beside it",
}
SEARCH = "whole grid of the method"


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds, a row a task, series and evaluated epoch.

    Columns: chosen; accuracy (percent), gradient_evaluations and time (seconds of the whole run) with `_std`;
    grid_gradient_evaluations and grid_time, of one training at each value of the method's grid (NaN for a series
    without a choice); clock (which time); n, diverged, epoch; device (all of them, as text); missing (runs that the
    table lacks).
    """
    _extras.require_columns(frame, ["gradient_evaluations", "seconds", "device", "threads"], description)
    clock = _clock(frame)
    frame = frame.assign(time=frame["processor_seconds" if clock == PROCESSOR else "seconds"])
    points = _extras.over_epochs(frame.assign(accuracy=100 * frame["test_accuracy"]), description, ["accuracy", *COSTS])
    points = points.merge(_of_grids(frame, description), on=["task", "series"], how="left")
    points.loc[points["chosen"] == "", [f"grid_{cost}" for cost in COSTS]] = float("nan")
    used = frame[["device", "threads"]].drop_duplicates().sort_values(["device", "threads"])
    device = "; ".join(f"{name}, CPU threads: {count}" for name, count in used.itertuples(index=False))
    return points.assign(clock=clock, device=device, missing=_extras.missing(frame, description))


def _clock(frame: pd.DataFrame) -> str:
    """Return which time is the cost: the processor's, where all runs were on a CPU and recorded it, else the wall's."""
    recorded = "processor_seconds" in frame and frame["processor_seconds"].notna().all()
    return PROCESSOR if recorded and set(frame["device"]) == {"cpu"} else WALL


def _of_grids(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return task, series and the summed mean costs of all values of the method's grid, diverged runs included."""
    parts = []
    for method, rows in summary.last_epochs(frame, description).groupby("method", sort=False):
        keys = ["task", *summary.grid_of(description, str(method), rows)]
        means = rows.groupby(keys, sort=False, dropna=False)[list(COSTS)].mean()
        parts.append(means.groupby("task", sort=False).sum().add_prefix("grid_").assign(series=method).reset_index())
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a row of panels a task: accuracy over gradient evaluations (left) and over time (right)."""
    looks, tasks = _extras.looks(data["series"], description), list(data["task"].unique())
    hollow = f"hollow: {SEARCH}, one seed" if data["grid_time"].notna().any() else ""
    clock = data["clock"].iloc[0]
    about = f"{ABOUT[clock]} ({data['device'].iloc[0]})"
    footer = [*_extras.footer(data, description), seeds_remark(data), hollow, about]
    figure, body = frame_figure(description, 1.5 + 1.7 * len(tasks), footer)
    panels = body.subplots(len(tasks), 2, sharex="col", sharey="row", squeeze=False)
    for task, row in zip(tasks, panels, strict=True):
        row[0].set_ylabel(f"{task}\ntest accuracy (%)")
        _extras.name_chosen(row[0], data[data["task"] == task], looks)
        for series, look in looks.items():
            rows = data[(data["task"] == task) & (data["series"] == series)]
            if len(rows):
                _series(row, rows, look)
    for axes, name in zip(panels[-1], ("gradient evaluations", clock), strict=True):
        axes.set_xlabel(name)
    panels[-1][1].set_xlim(left=0)
    if data["gradient_evaluations"].gt(0).any():  # a logarithmic axis needs something to scale by
        _decades(panels[-1][0])
    sns.despine(figure)
    legend(body, [look.name for look in looks.values()])
    add_to_footer(figure, begin_axes(panels[:, 0]))
    return figure


def _decades(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())


def _series(row: "list[Axes]", rows: pd.DataFrame, look: Look) -> None:
    """Draw a series' course over gradient evaluations, its end over seconds, and the cost of its grid in both."""
    last = rows.tail(1)
    curve(row[0], rows["gradient_evaluations"], rows, look)
    deviation = last["time_std"].fillna(0)
    curve(row[1], last["time"], last, look, line=False, xerr=deviation)
    for axes, cost in zip(row, COSTS, strict=True):
        of_grid, own = last[f"grid_{cost}"].iloc[0], last[cost].iloc[0]
        if pd.notna(of_grid) and pd.notna(own):
            height = [last["accuracy"].iloc[0]] * 2
            axes.plot([own, of_grid], height, color=look.colour, linestyle=":", linewidth=0.8, zorder=2)
            axes.plot(of_grid, height[0], color=look.colour, marker=look.marker, markerfacecolor="none", zorder=3)
