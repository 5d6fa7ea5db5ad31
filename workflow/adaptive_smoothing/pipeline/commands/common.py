"""What commands share: which figures they are asked about, and how they print."""

import json
import math
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import records
from adaptive_smoothing.pipeline.commands import words
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan, Run

PIPE_WIDTH = 240  # characters of a line where no terminal limits them: a path stays on one line


@dataclass(frozen=True)
class Selection:
    """Figures of a scale: those named on a command line, or all, extras included, where none is named."""

    plan: Plan
    figures: tuple[FigurePlan, ...]
    targets: tuple[str, ...]  # the files that Snakemake is asked about: of all figures, notes and claims as well
    deleted: tuple[str, ...] = ()  # results that the figures were made from and that are gone

    @classmethod
    def of(cls, scale: str, names: Sequence[str] | None) -> "Selection":
        """Return the named figures; raise Misuse for a scale or figure that does not exist."""
        planned, named = words.scale_and_figures(scale, names or ())
        figures = tuple(planned.figure(name) for name in named or planned.all_figures)
        targets = [file for figure in figures for file in _figure_files(planned.name, figure)]
        if not named:
            targets = list(dict.fromkeys([*planned.figure_files(), *targets]))
        deleted = tuple(planned.deleted_files(figures))
        return cls(planned, figures, (*targets, *deleted), deleted)

    @property
    def runs(self) -> list[Run]:
        """The figures' runs; one that several figures share is here once."""
        return list(dict.fromkeys(run for figure in self.figures for run in figure.runs))

    @property
    def is_part(self) -> bool:
        """Whether the figures are some of the scale's."""
        return len(self.figures) < len(self.plan.all_figures)

    def differences(self, to_make: Container[str] = ()) -> list[records.Difference]:
        """Return the files that are not what the plan asks for, without those that Snakemake makes (`to_make`)."""
        found = records.check(self.plan, self.figures)
        return [difference for difference in found if difference.file not in to_make]

    @property
    def has_shared_runs(self) -> bool:
        """Whether two of the figures share a run."""
        return sum(len(figure.runs) for figure in self.figures) > len(self.runs)


def _figure_files(scale: str, figure: FigurePlan) -> list[str]:
    return [paths.TABLE.format(scale=scale, figure=figure.name), *paths.figure_files(scale, figure.name)]


def console() -> Console:
    """Return a console as wide as the terminal, or wide enough for paths where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print tables and texts below each other, without blanks at the ends of lines."""
    for part in parts:
        with console.capture() as captured:
            console.print(part, soft_wrap=isinstance(part, Text))  # a path stays in one piece
        console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), end="\n\n")


class Answer(Protocol):
    """What a command found out."""

    def text(self) -> str:
        """Return it for people."""

    def document(self) -> dict[str, Any]:
        """Return it for scripts: what `--json` prints."""


def print_answer(answer: Answer, as_json: bool) -> None:
    """Print an answer as text or as one JSON document."""
    if as_json:
        print_json(answer.document())
    else:
        print(answer.text())


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document, in ASCII, which every terminal and pipe takes."""
    print(json.dumps(_with_null(document), indent=2, allow_nan=False))


def _with_null(content: Any) -> Any:
    """Return the content of a document with null for NaN and infinity, for which JSON has no number."""
    if isinstance(content, dict):
        return {key: _with_null(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_with_null(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
