"""Fig. 3: how much label noise each training example gets from IVON, and the images that get most and least.

Drawn from the first run in the examples table: the norm of ε per example, linearised (Eq. 20) and exact (Eq. 16),
next to label smoothing's single value ‖y' - y‖ = α √(1 - 1/K) (Eq. 1; Sec. 4.1). The linearised norm orders the images.
"""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.core.options import Fraction, Strict
from adaptive_smoothing.figures._panels import legend
from adaptive_smoothing.figures._style import LOOKS, frame_figure

TABLE = "examples"
Vector = NDArray[np.float64]
BINS = 40
DECADES = 1.5  # a wider spread than this is drawn over a logarithmic axis
MOST_DECADES = 6  # of the logarithmic axis; smaller magnitudes are counted in its first bin
DISAGREEMENT = 3  # factor between the medians of the two magnitudes above which the linearisation is said to fail
LONGEST_NAME = 12  # letters of a class below its image
EXACT, LINEARISED = "exact (Eq. 16)", "linearised (Eq. 20)"


class Options(Strict):
    """The rate α of the label smoothing that IVON's noise is compared with."""

    alpha: Fraction


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs of a method without a posterior, whose label noise is not known."""
    for run in asked.runs:
        if not run.has_posterior:
            raise run.refused(f"kind '{asked.kind}' draws the label noise of a posterior, and '{run.method}' has none")


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return a row an example of the first run: run, index, label, magnitude_{exact,linearised}, pixels, group.

    `group` is 'most' or 'least' for the examples that are shown (those with pixels), most extreme first in each.
    """
    frame = frame[frame["run"] == frame["run"].iloc[0]]
    frame = frame.sort_values("magnitude_linearised", ascending=False, kind="stable", ignore_index=True)
    examples = frame.index[frame["pixels"].notna()]
    half = (len(examples) + 1) // 2
    group = pd.Series(None, index=frame.index, dtype=object)
    group[examples[:half]], group[examples[half:]] = "most", "least"
    columns = ["run", "index", "label", "magnitude_exact", "magnitude_linearised", "pixels"]
    result = frame[columns].assign(group=group)
    return pd.concat([result[group != "least"], result[group == "least"].iloc[::-1]], ignore_index=True)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw the distribution of magnitudes, and the images."""
    samples, alpha = description.get("label_noise_mc_samples"), description["options"]["alpha"]
    smoothing = alpha * np.sqrt(1 - 1 / data["label"].nunique())
    bins = _bins(data, smoothing)
    seed = data["run"].iloc[0].rpartition("/seed")[2].removesuffix("-posterior")
    footer = [
        f"{len(data)} training examples of one run (n = 1 seed: {seed})",
        f"{samples} Monte-Carlo samples an example" if samples else "",
        *_left_out(data, bins),
        f"images in the order of the magnitude {LINEARISED}; below each: the label it was trained with",
        disagreement(data),
    ]
    figure, body = frame_figure(description, 4.0, footer)
    left, right = body.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.25])[0]
    _distribution(left.subplots(), data, bins)
    name = f"LS, α = {alpha:g}: the same for every example"
    look = LOOKS["ls"]
    left.axes[0].axvline(smoothing, color=look.colour, linestyle=look.line, linewidth=1.8, label=name)
    legend(left, columns=1)
    _images(right, data, description["image_shape"], description.get("class_names"))
    return figure


def disagreement(data: pd.DataFrame) -> str:
    """Return that the linearisation fails here, where the medians differ by more than DISAGREEMENT, else ''."""
    exact, linearised = (
        values[np.isfinite(values)].median() for values in (data["magnitude_exact"], data["magnitude_linearised"])
    )
    if not (exact > 0 and linearised > 0):
        return ""
    factor = exact / linearised
    if max(factor, 1 / factor) <= DISAGREEMENT:
        return ""
    text, limit = ("smaller", factor) if factor > 1 else ("larger", 1 / factor)
    return (
        f"the linearisation fails here: its median is {float(f'{limit:.2g}'):,g} times {text} than the exact one's "
        f"(said above a factor of {DISAGREEMENT})"
    )


def _bins(data: pd.DataFrame, smoothing: float) -> Vector:
    """Return the edges of the bins over both magnitudes and LS's: even, or geometric where they span decades."""
    magnitudes = data[["magnitude_linearised", "magnitude_exact"]].to_numpy(dtype=float)
    magnitudes = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    if not magnitudes.size:  # every sample diverged, or there is no noise at all
        return np.linspace(0, 1, BINS + 1)
    top = 1.02 * max(magnitudes.max(), smoothing)
    if np.log10(top / np.quantile(magnitudes, 0.05)) < DECADES:
        return np.linspace(0, top, BINS + 1)
    return np.geomspace(max(magnitudes.min(), top / 10**MOST_DECADES), top, BINS + 1)


def _left_out(data: pd.DataFrame, bins: Vector) -> list[str]:
    """Return what the histogram does not show in its place."""
    values = data["magnitude_linearised"].to_numpy(dtype=float)
    below, infinite = int((values < bins[0]).sum()), int((~np.isfinite(values)).sum())
    return [
        f"{below} magnitudes (Eq. 20) below {bins[0]:.0e} are counted in the first bin" if below else "",
        f"{infinite} examples without a finite magnitude are left out" if infinite else "",
    ]


def _distribution(axes: Axes, data: pd.DataFrame, bins: Vector) -> None:
    if bins[0] > 0:
        axes.set_xscale("log")
    _histogram(axes, data["magnitude_linearised"], bins, f"IVON, {LINEARISED}", fill=True)
    _histogram(axes, data["magnitude_exact"], bins, f"IVON, {EXACT}", fill=False)
    axes.set(xlabel="magnitude of an example's label noise ‖ε‖", ylabel="training examples")
    axes.grid(axis="x", visible=False)
    sns.despine(ax=axes)


def _histogram(axes: Axes, values: "pd.Series[float]", bins: Vector, name: str, fill: bool) -> None:
    colour = LOOKS["ivon"].colour if fill else "black"
    kept = np.clip(values[np.isfinite(values)], bins[0], None)
    counts, _ = np.histogram(kept, bins)
    axes.stairs(counts, bins, fill=fill, color=colour, alpha=0.55 if fill else 1, linewidth=0.9, label=name)


def _images(part: SubFigure, data: pd.DataFrame, shape: list[int], names: list[str] | None) -> None:
    """Draw the images of both groups, each above its class (by name, where the table has the names)."""
    groups = {group: f"{group} label noise, {LINEARISED}" for group in ("most", "least")}
    for row, (group, title) in zip(part.subfigures(2, 1, squeeze=False)[:, 0], groups.items(), strict=True):
        examples = data[data["group"] == group]
        row.suptitle(title, fontsize=9)
        places = row.subplots(2, 5).ravel()
        for axes in places[len(examples) :]:
            axes.set_axis_off()
        for axes, (_, example) in zip(places, examples.iterrows(), strict=False):
            image = np.asarray(example["pixels"], dtype=np.uint8).reshape(shape).transpose(1, 2, 0)
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
            label = str(example["label"] if names is None else names[example["label"]])
            axes.set_xlabel(textwrap.shorten(label, LONGEST_NAME, placeholder="…"), fontsize=7.5, labelpad=1)
            axes.set(xticks=[], yticks=[])
