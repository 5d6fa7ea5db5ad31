"""How every figure looks and is saved: colours, markers, names, footer; PDF and PNG with the same bytes every time.

Colours are Okabe and Ito's, and no two methods share marker or dashes, so that they differ in a grey print too.
"""

import contextlib
import itertools
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

os.environ["MPLBACKEND"] = "Agg"  # matplotlib's import fails where a notebook's backend is named and not installed

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure, SubFigure
from matplotlib.typing import LineStyleType

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import unknown
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.results.names import METHODS, method_name

WIDTH = 7.2  # inches, of a figure that fills a page's width
FOOTER_SIZE = 7  # points
GREY = "0.45"
RESOLUTION = 200  # dots an inch, of the PNG
OWN: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib, so that every machine draws the same
    "pdf.fonttype": 42,  # embedded TrueType
    "figure.dpi": 100,
    "savefig.dpi": RESOLUTION,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "figure.titlesize": 10.5,
    "grid.linewidth": 0.5,
    "grid.color": "0.9",
    "axes.edgecolor": "0.3",
    "errorbar.capsize": 2.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
}


@dataclass(frozen=True)
class Look:
    """Name, colour, marker and line style of a method (or of a noise, in a figure with a line a noise)."""

    name: str
    colour: str
    marker: str
    line: LineStyleType


LOOKS = {
    "ivon": Look(METHODS["ivon"], "#D55E00", "o", "-"),
    "ls": Look(METHODS["ls"], "#009E73", "s", (0, (5, 1.5))),
    "sam": Look(METHODS["sam"], "#CC79A7", "^", (0, (1.5, 1.2))),
    "ols": Look(METHODS["ols"], "#0072B2", "D", (0, (5, 1.2, 1.2, 1.2))),
}
# Of methods that have no look of their own; none is in SPARE_… below, nor in the extras' own looks.
OTHER_COLOURS = ("#56B4E9", "#8C6D31", "#6A3D9A", "#A50F15")
OTHER_MARKERS = ("X", "p", "*", "h")
OTHER_LINES: tuple[LineStyleType, ...] = ((0, (3, 1, 1, 1, 1, 1)), (0, (8, 2, 2, 2)), (0, (2, 2)))
# Of noises, in a figure with a line a noise.
SPARE_COLOURS = ("#E69F00", "#56B4E9", "#000000", "#8C6D31")
SPARE_MARKERS = ("v", "P", "X", "p", "*", "h")
SPARE_LINES: tuple[LineStyleType, ...] = (
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2.5)),
    (0, (8, 2, 2, 2)),
    (0, (2, 2)),
)


@contextlib.contextmanager
def style_context() -> Iterator[None]:
    """Draw and save in the project's style, regardless of the user's matplotlib settings, which are restored after."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = {**sns.axes_style("whitegrid"), **sns.plotting_context("paper"), **OWN}
        mpl.rcParams.update(settings)
        yield


def save(figure: Figure, outputs: Iterable[str], description: dict[str, Any], keywords: str) -> None:
    """Write the figure into each of `outputs` (.pdf or .png), each whole or not at all, free of dates.

    Raises UserError for another ending, or where the disk refuses.
    """
    subject = description["label"] or f"{description['scale']} scale"
    common = {"Title": numbered_title(description), "Keywords": keywords}
    metadata = {
        ".pdf": {**common, "Subject": subject, "CreationDate": None},
        ".png": {**common, "Description": subject, "Software": None},
    }
    for output in outputs:
        suffix = Path(output).suffix
        if suffix not in metadata:
            raise unknown("ending of a figure's file", suffix, metadata, output)
        with atomic_write(output) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=metadata[suffix])


def method_looks(methods: Iterable[str], description: Mapping[str, Any]) -> dict[str, Look]:
    """Return the look of each method, in the order of legends: IVON, LS, SAM, OLS, then others by name."""
    present = set(methods)
    others = sorted(present - LOOKS.keys())
    spare = zip(itertools.cycle(OTHER_COLOURS), itertools.cycle(OTHER_MARKERS), itertools.cycle(OTHER_LINES))
    known = {method: look for method, look in LOOKS.items() if method in present}
    return known | {
        other: Look(method_name(other, description), *features) for other, features in zip(others, spare, strict=False)
    }


def task_looks(tasks: Sequence[str]) -> dict[str, Look]:
    """Return a look for each of the tasks (noises as written on the figure), in their order."""
    # None of the methods' own colours and markers: a noise must not be taken for a method.
    spare = zip(itertools.cycle(SPARE_COLOURS), itertools.cycle(SPARE_MARKERS), itertools.cycle(("-", *SPARE_LINES)))
    return {task: Look(task, *features) for task, features in zip(tasks, spare, strict=False)}


def frame_figure(description: dict[str, Any], height: float, footer: Sequence[str]) -> tuple[Figure, SubFigure]:
    """Return a figure with title and footer, and the part between them, which has a legend of its own.

    Args: `height` in inches; `footer`, what a reader must know (empty ones are left out). The scale's label leads it.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(textwrap.fill(numbered_title(description), _letters(mpl.rcParams["figure.titlesize"])))
    _set_footer(figure, [_scale_text(description), *footer])
    return figure, figure.add_subfigure(figure.add_gridspec()[0])


def numbered_title(description: Mapping[str, Any]) -> str:
    """Return a figure's title with its number before it, if it has one: 'Fig. 7: …'."""
    number, title = paths.number(description["figure"]), str(description["title"])
    return f"{number}: {title}" if number.startswith("Fig. ") else title


def add_to_footer(figure: Figure, *texts: str) -> None:
    """Add to the footer what shows only once the panels are drawn (empty texts are left out)."""
    _set_footer(figure, [figure.get_supxlabel().replace("\n", " "), *texts])


def _set_footer(figure: Figure, texts: Iterable[str]) -> None:
    text = textwrap.fill(" · ".join(filter(None, texts)), _letters(FOOTER_SIZE))
    figure.supxlabel(text, x=0.012, ha="left", fontsize=FOOTER_SIZE, color="0.3")


def _scale_text(description: Mapping[str, Any]) -> str:
    """Return what the scale says of itself and its data; of a figure without data, that there are none."""
    if description.get("datasets") == []:
        return f"{description['scale']} scale, none of its data"
    return description["label"] or ""


def _letters(size: float) -> int:
    """Return how many letters of `size` points fit a line."""
    mean_width = 0.5  # of a letter, in its size
    return int(0.97 * WIDTH * 72 / (mean_width * size))


def seeds_text(data: pd.DataFrame) -> str:
    """Return how many seeds the points are means of (column `n`), and what the bars are."""
    counted = data.loc[data["n"] > 0, "n"]
    if counted.empty:
        return "no run is left"
    fewest, most = int(counted.min()), int(counted.max())
    if most == 1:
        return "one seed (n = 1): no error bars"
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"mean ± 1 s.d. over n = {count} seeds"


def epoch_text(data: pd.DataFrame) -> str:
    """Return which epoch the points are from (column `epoch`)."""
    first, last = int(data["epoch"].min()), int(data["epoch"].max())
    return f"last epoch ({first})" if first == last else f"each run's last epoch ({first} to {last})"


def diverged_text(data: pd.DataFrame) -> str:
    """Return what a cross means, or '' where no run diverged (column `diverged`)."""
    if not data["diverged"].any():
        return ""
    return "×: a seed diverged and is left out of the mean (on the lower axis: every seed did)"


def runs_footer(data: pd.DataFrame) -> list[str]:
    """Return the footer of a figure of means over seeds."""
    posterior = "posteriors evaluated at their mean" if data["posterior_std"].notna().any() else ""
    return [epoch_text(data), seeds_text(data), posterior, diverged_text(data)]
