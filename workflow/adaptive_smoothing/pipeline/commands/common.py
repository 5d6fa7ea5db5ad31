"""What commands share: which figures they are asked about, how they print, and how they end."""

import argparse
import os
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, records
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan, Run

INTERRUPTED = 130  # as shells count it: 128 + SIGINT
PIPE_WIDTH = 240  # characters of a line where no terminal limits them: a path stays on one line


@dataclass(frozen=True)
class Selection:
    """Figures of a scale: those named on a command line, or all of the scale's own where none is named."""

    plan: Plan
    figures: tuple[FigurePlan, ...]
    targets: tuple[str, ...]  # the files that Snakemake is asked about: of all figures, notes and claims as well
    asked: tuple[FigurePlan, ...]  # the figures behind these files: of all figures, extras as well
    deleted: tuple[str, ...]  # results that the figures were made from and that are gone

    @classmethod
    def of(cls, scale: str, names: Sequence[str]) -> "Selection":
        """Return the named figures; raise UserError for a scale or figure that does not exist."""
        planned = plan.load(scale)
        figures = tuple(planned.figure(name) for name in dict.fromkeys(names or planned.figures))
        own = [file for figure in figures for file in _figure_files(scale, figure)]
        asked = figures if names else tuple(planned.all_figures.values())
        targets = own if names else planned.figure_files()
        deleted = tuple(planned.deleted_files(asked))
        return cls(planned, figures, (*targets, *deleted), asked, deleted)

    @property
    def runs(self) -> list[Run]:
        """The figures' runs; one that several figures share is here once."""
        return list(dict.fromkeys(run for figure in self.figures for run in figure.runs))

    def differences(self, to_make: Container[str]) -> list[records.Difference]:
        """Return the files that are not what the plan asks for, without those that Snakemake would make (`to_make`)."""
        found = records.check(self.plan, self.asked)
        return [difference for difference in found if difference.file not in to_make]

    @property
    def is_part(self) -> bool:
        """Whether figures were named."""
        return len(self.asked) < len(self.plan.all_figures)

    @property
    def has_shared_runs(self) -> bool:
        """Whether two of the figures share a run."""
        return sum(len(figure.runs) for figure in self.figures) > len(self.runs)


def _figure_files(scale: str, figure: FigurePlan) -> list[str]:
    return [paths.TABLE.format(scale=scale, figure=figure.name), *paths.figure_files(scale, figure.name)]


def selection_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of a command line that names a scale and figures of it."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("scale", nargs="?", default=paths.PAPER, help=f"a file of config/ (default: {paths.PAPER})")
    parser.add_argument("figures", nargs="*", metavar="figure", help="such as fig7 (default: all of the scale)")
    return parser


def console() -> Console:
    """Return a console as wide as the terminal, or wide enough for paths where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print tables and texts below each other, without blanks at the ends of lines."""
    for part in parts:
        with console.capture() as captured:
            console.print(part, soft_wrap=isinstance(part, Text))  # a path stays in one piece
        console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), end="\n\n")


def run_command(work: Callable[[], None]) -> int:
    """Do the work of a command and return its exit status; an error is one sentence on stderr."""
    try:
        try:
            work()
        finally:
            sys.stdout.flush()  # what was printed stands before the error, and a closed pipe is noticed here
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except SyntaxError as error:  # the library's code is read to be compared, and may be half-written
        print(f"error: {error.filename}, line {error.lineno}: {error.msg}", file=sys.stderr)
        return UserError.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `make status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
