"""What the words on a command line name: a scale, and figures of it by name or by file."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import unknown
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands.program import Misuse
from adaptive_smoothing.pipeline.plan import Plan

DRAWN = (".pdf", ".png")


def scale(name: str) -> Plan:
    """Return the plan of a scale; raise Misuse if there is no such scale."""
    if name not in (names := plan.scale_names()):
        raise Misuse(str(unknown("scale", name, names, str(plan.CONFIG))))
    return plan.load(name)


def scale_and_figures(first: str, others: Sequence[str]) -> tuple[Plan, list[str]]:
    """Return the plan and the figures that words name; raise Misuse for a word that names nothing.

    The first word may be a figure: a file says its scale, and a name alone is one of the paper's own scale.
    """
    names = plan.scale_names()
    if first in names:
        planned, words = plan.load(first), others
    elif located := scale_and_figure_of(first):
        planned, words = scale(located[0]), (first, *others)
    else:
        planned, words = _paper(first, names), (first, *others)
    return planned, list(dict.fromkeys(figure(planned, word) for word in words))


def _paper(word: str, names: Sequence[str]) -> Plan:
    """Return the plan of the paper's own scale; raise Misuse unless the word is a figure of it."""
    planned = plan.load(paths.PAPER) if paths.PAPER in names else None
    figures = list(planned.all_figures) if planned else []
    if planned is not None:
        if _without_ending(word) in figures:
            return planned
        if set(get_close_matches(word, [*names, *figures], n=1)) & set(figures):
            raise Misuse(str(unknown("figure", word, figures, str(planned.file))))
    raise Misuse(str(unknown("scale", word, names, str(plan.CONFIG))))


def figure(planned: Plan, word: str) -> str:
    """Return the figure of a scale that a word names; raise Misuse if it names none."""
    located = scale_and_figure_of(word)
    if located and located[0] != planned.name:
        raise Misuse(f"{word}: is a figure of scale '{located[0]}', not of '{planned.name}'; leave the scale out")
    name = located[1] if located else _without_ending(word)
    if name not in planned.all_figures:
        raise Misuse(str(unknown("figure", name, planned.all_figures, str(planned.file))))
    return name


def scale_and_figure_of(file: str) -> tuple[str, str] | None:
    """Return the scale and the figure whose picture or table a file is; None if it is neither."""
    path = Path(os.path.relpath(file or "."))
    figure = path.stem
    for scale in (path.parent.name, path.parent.parent.name, paths.PAPER):
        tables = (pattern.format(scale=scale, figure=figure) for pattern in (paths.TABLE, paths.NUMBERS))
        if path.as_posix() in (*paths.figure_files(scale, figure), *tables):
            return scale, figure
    return None


def _without_ending(word: str) -> str:
    return Path(word).stem if Path(word).suffix in DRAWN and os.sep not in word else word
