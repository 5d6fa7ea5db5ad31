"""Fig. 7: test accuracy under class-dependent noise of rising level κ (Eq. 21–22, Sec. 4.3.2), one line a method.

Drawn from the metrics table. A method with a grid is drawn at its best hyper-parameter for each κ, chosen on the test
set as in the paper. Published curves, where given, are drawn faintly behind.
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_smoothing.core.asked import AskedFigure, Undrawable
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, seeds_remark
from adaptive_smoothing.figures._style import GREY, Look, add_to_footer, frame_figure, method_looks, runs_footer
from adaptive_smoothing.results import summary

TABLE = "metrics"
FAINT = 0.35  # opacity of published curves


class Options(Strict):
    """Published accuracies in percent, method → one a κ of the figure, rising; none if empty."""

    published: dict[str, tuple[float, ...]] = {}


def check_runs(asked: AskedFigure) -> None:
    """Refuse noises without κ, several datasets, models or β, and published curves that do not fit the runs."""
    for run in asked.runs:
        if "kappa" not in run.noise_options:
            raise run.refused(f"noise '{run.noise}' has no κ, over which kind '{asked.kind}' draws its runs", "noises")
    asked.needs_one("dataset", [run.dataset for run in asked.runs])
    asked.needs_one("model", [run.model for run in asked.runs])
    asked.needs_one("β", [f"{run.noise_options['beta']:g}" for run in asked.runs])
    levels = sorted({run.noise_options["kappa"] for run in asked.runs})
    for method, accuracies in asked.options["published"].items():
        if method not in {run.method for run in asked.runs}:
            raise Undrawable(f"no run is of '{method}'", "options", "published", method)
        if len(accuracies) != len(levels):
            text = f"{len(accuracies)} accuracies, but the runs have {len(levels)} levels κ"
            raise Undrawable(f"{text}: {', '.join(f'{level:g}' for level in levels)}", "options", "published", method)


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a κ and method, by κ.

    Columns: dataset, noise_kappa, noise_beta, method, chosen and edge (see `summary.best_runs`), published (percent,
    NaN without), accuracy and accuracy_std (percent), n, diverged, epoch and others of `summary.means_along`. Raises
    UserError if the runs have no κ, several datasets, models or β, or the published curves another number of points.
    """
    runs = summary.runs_with(summary.last_epochs(frame, description), "noise_kappa", description)
    for column in ("dataset", "model", "noise_beta"):
        if len(several := runs[column].unique()) > 1:
            raise UserError(f"figure {description['figure']}: draws one {column}, not {', '.join(map(str, several))}")
    points = summary.means_along(runs, description, ["dataset", "noise_kappa", "noise_beta"], {})
    points = points.sort_values("noise_kappa", kind="stable", ignore_index=True)
    return points.assign(published=_published(points, description))


def _published(points: pd.DataFrame, description: dict[str, Any]) -> "pd.Series[float]":
    levels = sorted(points["noise_kappa"].unique())
    result = pd.Series(float("nan"), index=points.index)
    for method, accuracies in description["options"]["published"].items():
        if len(accuracies) != len(levels):
            raise UserError(
                f"figure {description['figure']}: published.{method} has {len(accuracies)} accuracies, "
                f"but the runs have {len(levels)} levels κ: {', '.join(f'{level:g}' for level in levels)}"
            )
        rows = points["method"] == method
        result[rows] = points.loc[rows, "noise_kappa"].map(dict(zip(levels, accuracies, strict=True)))
    return result


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw accuracy over κ; the chosen hyper-parameters are written below each κ."""
    looks = method_looks(data["method"], description)
    tuned = [look.name for method, look in looks.items() if data.loc[data["method"] == method, "chosen"].any()]
    best = f"{' and '.join(tuned)} at the best hyper-parameter for each κ, chosen on the test set" if tuned else ""
    edge = "*: at the edge of its grid, so a better value may lie beyond" if data["edge"].any() else ""
    figure, body = frame_figure(description, 4.2, [*runs_footer(data), seeds_remark(data), best, edge])
    axes = body.subplots()
    for method, look in looks.items():
        rows = data[data["method"] == method]
        curve(axes, rows["noise_kappa"], rows, look)
        if rows["published"].notna().any():
            _faint(axes, rows, look)
    _chance(axes, data["dataset"].iloc[0], description)
    axes.set(xlabel=f"noise level κ  (β = {data['noise_beta'].iloc[0]:g})", ylabel="test accuracy (%)")
    axes.set_xticks(*_ticks(data, looks))
    axes.grid(axis="x", visible=False)
    sns.despine(figure)
    names = [name for look in looks.values() for name in (look.name, _published_name(look))]
    legend(body, names, columns=len(looks) + 1)
    add_to_footer(figure, begin_axes([axes]))
    return figure


def _faint(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    axes.plot(
        rows["noise_kappa"],
        rows["published"],
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markerfacecolor="none",
        alpha=FAINT,
        zorder=1,
        label=_published_name(look),
    )


def _published_name(look: Look) -> str:
    return f"{look.name}, published"


def _chance(axes: Axes, dataset: str, description: dict[str, Any]) -> None:
    """Draw the accuracy of a guess, if the table says how many classes there are."""
    if classes := description.get("classes", {}).get(dataset):
        axes.axhline(100 / classes, color=GREY, linestyle=":", linewidth=1, label="chance", zorder=1)


def _ticks(data: pd.DataFrame, looks: dict[str, Look]) -> tuple[list[float], list[str]]:
    """Return each κ and the text below it: κ, then a line a tuned method with its chosen hyper-parameters."""
    levels = list(data["noise_kappa"].unique())
    texts = []
    for level in levels:
        points = data[data["noise_kappa"] == level].set_index("method")
        chosen = points["chosen"] + points["edge"].map(lambda edge: "*" if edge else "")
        lines = [f"{look.name}: {chosen[method]}" for method, look in looks.items() if chosen.get(method)]
        texts.append("\n".join([f"{level:g}", *lines]))
    return levels, texts
