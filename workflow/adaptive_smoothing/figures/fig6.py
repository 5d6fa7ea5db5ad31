"""Fig. 6: IVON with a learned against a fixed Σ, one pair a noise (Sec. 4.3.1, Eq. 18).

Drawn from the metrics table. The posterior's mean standard deviation is drawn next to the accuracy: where the two Σ end
up equal, their accuracies say nothing about learning Σ.
"""

import textwrap
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, seeds_remark
from adaptive_smoothing.figures._style import LOOKS, Look, add_to_footer, frame_figure, runs_footer
from adaptive_smoothing.results import summary

TABLE = "metrics"
SIGMAS = {
    "learned": Look("Σ learned", LOOKS["ivon"].colour, "o", "-"),
    "fixed": Look("Σ fixed at its initial value", "black", "s", "-"),
}
LETTERS = 15  # of a line below a pair
SHIFT = 0.14  # of a pair's two points, from the middle
MEASURES = {"accuracy": "test accuracy (%)", "posterior_std": "mean s.d. of the posterior"}


class Options(Strict):
    """None."""


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs without a learned and a fixed Σ."""
    asked.needs_grid("hessian", ("learned", "fixed"))


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a task (noise) and `value` ('learned' or 'fixed' Σ).

    Columns: those of `summary.means_along`; accuracy in percent, posterior_std in units of the weights.
    """
    runs = summary.runs_with(summary.last_epochs(frame, description), "hessian", description)
    runs = summary.split_by_method(runs, description)
    return summary.means_along(runs, description, ["task"], dict.fromkeys(runs["method"], "hessian"))


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw accuracy (left) and the posterior's standard deviation (right), both as points with error bars."""
    tasks = list(data["task"].unique())
    figure, body = frame_figure(description, 3.4, [*runs_footer(data), seeds_remark(data)])
    panels = body.subplots(1, 2)
    for axes, (measure, name) in zip(panels, MEASURES.items(), strict=True):
        _pairs(axes, data, tasks, measure)
        axes.set_ylabel(name)
    sns.despine(figure)
    legend(body)
    add_to_footer(figure, begin_axes(panels))
    return figure


def _pairs(axes: Axes, data: pd.DataFrame, tasks: list[str], measure: str) -> None:
    for shift, (value, look) in zip((-SHIFT, SHIFT), SIGMAS.items(), strict=True):
        rows = data[data["value"] == value]
        face = look.colour if value == "learned" else "white"
        curve(axes, rows["task"].map(tasks.index) + shift, rows, look, measure, line=False, markerfacecolor=face)
    axes.set_xticks(range(len(tasks)), [textwrap.fill(task, LETTERS) for task in tasks])
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.margins(y=0.15)
    axes.grid(axis="x", visible=False)
