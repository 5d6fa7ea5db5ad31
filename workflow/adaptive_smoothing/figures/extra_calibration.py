"""Calibration, beyond the paper: reliability diagram, expected calibration error and negative log-likelihood.

Drawn from the metrics table of Fig. 5's runs: last epoch, test set, each method at its best hyper-parameter (by test
accuracy). Bins are those of the calibration error (Guo et al. 2017), pooled over seeds.
"""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import _extras
from adaptive_smoothing.figures._panels import curve, legend
from adaptive_smoothing.figures._style import GREY, Look, epoch_text, frame_figure
from adaptive_smoothing.results import summary

TABLE = "metrics"
MEASURES = {"ece": "calibration error (%)", "nll": "neg. log-likelihood (nats)"}
BINS = ("count", "confidence", "accuracy")
LARGEST = 60  # area of a bin with all test examples, in points²


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return a row a task and series (methods, control, IVON averaged over its posterior).

    Columns: chosen; ece (percent) and nll (nats) with `_std`, n, diverged, epoch; lists over non-empty bins, pooled
    over seeds: count, confidence and accuracy (percent); missing (runs that the table lacks).
    """
    columns = [f"test_{name}{of}" for of in ("", "_mc") for name in ("ece", "nll", *(f"bin_{name}" for name in BINS))]
    _extras.require_columns(frame, columns, description)
    rows = _extras.best_and_control(frame, description)
    means = _named(rows, "")
    if (averaged := rows[rows["test_ece_mc"].notna() & ~rows["diverged"] & (rows["series"] == "ivon")]).size:
        means = pd.concat([means, _named(averaged.assign(series=_extras.AVERAGED), "_mc")], ignore_index=True)
    keys = ["task", "series", "chosen", "edge"]
    points = summary.over_seeds(means, keys, list(MEASURES))
    bins = pd.DataFrame([_pooled(rows) for _, rows in means.groupby(keys, sort=False)])
    points["ece"], points["ece_std"] = 100 * points["ece"], 100 * points["ece_std"]
    return points.join(bins).assign(missing=_extras.missing(frame, description))


def _named(rows: pd.DataFrame, of: str) -> pd.DataFrame:
    """Return the rows with the measures of one kind of prediction under their bare names."""
    names = {f"test_{name}{of}": name for name in MEASURES} | {f"test_bin_{name}{of}": name for name in BINS}
    return rows[["task", "series", "chosen", "edge", "diverged", "epoch", *names]].rename(columns=names)


def _pooled(rows: pd.DataFrame) -> dict[str, list[float]]:
    """Return the non-empty bins of the runs that did not diverge, together."""
    kept = rows[~rows["diverged"] & rows["count"].notna()]
    if kept.empty:
        return {name: [] for name in BINS}
    count, confidence, accuracy = (np.array(kept[name].to_list(), dtype=float) for name in BINS)
    total, full = count.sum(axis=0), count.sum(axis=0) > 0
    means = {"confidence": confidence, "accuracy": accuracy}
    sums = {name: np.nansum(count * values, axis=0) for name, values in means.items()}
    return {"count": list(total[full])} | {name: list(100 * s[full] / total[full]) for name, s in sums.items()}


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a row of panels a task: reliability, calibration error, negative log-likelihood."""
    looks, tasks = _extras.looks(data["series"], description), list(data["task"].unique())
    area = "area of a marker: share of the test examples in its bin of confidence, seeds pooled"
    figure, body = frame_figure(
        description, 1.5 + 2.0 * len(tasks), [epoch_text(data), *_extras.footer(data, description), area]
    )
    panels = body.subplots(len(tasks), 3, squeeze=False, width_ratios=[1.5, 1, 1])
    for task, (left, *others) in zip(tasks, panels, strict=True):
        rows = data[data["task"] == task].set_index("series", drop=False)
        _reliability(left, rows, looks)
        _extras.name_chosen(left, rows.reset_index(drop=True), looks)
        left.set_ylabel(f"{task}\ntest accuracy in the bin (%)")
        for axes, (measure, name) in zip(others, MEASURES.items(), strict=True):
            _points(axes, rows, looks, measure)
            axes.set_ylabel(name)
    panels[-1][0].set_xlabel("mean confidence in the bin (%)")
    sns.despine(figure)
    legend(body, [look.name for look in looks.values()], columns=3)
    return figure


def _reliability(axes: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=":", linewidth=1, label="perfectly calibrated", zorder=1)
    for name, look in looks.items():
        if name not in rows.index:
            continue
        count, x, y = (np.asarray(rows.loc[name, column], dtype=float) for column in BINS)
        if count.size:
            axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=0.9, zorder=2)
            areas = 4 + LARGEST * count / count.sum()
            axes.scatter(x, y, areas, color=look.colour, marker=look.marker, linewidth=0, zorder=3)
    axes.set(xlim=(0, 102), ylim=(0, 102))


def _points(axes: Axes, rows: pd.DataFrame, looks: dict[str, Look], measure: str) -> None:
    for place, (name, look) in enumerate(looks.items()):
        one = rows[rows["series"] == name]
        if len(one):
            curve(axes, [place], one, look, measure, line=False)
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(looks) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
