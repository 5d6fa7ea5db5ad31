"""Panels that several figures share: points with error bars, level lines, and the legend over all panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from numpy.typing import ArrayLike

from adaptive_smoothing.figures._style import Look

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
