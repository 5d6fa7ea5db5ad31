"""Fig. 10: test accuracy against IVON's Hessian initialisation h₀, one line a noise (App. B.1; Eq. 18 and 20).

Drawn from the metrics table. Below: the posterior's mean standard deviation at the last epoch, for h₀ acts through
Σ = 1 / (λ (h + δ)) alone.
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures._panels import curve, legend
from adaptive_smoothing.figures._style import frame_figure, runs_footer, task_looks
from adaptive_smoothing.results import summary

TABLE = "metrics"


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
    runs = summary.split_by_method(runs)
    points = summary.means_along(runs, description, ["task"], dict.fromkeys(runs["method"], "hess_init"))
    return points.sort_values("value", kind="stable", ignore_index=True)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw accuracy (above) and the posterior's standard deviation (below) over h₀."""
    looks = task_looks(list(data["task"].unique()))
    figure, body = frame_figure(description, 4.8, runs_footer(data))
    upper, lower = body.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for task, look in looks.items():
        rows = data[data["task"] == task]
        curve(upper, rows["value"].astype(float), rows, look)
        curve(lower, rows["value"].astype(float), rows, look, "posterior_std")
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
    return figure
