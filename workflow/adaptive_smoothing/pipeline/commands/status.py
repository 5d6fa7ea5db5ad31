"""How far a scale's trainings are: `python -m adaptive_smoothing.status [SCALE] [FIGURE ...] [--follow]`.

Reads what the trainings, Snakemake and the executor write (run_states.py); starts, stops and changes nothing.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import duration
from adaptive_smoothing.pipeline import plan, snakemake_cli
from adaptive_smoothing.pipeline.commands import common, run_states
from adaptive_smoothing.pipeline.commands.run_states import KINDS, State
from adaptive_smoothing.pipeline.plan import FigurePlan

LOCKS = Path(".snakemake/locks")
LOOK_S, LOOK_WITHOUT_TERMINAL_S = 2.0, 30.0
IDLE_S = 60.0  # without Snakemake and without a training, after which nobody follows any more
WORTH_TELLING_S = 30.0  # without a heartbeat, as within an evaluation
LISTED = 20  # runs of a kind that a table shows
PIPE_WIDTH = 240  # where no terminal says how wide it is: a path on one line


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how far things are, once or until nothing is left to run; return the exit status."""
    parser = argparse.ArgumentParser(prog="status", description="Show what is done, runs, waits and failed.")
    parser.add_argument("scale", nargs="?", default=paths.PAPER, help="a file of config/ (default: %(default)s)")
    parser.add_argument("figures", nargs="*", metavar="figure", help="such as fig7 (default: all of the scale)")
    parser.add_argument("--follow", action="store_true", help="go on until nothing is left to run")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="between two looks (2; 30 without a terminal)")
    given = parser.parse_intermixed_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)

    def work() -> None:
        look = Look(given.scale, given.figures)
        if given.follow:
            follow(look, console, given.every)
        else:
            _print(look, look.states(), console)

    return common.run_command(work)


class Look:
    """A scale's figures and what Snakemake would still make of them."""

    def __init__(self, scale: str, names: Sequence[str]) -> None:
        """Plan the scale, and ask Snakemake; raise UserError for a wrong name."""
        self.scale = scale
        planned = plan.load(scale)
        self.figures = [planned.figure(name) for name in dict.fromkeys(names or planned.figures)]
        self.runs = list(dict.fromkeys(run.name for figure in self.figures for run in figure.runs))
        tables = [paths.TABLE.format(scale=scale, figure=figure.name) for figure in self.figures]
        drawn = [file for figure in self.figures for file in paths.figure_files(scale, figure.name)]
        self.targets = [*tables, *drawn] if names else planned.figure_files()
        self.ask()

    def ask(self) -> None:
        """Ask Snakemake what is to make, and remember the files as they were before: it takes seconds to answer."""
        metrics = {run: self._metrics(run) for run in self.runs}
        before = {run: _stamp(file) for run, file in metrics.items()}
        jobs = snakemake_cli.dry_run(self.targets)
        self._to_make = {run: before[run] for run, file in metrics.items() if file in jobs}
        trainings = {id(jobs[metrics[run]]) for run in self._to_make}
        self.others = len({id(job) for job in jobs.values()} - trainings)

    def states(self) -> list[State]:
        """Return what every run does now; one whose metrics are newer than Snakemake's answer is done."""
        queued = run_states.queued()
        return [run_states.state_of(self.scale, run, self._is_to_make(run), queued) for run in self.runs]

    def _is_to_make(self, run: str) -> bool:
        if run not in self._to_make:
            return False
        stamp = _stamp(self._metrics(run))
        return stamp is None or stamp == self._to_make[run]

    def _metrics(self, run: str) -> str:
        return paths.METRICS.format(scale=self.scale, run=run)


def _stamp(file: str) -> tuple[int, int] | None:
    """Return what tells a file from one that replaced it; None if there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def snakemake_is_here() -> bool:
    """Return whether a Snakemake holds this folder's lock (one that was killed holds it, too)."""
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def _print(look: Look, states: Sequence[State], console: Console) -> None:
    for part in _parts(look, states):
        with console.capture() as captured:
            console.print(part, soft_wrap=isinstance(part, Text))  # a path stays in one piece
        console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), end="\n\n")


def _parts(look: Look, states: Sequence[State]) -> list[RenderableType]:
    parts: list[RenderableType] = [_counts(look.figures, states)]
    parts += _details(look, states, time.time())
    return parts


def _details(look: Look, states: Sequence[State], now: float) -> list[RenderableType]:
    """Return the tables below the counts, those that have rows."""
    of_kind = {kind: [state for state in states if state.kind == kind] for kind in KINDS}
    parts: list[RenderableType] = []
    if of_kind["running"]:
        parts.append(_running(of_kind["running"], now))
    if told := [state for state in of_kind["waiting"] if state.why]:
        parts.append(_told("waiting", told))
    if of_kind["failed"]:
        parts.append(_told("failed", of_kind["failed"]))
    if look.others:
        parts.append(Text(f"jobs beside the trainings (data, labels, tables, drawings, …): {look.others} to run"))
    if of_kind["waiting"] and not of_kind["running"] and not snakemake_is_here():
        parts.append(Text("nothing runs here: Snakemake is not at work in this folder"))
    return parts


def _counts(figures: Sequence[FigurePlan], states: Sequence[State]) -> Table:
    """Return how many runs of each figure are done, running, waiting, failed."""
    kind_of = {state.run: state.kind for state in states}
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("figure")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for figure in figures:
        if figure.runs:
            counts = Counter(kind_of[run.name] for run in figure.runs)
            table.add_row(figure.name, *(str(counts[kind]) for kind in KINDS))
    if len(figures) == 1:
        return table
    total = Counter(kind_of.values())
    shared = sum(len(figure.runs) for figure in figures) - len(states)
    name = "all, shared runs once" if shared else "all"
    table.add_section()
    table.add_row(name, *(str(total[kind]) for kind in KINDS))
    return table


def _running(states: Sequence[State], now: float) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("running", overflow="fold")
    for heading in ("epoch", "images/s", "ETA"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for state in states:
        table.add_row(Text(state.run), *_how_far(state, now))
    return table


def _how_far(state: State, now: float) -> tuple[str, str, str, str]:
    """Return epoch, images a second, time left and process of a run."""
    if (beat := state.beat) is None:
        return "", "", "", state.why
    epoch = f"{beat.epoch:.1f}/{beat.epochs}" if beat.phase != "starting" else beat.phase
    speed = "" if beat.images_per_second is None else f"{beat.images_per_second:,.0f}"
    age = max(0.0, now - beat.time)
    left = "" if beat.seconds_left is None else duration(max(0.0, beat.seconds_left - age))
    where = [beat.device, beat.where, beat.phase if beat.phase == "evaluating" else None]
    where += [f"restart {beat.restarts}" if beat.restarts else None]
    where += [f"heard of {duration(age)} ago" if age > WORTH_TELLING_S else None]
    return epoch, speed, left, ", ".join(part for part in where if part)


def _told(kind: str, states: Sequence[State]) -> Text:
    """Return the runs of a kind with what is known of them; a reason that many share stands once."""
    by_reason: dict[str, list[State]] = {}
    for state in states:
        by_reason.setdefault(state.why, []).append(state)
    lines = []
    for why, alike in list(by_reason.items())[:LISTED]:
        lines += [f"{kind}: {alike[0].run}" + (f" and {len(alike) - 1} more" if len(alike) > 1 else ""), f"    {why}"]
        lines += [f"    log: {alike[0].log}"] if kind == "failed" else []
    if left := list(by_reason.values())[LISTED:]:
        lines.append(f"{kind}: {sum(map(len, left))} more")
    return Text("\n".join(lines))


@dataclass
class Idleness:
    """Whether there is still somebody to wait for."""

    since: float | None = None

    def over(self, states: Sequence[State], now: float) -> bool:
        """Return whether nothing is left to run, or nobody has been there to run it for a while."""
        counts = Counter(state.kind for state in states)
        if counts["running"] or (counts["waiting"] and (snakemake_is_here() or run_states.queued())):
            self.since = None
            return False
        self.since = now if self.since is None else self.since
        return not counts["waiting"] or now - self.since >= IDLE_S


def follow(look: Look, console: Console, every: float | None) -> None:
    """Show how far things are until nothing is left to run; without a terminal, print a look now and then."""
    idle = Idleness()
    if not console.is_terminal:
        while True:
            _print(look, states := _believed(look), console)
            if idle.over(states, time.monotonic()):
                return
            time.sleep(every or LOOK_WITHOUT_TERMINAL_S)
    bars = Bars()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            states = _believed(look)
            details = [] if not states else _details(look, [s for s in states if s.kind != "running"], time.time())
            live.update(Group(bars.of(states), *details), refresh=True)
            if idle.over(states, time.monotonic()):
                return
            time.sleep(every or LOOK_S)


def _believed(look: Look) -> list[State]:
    """Return the runs' states; when none is left to run, Snakemake is asked once more."""
    states = look.states()
    if not any(state.kind in ("running", "waiting") for state in states):
        look.ask()
        states = look.states()
    return states


@dataclass
class Bars:
    """A bar for all trainings, and one for each that runs."""

    progress: Progress = field(
        default_factory=lambda: Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}", markup=False),
            auto_refresh=False,
        )
    )
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def of(self, states: Sequence[State]) -> Progress:
        """Return the bars for these states."""
        counts = Counter(state.kind for state in states)
        words = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS[1:])
        self._set("all trainings", counts["done"], len(states), words)
        running = {state.run: state for state in states if state.kind == "running"}
        for run in [name for name in self.tasks if name not in running and name != "all trainings"]:
            self.progress.remove_task(self.tasks.pop(run))
        for run, state in running.items():
            epochs, reached = (state.beat.epochs, int(state.beat.epoch)) if state.beat else (1, 0)
            _, speed, left, where = _how_far(state, time.time())
            more = [f"{speed} images/s" if speed else "", f"ETA {left}" if left else "", where]
            self._set(run, reached, epochs, "  ".join(part for part in more if part))
        return self.progress

    def _set(self, name: str, completed: int, total: int, more: str) -> None:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total, more=more)
        self.progress.update(self.tasks[name], completed=completed, total=total, more=more)


if __name__ == "__main__":
    sys.exit(main())
