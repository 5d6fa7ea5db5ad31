"""Fig. 10: test accuracy against IVON's Hessian initialisation h₀, one line a noise (App. B.1; Eq. 18 and 20).

Drawn from the metrics table. Below: the posterior's mean standard deviation at the last epoch, for h₀ acts through
Σ = 1 / (λ (h + δ)) alone.
"""

import math
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, seeds_remark
from adaptive_smoothing.figures._style import GREY, add_to_footer, frame_figure, runs_footer, task_looks
from adaptive_smoothing.results import summary

TABLE = "metrics"
SAME = 0.05  # relative difference below which lines would lie on each other


class Options(Strict):
    """None."""


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs without a grid of h₀."""
    asked.needs_grid("hess_init")


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a task (noise) and h₀ (`value`), by h₀ in each task.

    Columns: those of `summary.means_along`; accuracy in percent, posterior_std in units of the weights.
    """
    runs = summary.runs_with(summary.last_epochs(frame, description), "hess_init", description)
    runs = summary.split_by_method(runs, description)
    points = summary.means_along(runs, description, ["task"], dict.fromkeys(runs["method"], "hess_init"))
    return points.sort_values("value", kind="stable", ignore_index=True)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw accuracy (above) and the posterior's standard deviation (below) over h₀."""
    looks = task_looks(list(data["task"].unique()))
    figure, body = frame_figure(description, 4.8, [*runs_footer(data), seeds_remark(data)])
    upper, lower = body.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    difference = _largest_difference(data)
    for task, look in looks.items():
        rows = data[data["task"] == task]
        curve(upper, rows["value"].astype(float), rows, look)
        if difference >= SAME:
            curve(lower, rows["value"].astype(float), rows, look, "posterior_std")
    if difference < SAME:
        _common_line(lower, data, difference)
    values = sorted(data["value"].unique())
    lower.set_xscale("log")
    lower.set_xticks(values, [f"{value:g}" for value in values])
    lower.xaxis.set_minor_locator(NullLocator())
    if data["posterior_std"].gt(0).any():  # a logarithmic axis needs something to scale by
        lower.set_yscale("log")
        lower.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        lower.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        lower.yaxis.set_minor_locator(NullLocator())
    upper.set_ylabel("test accuracy (%)")
    lower.set(xlabel="Hessian initialisation h₀", ylabel="mean s.d. of\nthe posterior")
    sns.despine(figure)
    legend(body)
    add_to_footer(figure, begin_axes([upper]))
    return figure


def _largest_difference(data: pd.DataFrame) -> float:
    """Return by which share the posterior's s.d. of two tasks differ at most at any h₀ (inf: they cannot be compared).

    Below SAME their lines would lie on each other.
    """
    table = data.pivot(index="value", columns="task", values="posterior_std").astype(float)
    if table.shape[1] < 2 or table.isna().any(axis=None) or (table <= 0).any(axis=None):
        return math.inf
    return float((table.max(axis=1) / table.min(axis=1) - 1).max())


def _common_line(axes: Axes, data: pd.DataFrame, difference: float) -> None:
    """Draw the mean over the tasks as one line, and say so."""
    means = data.groupby("value")["posterior_std"].mean()
    axes.plot(means.index.astype(float), means, color=GREY, marker="o", zorder=3)
    text = f"one line for all {data['task'].nunique()} noises: they differ by at most {100 * difference:.1g} %"
    axes.text(0.98, 0.9, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color="0.3")
