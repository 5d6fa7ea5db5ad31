"""How far a scale's trainings are: `smoothing status`.

Reads what the trainings, Snakemake and the executor write (run_states.py); starts, stops and changes nothing.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import duration
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.commands import common, former_names, run_states
from adaptive_smoothing.pipeline.commands.common import Selection
from adaptive_smoothing.pipeline.commands.run_states import KINDS, State
from adaptive_smoothing.pipeline.plan import FigurePlan
from adaptive_smoothing.pipeline.records import Listing

LOCKS = Path(".snakemake/locks")
INTERVAL_S, INTERVAL_WITHOUT_TERMINAL_S = 2.0, 30.0  # between two looks of --follow
IDLE_S = 60.0  # --follow ends after so long without Snakemake and without a training
STALE_HEARTBEAT_S = 30.0  # from which on its age is shown; an evaluation may take as long
LISTED = 20  # runs of a kind that a table shows
ALL_TRAININGS = "all trainings"
Drawing = Literal["up to date", "stale", "missing"]


def show(selection: Selection, following: bool = False, every: float | None = None, as_json: bool = False) -> None:
    """Print how far things are: once, or until nothing is left to run."""
    monitor, console = Monitor(selection), common.console()
    if as_json:
        common.print_json(document(monitor, monitor.states()))
    elif following:
        follow(monitor, console, every)
    else:
        common.print_parts(summary(monitor, monitor.states()), console)


class Monitor:
    """Watches the runs of some figures: what Snakemake would still make of them, and what each run does."""

    def __init__(self, selection: Selection) -> None:
        """Ask Snakemake about the selected figures."""
        self.selection = selection
        scale = selection.plan.name
        self._metrics = {run.name: paths.METRICS.format(scale=scale, run=run.name) for run in selection.runs}
        self._pictures = {figure: paths.figure_files(scale, figure.name)[0] for figure in selection.figures}
        self.ask_snakemake()

    def ask_snakemake(self) -> None:
        """Ask what is to make, and remember the files as they were before: the answer takes seconds."""
        before = {file: _stamp(file) for file in (*self._metrics.values(), *self._pictures.values())}
        jobs = snakemake_cli.dry_run(self.selection.targets)
        self._to_make = {file: stamp for file, stamp in before.items() if file in jobs}
        trainings = {id(jobs[file]) for file in self._metrics.values() if file in jobs}
        self.other_jobs = len({id(job) for job in jobs.values()} - trainings)
        self.differing = Listing(self.selection.plan, self.selection.figures, self.selection.differences(jobs))
        self._before = before

    def states(self) -> list[State]:
        """Return what every run does now; one whose metrics are newer than Snakemake's answer is done."""
        scale, queued = self.selection.plan.name, run_states.queued()
        return [
            run_states.state_of(scale, run, self._is_to_make(file), queued, differs=self._differs(file))
            for run, file in self._metrics.items()
        ]

    def drawing(self, figure: FigurePlan) -> Drawing:
        """Return whether a figure's picture is there and up to date."""
        file = self._pictures[figure]
        if not Path(file).exists():
            return "missing"
        return "stale" if self._is_to_make(file) else "up to date"

    def confirmed_states(self) -> list[State]:
        """Return the same; when nothing is left to run, Snakemake is asked again first."""
        states = self.states()
        if not any(state.kind in ("running", "waiting") for state in states):
            self.ask_snakemake()
            states = self.states()
        return states

    def _is_to_make(self, file: str) -> bool:
        return file in self._to_make and _stamp(file) in (None, self._to_make[file])

    def _differs(self, file: str) -> str | None:
        """Return in what results are not those of the plan, as long as they are the ones that were compared."""
        found = (other.what for other in self.differing.differences if other.file == file and not other.code_alone)
        return next(found, None) if _stamp(file) == self._before[file] else None


def _stamp(file: str) -> tuple[int, int] | None:
    """Return what distinguishes a file from one that replaced it; None if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def snakemake_is_here() -> bool:
    """Return whether a Snakemake holds this folder's lock (one that was killed holds it, too)."""
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def summary(monitor: Monitor, states: Sequence[State]) -> list[RenderableType]:
    """Return the table of counts, and below it what is known of single runs."""
    return [_counts(monitor, states), *_details(monitor, states)]


def document(monitor: Monitor, states: Sequence[State]) -> dict[str, Any]:
    """Return what `--json` prints."""
    selection = monitor.selection
    kind_of = {state.run: state.kind for state in states}
    figures = [
        {
            "figure": figure.name,
            **_of_figure(figure, kind_of),
            "drawing": monitor.drawing(figure),
        }
        for figure in selection.figures
    ]
    return {
        "scale": selection.plan.name,
        "snakemake_is_running": snakemake_is_here(),
        "figures": figures,
        "total": _of_kinds(kind_of.values()),
        "other_jobs": monitor.other_jobs,
        "runs": [_run_document(state) for state in states],
        "differing": monitor.differing.document(),
    }


def _run_document(state: State) -> dict[str, Any]:
    return {
        "run": state.run,
        "state": state.kind,
        "why": state.why,
        "log": str(state.log) if state.log else None,
        "progress": asdict(state.progress) if state.progress else None,
    }


def _of_figure(figure: FigurePlan, kind_of: Mapping[str, str]) -> dict[str, int]:
    return _of_kinds(kind_of[run.name] for run in figure.runs)


def _of_kinds(kinds: Iterable[str]) -> dict[str, int]:
    """Return how many runs are of each kind."""
    counts = Counter(kinds)
    return {kind: counts[kind] for kind in KINDS}


def _details(monitor: Monitor, states: Sequence[State]) -> list[RenderableType]:
    """Return the tables below the counts, those that have rows."""
    of_kind = {kind: [state for state in states if state.kind == kind] for kind in KINDS}
    explained = [state for state in of_kind["waiting"] if state.why]
    nobody_works = of_kind["waiting"] and not of_kind["running"] and not snakemake_is_here()
    parts: list[RenderableType] = []
    if of_kind["running"]:
        parts.append(_running(of_kind["running"], time.time()))
    if explained:
        parts.append(_grouped_by_reason("waiting", explained))
    if of_kind["failed"]:
        parts.append(_grouped_by_reason("failed", of_kind["failed"]))
    if text := monitor.differing.text():
        parts.append(Text(text))
    if monitor.other_jobs:
        parts.append(Text(f"other jobs (data, labels, tables, drawings, …): {monitor.other_jobs} to run"))
    if nobody_works:
        parts.append(Text("no Snakemake process is running in this directory"))
    return parts


def _counts(monitor: Monitor, states: Sequence[State]) -> Table:
    """Return how many runs of each figure are done, running, waiting, failed; and whether its picture is current."""
    selection, kind_of = monitor.selection, {state.run: state.kind for state in states}
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("figure")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    table.add_column("drawing")
    for figure in selection.figures:
        table.add_row(figure.name, *map(str, _of_figure(figure, kind_of).values()), monitor.drawing(figure))
    if len(selection.figures) > 1:
        table.add_section()
        name = "all, shared runs once" if selection.has_shared_runs else "all"
        table.add_row(name, *map(str, _of_kinds(kind_of.values()).values()))
    return table


def _running(states: Sequence[State], now: float) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("running", overflow="fold")
    for heading in ("epoch", "images/s", "ETA"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for state in states:
        table.add_row(Text(state.run), *_progress_cells(state, now))
    return table


def _progress_cells(state: State, now: float) -> tuple[str, str, str, str]:
    """Return epoch, images a second, time left and process of a run, as text."""
    if (progress := state.progress) is None:
        return "", "", "", state.why
    epoch = f"{progress.epoch:.1f}/{progress.epochs}" if progress.phase != "starting" else progress.phase
    speed = "" if progress.images_per_second is None else f"{progress.images_per_second:,.0f}"
    age = max(0.0, now - progress.time)
    left = "" if progress.seconds_left is None else duration(max(0.0, progress.seconds_left - age))
    where = [progress.device, progress.where, progress.phase if progress.phase == "evaluating" else None]
    where += [f"restart {progress.restarts}" if progress.restarts else None]
    where += [f"last heartbeat {duration(age)} ago" if age > STALE_HEARTBEAT_S else None]
    return epoch, speed, left, ", ".join(part for part in where if part)


def _grouped_by_reason(kind: str, states: Sequence[State]) -> Text:
    """Return the runs of a kind with what is known of them; a reason that many share is printed once."""
    by_reason: dict[str, list[State]] = defaultdict(list)
    for state in states:
        by_reason[state.why].append(state)
    lines = []
    for why, alike in list(by_reason.items())[:LISTED]:
        lines += [f"{kind}: {alike[0].run}" + (f" and {len(alike) - 1} more" if len(alike) > 1 else ""), f"    {why}"]
        lines += [f"    log: {alike[0].log}"] if kind == "failed" else []
    if left := list(by_reason.values())[LISTED:]:
        lines.append(f"{kind}: {sum(map(len, left))} more")
    return Text("\n".join(lines))


@dataclass
class Idleness:
    """Whether there is still something to wait for."""

    since: float | None = None

    def over(self, states: Sequence[State], now: float) -> bool:
        """Return whether nothing is left to run, or nothing has been there to run it for a while."""
        counts = Counter(state.kind for state in states)
        if counts["running"] or (counts["waiting"] and (snakemake_is_here() or run_states.queued())):
            self.since = None
            return False
        self.since = now if self.since is None else self.since
        return not counts["waiting"] or now - self.since >= IDLE_S


def follow(monitor: Monitor, console: Console, every: float | None) -> None:
    """Show how far things are until nothing is left to run: live in a terminal, else printed now and then."""
    if not console.is_terminal:
        interval = every or INTERVAL_WITHOUT_TERMINAL_S
        _repeat(monitor, lambda states: common.print_parts(summary(monitor, states), console), interval)
        return
    bars = Bars()
    with Live(console=console, auto_refresh=False) as live:

        def show(states: Sequence[State]) -> None:
            others = [state for state in states if state.kind != "running"]
            live.update(Group(bars.of(states), *(_details(monitor, others) if states else [])), refresh=True)

        _repeat(monitor, show, every or INTERVAL_S)


def _repeat(monitor: Monitor, show: Callable[[Sequence[State]], None], interval: float) -> None:
    """Show the states at intervals of so many seconds until nothing is left to run."""
    idle = Idleness()
    while True:
        states = monitor.confirmed_states()
        show(states)
        if idle.over(states, time.monotonic()):
            return
        time.sleep(interval)


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
        self._set(ALL_TRAININGS, counts["done"], len(states), words)
        running = {state.run: state for state in states if state.kind == "running"}
        for run in self.tasks.keys() - running.keys() - {ALL_TRAININGS}:
            self.progress.remove_task(self.tasks.pop(run))
        for run, state in running.items():
            epochs, reached = (state.progress.epochs, int(state.progress.epoch)) if state.progress else (1, 0)
            _, speed, left, where = _progress_cells(state, time.time())
            more = [f"{speed} images/s" if speed else "", f"ETA {left}" if left else "", where]
            self._set(run, reached, epochs, "  ".join(part for part in more if part))
        return self.progress

    def _set(self, name: str, completed: int, total: int, more: str) -> None:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total, more=more)
        self.progress.update(self.tasks[name], completed=completed, total=total, more=more)


if __name__ == "__main__":
    former_names.renamed("status")
