"""What would run, and why: `smoothing why`.

Whether a file is made again is Snakemake's decision alone (snakemake_cli.py); reasons.py says why. A file that
Snakemake takes for current and that is not what the plan asks for is named as well (records.py).
"""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.commands import former_names
from adaptive_smoothing.pipeline.commands.common import Selection
from adaptive_smoothing.pipeline.commands.reasons import Reasons
from adaptive_smoothing.pipeline.plan import FigurePlan, Run
from adaptive_smoothing.pipeline.records import Listing

WIDTH = 100  # characters of a line
HEADINGS = ("figure", "up to date", "to make")
UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, how many of its runs are up to date and to make, and why."""

    name: str
    done: int | None
    to_make: int | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What would run for some figures, and why: rows of the figures, of their sum, and of what is made from them."""

    scale: str
    up_to_date: bool
    figures: tuple[Row, ...]
    total: Row
    others: tuple[Row, ...]
    differing: Listing
    deleted_of_part: bool = False  # whether a figure's own file would not make its deleted results again

    def text(self) -> str:
        """Return the table, and below it the files that are not what the plan asks for."""
        if self.up_to_date:
            return "everything is up to date"
        return "\n\n".join(part for part in (self._table(), self._on_deleted(), self.differing.text()) if part)

    def _table(self) -> str:
        if not any(row.why != (UP_TO_DATE,) for row in self.figures) and not self.others:
            return ""
        total = [self.total] if len(self.figures) > 1 else []
        return "\n".join(_printed_lines([*self.figures, *total, *self.others]))

    def _on_deleted(self) -> str:
        made_again = f"'snakemake --cores 2 {self.scale}' makes them again; a figure alone does not"
        return f"deleted results: {made_again}" if self.deleted_of_part else ""

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "scale": self.scale,
            "up_to_date": self.up_to_date,
            "figures": [{"figure": row.name, **_numbers(row), "why": _reasons(row)} for row in self.figures],
            "total": _numbers(self.total),
            "others": [{"name": row.name, "why": list(row.why)} for row in self.others],
            "differing": self.differing.document(),
        }


def explanation(selection: Selection) -> Explanation:
    """Return what Snakemake would run for the selected figures, and why."""
    jobs = snakemake_cli.dry_run(selection.targets)
    reasons = Reasons(selection.plan, jobs)
    differences = selection.differences(jobs)
    return Explanation(
        scale=selection.plan.name,
        up_to_date=not jobs and not differences,
        figures=tuple(_figure_row(figure, reasons) for figure in selection.figures),
        total=_total_row(selection, reasons),
        others=tuple(_other_rows(selection, reasons)),
        differing=Listing(selection.plan, selection.figures, differences),
        deleted_of_part=selection.is_part and bool(selection.deleted),
    )


def _other_rows(selection: Selection, reasons: Reasons) -> Iterator[Row]:
    """Yield the rows of notes, claims and report, unless they are to make because a figure's table is."""
    scale = selection.plan.name
    if any(_table_file(scale, figure) in reasons.jobs for figure in selection.figures):
        return
    for name, file in (("notes", paths.NOTES), ("claims", paths.CLAIMS), ("report", paths.INDEX)):
        if job := reasons.jobs.get(file.format(scale=scale)):
            yield Row(name, None, None, (reasons.of_job(job),))


def _numbers(row: Row) -> dict[str, int | None]:
    return {"runs_up_to_date": row.done, "runs_to_make": row.to_make}


def _reasons(row: Row) -> list[str]:
    return [reason for reason in row.why if reason != UP_TO_DATE]


def _table_file(scale: str, figure: FigurePlan) -> str:
    return paths.TABLE.format(scale=scale, figure=figure.name)


def _figure_row(figure: FigurePlan, reasons: Reasons) -> Row:
    done, to_make = _counts(figure.runs, reasons)
    why = [*_trainings(figure, reasons), *_measurements(figure, reasons)]
    why = why or list(_table_or_drawing(figure, reasons)) or [UP_TO_DATE]
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
    former_names.renamed("why")
