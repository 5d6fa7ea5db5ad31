"""Fig. 2: magnitude of the label noise of logistic regression against the mean of f, one line a variance.

Drawn from the quadrature table: ε = σ(mean) - E[σ(f)], f ~ N(mean, variance) (Eq. 12 and 13, Sec. 3.1).
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Annotated, Distinct, Field, Positive, PositiveInt, Strict
from adaptive_smoothing.figures._panels import legend
from adaptive_smoothing.figures._style import frame_figure

TABLE = "quadrature"


class Options(Strict):
    """Variances of f, and the means: `points` of them from -largest_mean to largest_mean."""

    variances: Annotated[tuple[Positive, ...], Field(min_length=1), Distinct]
    largest_mean: Positive
    points: PositiveInt


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return variance, mean, noise (signed ε) and magnitude (|ε|), by variance and mean."""
    return frame.assign(magnitude=frame["noise"].abs()).sort_values(["variance", "mean"], ignore_index=True)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw |ε| over the mean."""
    figure, body = frame_figure(description, 3.3, ["ε = σ(mean of f) − E σ(f), by Gauss–Hermite quadrature (Eq. 13)"])
    axes = body.subplots()
    lines = data.assign(name=[f"variance of f: {variance:g}" for variance in data["variance"]])
    sns.lineplot(lines, x="mean", y="magnitude", hue="name", style="name", palette="viridis_r", ax=axes, errorbar=None)
    if own := axes.get_legend():
        own.remove()  # in favour of the one over the panels
    axes.set(xlabel="mean of f", ylabel="magnitude of the label noise |ε|")
    axes.set_xlim(data["mean"].min(), data["mean"].max())
    axes.set_ylim(bottom=0)
    sns.despine(figure)
    legend(body)
    return figure
