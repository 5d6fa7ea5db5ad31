"""Panels that several figures share: points with error bars, level lines, and the legend over all panels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from numpy.typing import ArrayLike

from adaptive_smoothing.figures._style import Look

LEVEL_BAND = 0.15  # opacity
LARGE_SPREAD = 5  # points of accuracy: above this s.d. the single seeds are drawn
SEEDS_TEXT = f"dots: single seeds, where their s.d. is above {LARGE_SPREAD} points"
FROM_ZERO = 0.25  # an axis whose data begin below this share of its top begins at zero
CUT_TEXT = "two strokes at the foot of an axis: it does not begin at zero"


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
    if y == "accuracy":
        _single_seeds(axes, x, data, look)
    crosses(axes, x, data, look, y)


def has_large_spread(data: pd.DataFrame) -> "pd.Series[bool]":
    """Return behind which points (column `accuracy`) the seeds spread so widely that each of them is drawn."""
    return data["accuracy_std"] > LARGE_SPREAD


def seeds_remark(data: pd.DataFrame) -> str:
    """Return what the dots of `curve` and `level` mean, or '' where there are none."""
    return SEEDS_TEXT if has_large_spread(data).any() else ""


def _single_seeds(axes: Axes, x: ArrayLike, data: pd.DataFrame, look: Look) -> None:
    """Draw each seed of the points with a large spread as a dot."""
    places = np.asarray(x, dtype=float)[has_large_spread(data).to_numpy()]
    for place, seeds in zip(places, data.loc[has_large_spread(data), "accuracy_seeds"], strict=True):
        style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgewidth": 0.7}
        axes.plot([place] * len(seeds), seeds, color=look.colour, markerfacecolor="white", zorder=4, **style)


def begin_axes(panels: Iterable[Axes]) -> str:
    """Let each y axis begin at zero if its data nearly do; mark the others as cut. Return what the mark means, or ''.

    To be called once all is drawn. Axes of other scales than the linear one are left as they are.
    """
    cut = [axes for axes in panels if axes.get_yscale() == "linear" and axes.has_data() and not _begins_at_zero(axes)]
    for axes in cut:
        strokes: dict[str, Any] = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 7, "linestyle": "none"}
        places: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "zorder": 6, "color": "0.3"}
        axes.plot([0, 0], [0.03, 0.055], **strokes, **places, markeredgewidth=1)
    return CUT_TEXT if cut else ""


def _begins_at_zero(axes: Axes) -> bool:
    """Return whether the y axis begins at zero (or below); make it do so if its data nearly do."""
    bottom, top = axes.get_ylim()
    if 0 < bottom < FROM_ZERO * top:
        axes.set_ylim(bottom=0)
    return bool(axes.get_ylim()[0] <= 0)


def crosses(axes: Axes, x: ArrayLike, data: pd.DataFrame, look: Look, y: str = "accuracy") -> None:
    """Mark the points (column `y`) behind which seeds diverged: on the mean, or on the lower axis if all did."""
    positions = np.asarray(x, dtype=float)
    no_mean = data[y].isna().to_numpy()
    partly = (data["diverged"] > 0).to_numpy() & ~no_mean
    style: dict[str, Any] = {"linestyle": "none", "marker": "x", "markeredgewidth": 1.6, "zorder": 5}
    axes.plot(positions[partly], data[y][partly], color="black", markersize=8, **style)
    if no_mean.any():  # an empty line without clipping would have no extent, on which the layout fails
        # On the axis itself, where no mean can lie: data keep a margin.
        edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(positions[no_mean], np.zeros(no_mean.sum()), color=look.colour, markersize=7, **edge, **style)


def level(axes: Axes, data: pd.DataFrame, look: Look) -> None:
    """Draw the accuracy of a method without a grid (one row) as a horizontal line with a band of ± 1 s.d."""
    mean, deviation = data["accuracy"].iloc[0], data["accuracy_std"].iloc[0]
    crosses(axes, [np.mean(axes.get_xlim())], data, look)
    if np.isnan(mean):
        return
    axes.axhline(mean, color=look.colour, linestyle=look.line, label=look.name, zorder=2)
    _single_seeds(axes, [np.mean(axes.get_xlim())], data, look)
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
