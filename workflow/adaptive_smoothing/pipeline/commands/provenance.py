"""From a drawn figure back to all that made it: its table, and each run's specification, code, versions and cost.

    python -m adaptive_smoothing.pipeline.commands.provenance paper_figures/small/fig7.pdf [--all]

Every hash on the way is checked, so that a figure, table or metrics file edited by hand is detected. What is not what
the plan asks for now is named. Run from the project's folder.
"""

import argparse
import json
import os
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment, parquet, paths, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.pipeline import plan, records
from adaptive_smoothing.pipeline.commands import common
from adaptive_smoothing.results import run_costs


@dataclass(frozen=True)
class TracedRun:
    """A run behind a figure: the table's record of it, what it cost (None if unknown), whether its metrics are here."""

    name: str
    source: dict[str, Any]
    cost: run_costs.RunCost | None
    here: bool

    @property
    def made_with(self) -> str:
        """The checkout and the packages that made the run, as text."""
        versions = ", ".join(f"{package} {version}" for package, version in sorted(self.source["versions"].items()))
        return f"git revision {self.source['git_revision'] or environment.NO_CHECKOUT}, {versions}"


def trace_figure(figure: str, everything: bool) -> Iterator[str]:
    """Yield, line by line, where a figure comes from; raise UserError at the first hash that does not match.

    Args: `everything`, whether to add the specification and code of each run.
    """
    figure = Path(os.path.relpath(figure)).as_posix()
    scale, name = _scale_and_figure(figure)
    table = paths.TABLE.format(scale=scale, figure=name)
    yield from _figure_lines(figure, paths.DRAWN.format(scale=scale, figure=name), table)
    frame, description = parquet.read_frame(table)
    yield f"  '{description['title']}', scale {description['scale']}, {len(frame)} rows"
    if kept := description.get(sources.KEY, {}).get("files"):
        yield f"  keeps {', '.join(kept)}, which no commit holds; 'smoothing restore {table}' writes them"
    if everything:
        yield from _pretty("code of collect", description["code"])
    _check_label_noise(table, scale, description)
    runs = _checked_runs(table, scale, description["runs"], run_costs.costs_by_run(frame))
    yield from _run_lines(runs, everything)
    yield from _plan_lines(scale, name)


def _scale_and_figure(figure: str) -> tuple[str, str]:
    folder, name = Path(figure).parent.name, Path(figure).stem
    for scale in (folder, paths.PAPER):
        if figure in paths.figure_files(scale, name):
            return scale, name
    legal = paths.figure_base("SCALE", "FIGURE")
    raise UserError(f"{figure}: is no figure of this project; name one as {legal}.pdf, from the project's folder")


def _figure_lines(figure: str, record_file: str, table: str) -> Iterator[str]:
    """Check the figure against its record and the table against the figure, and describe both."""
    record = _checked_record(figure, record_file, table)
    for file, expected in record.files.items():
        if file == figure or Path(file).exists():
            _check_hash(file, expected, f"{record_file} records")
    named = draw_record.table_named_in(figure)
    if record.table != named:
        raise UserError(f"{record_file}: says the table's sha256 was {record.table}, but {figure} says {named}")
    yield figure
    yield f"  sha256 {record.files[figure]}, as {record_file} records"
    yield f"  names its table by sha256 {named}"
    _check_hash(table, named, f"{figure} names as that of the table it was drawn from")
    yield table
    yield f"  sha256 {named}, as the figure says"


def _checked_record(figure: str, file: str, table: str) -> draw_record.DrawRecord:
    for needed in (figure, file, table):
        if not Path(needed).is_file():
            raise UserError(f"{needed}: does not exist, so that {figure} cannot be traced; draw the figure again")
    record = draw_record.read_record(file)
    if figure not in record.files:
        raise UserError(f"{file}: does not name {figure}; draw the figure again")
    return record


def _check_hash(file: str, expected: str, source: str) -> None:
    """Raise UserError unless the file has the sha256 that `source` ('… records') gives."""
    if (actual := sha256_of(file)) != expected:
        raise UserError(f"{file}: was changed: its sha256 is {actual}, not {expected}, which {source}")


def _check_label_noise(table: str, scale: str, description: dict[str, Any]) -> None:
    """Raise UserError if a run's measured label noise is here and not that which the table was made from."""
    samples = description["label_noise_mc_samples"]
    for name, source in description["runs"].items():
        file = paths.LABEL_NOISE.format(scale=scale, run=name, samples=samples)
        if "label_noise_sha256" in source and Path(file).exists():
            _check_hash(file, source["label_noise_sha256"], f"{table} names as that of the file it was made from")


def _checked_runs(
    table: str, scale: str, sources: dict[str, dict[str, Any]], known: dict[str, run_costs.RunCost]
) -> list[TracedRun]:
    """Return the runs behind a table; raise UserError if the metrics of one are here and not those it was made from."""
    runs = []
    for name, source in sources.items():
        metrics = paths.METRICS.format(scale=scale, run=name)
        cost = known.get(name)
        if here := Path(metrics).exists():
            _check_hash(metrics, source["sha256"], f"{table} names as that of the file it was made from")
            cost = cost or run_costs.costs_by_run(parquet.read_frame(metrics)[0]).get(name)
        runs.append(TracedRun(name, source, cost, here))
    return runs


def _run_lines(runs: list[TracedRun], everything: bool) -> Iterator[str]:
    """Yield lines on the runs, grouped by the versions that made them."""
    groups: dict[str, list[TracedRun]] = defaultdict(list)
    for run in runs:
        groups[run.made_with].append(run)
    width = max((len(run.name) for run in runs), default=0)
    for made_with, group in groups.items():
        yield f"runs made with {made_with}"
        for run in group:
            device, seconds = (run.cost.device, f"{run.cost.seconds:.1f} s") if run.cost else ("device unknown", "? s")
            state = "metrics.parquet is as the table says" if run.here else "metrics.parquet is not here"
            yield f"  {run.name:{width}}  {device}  {seconds:>9}  {state}"
            if everything:
                yield f"    sha256 of metrics.parquet: {run.source['sha256']}"
                yield from _pretty("specification", run.source["specification"])
                yield from _pretty("code", run.source["code"])
    here = sum(run.here for run in runs)
    absent = "" if here == len(runs) else "; those of the others are not here"
    yield f"every hash matches: figure, table and the metrics of {here} of {len(runs)} runs{absent}"


def _plan_lines(scale: str, name: str) -> Iterator[str]:
    """Yield in what the figure is not what the plan asks for now."""
    try:
        planned = plan.Plan(scale)
        figure = planned.figure(name)
    except UserError as error:
        yield f"the plan of this figure is not here: {error}"
        return
    if differences := records.check(planned, [figure]):
        yield records.sentence(planned, [figure], differences)


def _pretty(title: str, content: object) -> Iterator[str]:
    yield f"    {title}:"
    yield textwrap.indent(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True), " " * 6)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print where a figure comes from; return 1 if a hash does not match or a file is missing."""
    parser = argparse.ArgumentParser(prog="provenance", description="Trace a figure back to all that made it.")
    parser.add_argument("figure", help="a drawn PDF or PNG, such as paper_figures/small/fig7.pdf")
    parser.add_argument("--all", action="store_true", help="add each run's specification and code")
    given = parser.parse_args(arguments)

    def work() -> None:
        for line in trace_figure(given.figure, given.all):
            print(line)

    return common.run_command(work)


if __name__ == "__main__":
    sys.exit(main())
