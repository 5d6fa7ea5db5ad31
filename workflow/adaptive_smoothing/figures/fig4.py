"""Fig. 4: the smoothed labels of IVON, OLS and LS, one panel a class, one row a dataset.

Drawn from the soft-label table. LS: Eq. 1. OLS: its matrix of soft labels, Eq. 3–5. IVON: E_q[softmax], a mean over
the class's training examples (Sec. 4.2; how to average is not stated in the paper). Control: the mean softmax of an
ordinary network (LS with α = 0), which any confusion of classes shapes in the same way.
"""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from adaptive_smoothing.core.asked import AskedFigure, Undrawable
from adaptive_smoothing.core.options import Annotated, Distinct, Field, NonNegativeInt, Strict
from adaptive_smoothing.figures._panels import legend
from adaptive_smoothing.figures._style import LOOKS, frame_figure

TABLE = "soft_labels"
Vector = NDArray[np.float64]
LOWEST = 1e-6  # no logarithmic axis begins below
MANY = 20  # classes; of more, only the SHOWN most probable ones have bars
SHOWN = 12
CONTROL = "plain network's softmax (control)"


class Options(Strict):
    """The classes that have a panel."""

    classes: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs without two of the methods to compare, with others, or with several kinds of run of one method."""
    compared = ("ivon", "ols", "ls")
    drawn = {}
    for run in asked.runs:
        if run.method not in compared:
            raise run.refused(f"kind '{asked.kind}' draws {', '.join(compared)}, not '{run.method}'")
        series = (run.dataset, run.method, run.hyperparameters.get("alpha") if run.method == "ls" else None)
        if series in drawn:
            text = f"kind '{asked.kind}' draws one kind of run of '{run.method}' on dataset '{run.dataset}'"
            raise run.refused(f"{text}, not two (noises or hyper-parameters differ)", "noises")
        drawn[series] = run
        if run.classes is not None and max(asked.options["classes"]) >= run.classes:
            text = f"dataset '{run.dataset}' has the classes 0 to {run.classes - 1}"
            raise Undrawable(f"{asked.options['classes']} is not allowed; {text}", "options", "classes")
    for dataset in {run.dataset for run in asked.runs}:
        methods = {run.method for run in asked.runs if run.dataset == dataset}
        if len(methods) < 2:
            text = f"kind '{asked.kind}' compares {', '.join(compared)}"
            raise Undrawable(f"{text}; dataset '{dataset}' has runs of '{min(methods)}' alone", "runs")


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return dataset, series ('IVON', 'OLS', 'LS, α = 0.1' or the control), label, other, value, n.

    `value` is the mean over the `n` runs (seeds) of the mean over training examples with `label`, at class
    `other`; only the classes of the options.
    """
    rows = frame[frame["label"].isin(description["options"]["classes"])]
    series = [_series(*row) for row in zip(rows["method"], rows["quantity"], rows["alpha"], strict=True)]
    rows = rows.assign(series=series)
    keys = ["dataset", "series", "label", "other"]
    grouped = rows[rows["series"] != ""].groupby(keys, sort=False)
    return grouped.agg(value=("value", "mean"), n=("run", "nunique")).reset_index()


def _series(method: str, quantity: str, alpha: float) -> str:
    """Return the series that a row of the table belongs to, '' if it is not drawn."""
    match method, quantity:
        case "ivon", "softmax_mc":
            return "IVON"
        case "ols", "soft_label":
            return "OLS"
        case "ls", "soft_label" if alpha > 0:
            return f"LS, α = {alpha:g}"
        case "ls", "softmax" if alpha == 0:
            return CONTROL
    return ""


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw the label vectors over the classes, on a logarithmic axis."""
    datasets, classes = list(data["dataset"].unique()), description["options"]["classes"]
    seeds, floor = int(data["n"].max()), _floor(data)
    footer = [
        f"means over the training examples that bear the label, {seeds} seed{'s' if seeds > 1 else ''}",
        "IVON: E_q[softmax]; OLS and LS: the label that training aims at",
        f"bars begin at {_power(floor)}, on a logarithmic axis: their lengths are no ratios",
        f"of more than {MANY} classes the {SHOWN} that a vector other than LS's makes most probable, largest first",
    ]
    footer = footer if data.groupby("dataset")["other"].nunique().max() > MANY else footer[:-1]
    figure, body = frame_figure(description, 1.2 + 1.9 * len(datasets), footer)
    panels = body.subplots(len(datasets), len(classes), sharey=True, squeeze=False)
    for dataset, row in zip(datasets, panels, strict=True):
        row[0].set_ylabel(f"{dataset.replace('_', ' ')}\nprobability")
        for label, axes in zip(classes, row, strict=True):
            _panel(axes, data[(data["dataset"] == dataset) & (data["label"] == label)], label, floor)
    sns.despine(figure)
    smoothing = [name for name in data["series"].unique() if name.startswith("LS")]
    legend(body, ["IVON", "OLS", *smoothing, CONTROL])
    return figure


def _floor(data: pd.DataFrame) -> float:
    """Return where bars begin: at the power of ten below the smallest value that is drawn, or at LOWEST."""
    panels = data.groupby(["dataset", "label"], sort=False)
    values = pd.concat([rows.loc[rows["other"].isin(most_probable(rows)), "value"] for _, rows in panels])
    smallest = values[values > 0].min()
    return LOWEST if np.isnan(smallest) else max(LOWEST, float(10 ** np.floor(np.log10(smallest))))


def _power(value: float) -> str:
    """Return a power of ten as it is written: '10⁻⁴'."""
    return "10" + f"{round(np.log10(value))}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def most_probable(vectors: pd.DataFrame) -> list[int]:
    """Return the classes that have bars, in their order: all, or of many those that a vector makes most probable.

    LS makes all others equally probable, so it has no say.
    """
    if vectors["other"].nunique() <= MANY:
        return sorted(vectors["other"].unique())
    told = vectors[~vectors["series"].str.startswith("LS")]
    largest = (told if len(told) else vectors).groupby("other")["value"].max().nlargest(SHOWN)
    return list(largest.index)


def _panel(axes: Axes, vectors: pd.DataFrame, label: int, floor: float) -> None:
    if vectors.empty:  # the dataset has fewer classes
        axes.set_axis_off()
        return
    axes.set_title(f"label {label}")
    axes.set_yscale("log")
    axes.set_ylim(floor, 1.6)
    axes.grid(axis="x", visible=False)
    classes, count = most_probable(vectors), vectors["other"].nunique()
    axes.set_xlabel("class" if len(classes) == count else f"{len(classes)} of {count} classes")
    axes.set_xticks(range(len(classes)), [str(number) for number in classes], fontsize=8 if len(classes) < 11 else 7)
    for name, rows in vectors.groupby("series", sort=False):
        values = rows.set_index("other")["value"].reindex(classes)
        _draw_series(axes, str(name), np.arange(len(classes), dtype=float), values.to_numpy())


def _draw_series(axes: Axes, name: str, x: Vector, y: Vector) -> None:
    """Draw one label vector: wide bars for OLS, narrow ones for IVON inside, hollow circles for LS, diamonds else."""
    marks: dict[str, Any] = {"linestyle": "none", "label": name, "markeredgewidth": 0.9}
    match name:
        case "OLS":
            axes.bar(x, y, width=0.9, color=LOOKS["ols"].colour, linewidth=0, label=name, zorder=2)
        case "IVON":
            axes.bar(x, y, width=0.4, color=LOOKS["ivon"].colour, linewidth=0, label=name, zorder=3)
        case name if name == CONTROL:
            marks |= {"markerfacecolor": "0.75", "markeredgecolor": "0.2"}
            axes.plot(x, y, marker="D", markersize=3.75, zorder=4, **marks)
        case _:
            marks |= {"markerfacecolor": "none", "markeredgecolor": "black"}
            axes.plot(x, y, marker="o", markersize=5, zorder=5, **marks)
