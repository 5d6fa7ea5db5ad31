"""What would run, and why: `python -m adaptive_smoothing.pipeline.commands.explain [SCALE] [FIGURE ...]`.

Whether a file is made again is Snakemake's decision alone (snakemake_cli.py); reasons.py says why. A file that
Snakemake takes for current and that is not what the plan asks for is named as well (records.py).
"""

import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import records, snakemake_cli
from adaptive_smoothing.pipeline.commands import common
from adaptive_smoothing.pipeline.commands.common import Selection
from adaptive_smoothing.pipeline.commands.reasons import Reasons
from adaptive_smoothing.pipeline.plan import FigurePlan, Run
from adaptive_smoothing.pipeline.snakemake_cli import Job

WIDTH = 100  # characters of a line
HEADINGS = ("figure", "up to date", "to make")


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, how many of its runs are up to date and to make, and why."""

    name: str
    done: int | None
    to_make: int | None
    why: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = common.selection_parser("explain", "Show what Snakemake would run, and why; run nothing.")
    given = parser.parse_args(arguments)
    return common.run_command(lambda: print(report(Selection.of(given.scale, given.figures))))


def report(selection: Selection) -> str:
    """Return the table of the selected figures, and the files that are not what the plan asks for."""
    jobs = snakemake_cli.dry_run(selection.targets)
    parts = [_table(selection, jobs)] if jobs else []
    if selection.deleted and selection.is_part:
        parts.append(f"deleted results: 'snakemake {selection.plan.name}' makes them again; a figure alone does not")
    if differences := selection.differences(jobs):
        parts.append(records.listing(selection.plan, selection.asked, differences))
    return "\n\n".join(parts) or "everything is up to date"


def _table(selection: Selection, jobs: dict[str, Job]) -> str:
    """Return the table of the figures that Snakemake would make something of."""
    reasons = Reasons(selection.plan, jobs)
    rows = [_figure_row(figure, reasons) for figure in selection.figures]
    if len(selection.figures) > 1:
        rows.append(_total_row(selection, reasons))
    scale = selection.plan.name
    if not any(_table_file(scale, figure) in jobs for figure in selection.figures):
        for name, file in (("notes", paths.NOTES), ("claims", paths.CLAIMS), ("report", paths.INDEX)):
            if job := jobs.get(file.format(scale=scale)):
                rows.append(Row(name, None, None, (reasons.of_job(job),)))
    return "\n".join(_printed_lines(rows))


def _table_file(scale: str, figure: FigurePlan) -> str:
    return paths.TABLE.format(scale=scale, figure=figure.name)


def _figure_row(figure: FigurePlan, reasons: Reasons) -> Row:
    done, to_make = _counts(figure.runs, reasons)
    why = [*_trainings(figure, reasons), *_measurements(figure, reasons)]
    why = why or list(_table_or_drawing(figure, reasons)) or ["up to date"]
    return Row(figure.name, done, to_make, tuple(why))


def _total_row(selection: Selection, reasons: Reasons) -> Row:
    note = ("runs that figures share are counted once",) if selection.has_shared_runs else ()
    return Row("total", *_counts(selection.runs, reasons), note)


def _counts(runs: Sequence[Run], reasons: Reasons) -> tuple[int, int]:
    """Return how many runs are up to date, and how many are to make."""
    to_make = sum(reasons.job_of_run(run) is not None for run in runs)
    return len(runs) - to_make, to_make


def _trainings(figure: FigurePlan, reasons: Reasons) -> list[str]:
    """Return why runs are trained, most runs first; the number of runs only where there are several reasons."""
    jobs = ((run, reasons.job_of_run(run)) for run in figure.runs)
    counts = Counter(reasons.of_run(run, job, figure) for run, job in jobs if job)
    return _counted(counts) if len(counts) > 1 else list(counts)


def _measurements(figure: FigurePlan, reasons: Reasons) -> list[str]:
    """Return why label noise is measured again on runs that are not trained again."""
    counts: Counter[str] = Counter()
    for run in figure.runs:
        file = paths.LABEL_NOISE.format(scale=reasons.plan.name, run=run.name, samples=figure.label_noise_mc_samples)
        if (job := reasons.jobs.get(file)) and not reasons.job_of_run(run):
            counts[f"label noise: {reasons.of_job(job)}"] += 1
    return _counted(counts)


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{count} × {reason}" for reason, count in counts.most_common()]


def _table_or_drawing(figure: FigurePlan, reasons: Reasons) -> Iterator[str]:
    """Yield why a figure whose runs are all up to date is made again."""
    scale = reasons.plan.name
    if table := reasons.jobs.get(_table_file(scale, figure)):
        yield f"table: {reasons.of_table(figure, table)}"
    elif drawing := reasons.jobs.get(paths.figure_files(scale, figure.name)[0]):
        yield f"drawing: {reasons.of_job(drawing)}"


def _printed_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table's lines; a long reason continues below its beginning."""
    first = max(len(text) for text in [HEADINGS[0], *(row.name for row in rows)])
    indent = first + sum(len(heading) + 2 for heading in HEADINGS[1:]) + 2
    yield f"{HEADINGS[0]:<{first}}  {HEADINGS[1]}  {HEADINGS[2]}  why"
    for row in rows:
        done, to_make = ("" if count is None else str(count) for count in (row.done, row.to_make))
        start = f"{row.name:<{first}}  {done:>{len(HEADINGS[1])}}  {to_make:>{len(HEADINGS[2])}}  "
        for line in [line for reason in row.why for line in _wrapped(reason, WIDTH - indent)] or [""]:
            yield (start + line).rstrip()
            start = " " * indent


def _wrapped(reason: str, width: int) -> list[str]:
    return textwrap.wrap(reason, width, subsequent_indent="  ", break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
