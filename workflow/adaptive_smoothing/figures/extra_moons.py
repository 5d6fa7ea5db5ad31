"""Two moons under logistic regression, like the paper's Fig. 1: the size of a point is its label noise.

Drawn from the moons table: variational GD with Σ = I (Theorem 1, Eq. 10 and 12), and VON, which learns Σ (Eq. 18 and
19). The shade of the plane is the label noise that an example there would get.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Annotated, Field, NonNegative, Positive, PositiveInt, Seed, Strict
from adaptive_smoothing.figures._panels import legend
from adaptive_smoothing.figures._style import frame_figure

TABLE = "moons"
LARGEST = 110  # area of the point with most label noise, in points²
CLASSES = {0: ("#0072B2", "o"), 1: ("#D55E00", "D")}


class Options(Strict):
    """The data (scikit-learn's make_moons), the degree of the polynomial features, δ, and the two trainings."""

    examples: PositiveInt
    spread: NonNegative
    seed: Seed
    degree: PositiveInt
    delta: Positive
    rate_gd: Positive
    steps_gd: PositiveInt
    rate_von: Annotated[float, Field(gt=0, le=1)]
    steps_von: PositiveInt


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return the table with magnitude = |ε| added."""
    return frame.assign(magnitude=frame["noise"].abs())


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a panel a training; both share the scale of sizes and shades."""
    options = description["options"]
    examples = data[data["kind"] == "example"]
    most = data["magnitude"].max() or 1.0
    footer = [
        f"{examples['x'].count() // examples['method'].nunique()} examples of make_moons, one draw (n = 1)",
        f"features: monomials up to degree {options['degree']}, φᵀφ = 1 on average; δ = {options['delta']:g}",
        "area of a point ∝ |ε|, ε = σ(mean of f) − E σ(f) (Eq. 13), at the end of training",
    ]
    figure, body = frame_figure(description, 3.9, footer)
    methods = list(data["method"].unique())
    panels = body.subplots(1, len(methods), sharex=True, sharey=True, squeeze=False)[0]
    for axes, method in zip(panels, methods, strict=True):
        rows = data[data["method"] == method]
        shade = _plane(axes, rows[rows["kind"] == "grid"], most)
        _points(axes, rows[rows["kind"] == "example"], examples["magnitude"].max() or 1.0)
        axes.set(title=f"{method}, Σ {'learned' if method == 'VON' else '= I'}", xlabel="first coordinate")
        axes.grid(visible=False)
    panels[0].set_ylabel("second coordinate")
    body.colorbar(shade, ax=list(panels), label="label noise |ε|", shrink=0.9)
    legend(body)
    return figure


def _plane(axes: Axes, rows: pd.DataFrame, most: float) -> Any:
    """Shade the plane by |ε| and draw where the mean of f is zero; return what a colour bar needs."""
    table = rows.pivot(index="y", columns="x", values="magnitude")
    x, y = table.columns.to_numpy(dtype=float), table.index.to_numpy(dtype=float)
    shade = axes.pcolormesh(x, y, table.to_numpy(), cmap="Greys", vmin=0, vmax=1.6 * most, rasterized=True)
    means = rows.pivot(index="y", columns="x", values="mean").to_numpy()
    if np.nanmin(means) < 0 < np.nanmax(means):
        axes.contour(x, y, means, levels=[0], colors="black", linewidths=1.2)
    axes.plot([], [], color="black", linewidth=1.2, label="decision boundary")
    return shade


def _points(axes: Axes, rows: pd.DataFrame, most: float) -> None:
    for label, (colour, marker) in CLASSES.items():
        of_class = rows[rows["label"] == label]
        areas = 2 + LARGEST * of_class["magnitude"] / most
        style: dict[str, Any] = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.4, "alpha": 0.85}
        axes.scatter(of_class["x"], of_class["y"], areas, marker=marker, zorder=3, **style)
        axes.scatter([], [], 25, marker=marker, label=f"class {label}", **style)
