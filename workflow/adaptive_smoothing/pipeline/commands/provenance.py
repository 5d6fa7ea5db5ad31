"""From a drawn figure back to all that made it: its table, and each run's specification, code, versions and cost.

Every hash on the way is checked, so that a figure, table or metrics file edited by hand is detected. What is not what
the plan asks for now is named. The subcommand is `smoothing provenance`.
"""

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment, parquet, paths, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.pipeline import plan, records
from adaptive_smoothing.pipeline.commands import former_names, words
from adaptive_smoothing.pipeline.commands.program import Misuse
from adaptive_smoothing.pipeline.records import Listing
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

    def document(self, everything: bool) -> dict[str, Any]:
        """Return what `--json` prints of a run."""
        recorded = ["specification", "code"] if everything else []
        return {
            "run": self.name,
            "device": self.cost.device if self.cost else None,
            "seconds": float(self.cost.seconds) if self.cost else None,
            "metrics_sha256": self.source["sha256"],
            "metrics_here": self.here,
            "git_revision": self.source["git_revision"],
            "versions": self.source["versions"],
            **{key: self.source[key] for key in recorded},
        }


@dataclass(frozen=True)
class Trace:
    """A figure and all that made it; every hash was checked. `description` is what its table says of itself.

    `everything`: whether it is told with the specification and code of each run.
    """

    figure: str
    sha256: str
    record: str
    table: str
    table_sha256: str
    rows: int
    description: dict[str, Any]
    runs: list[TracedRun]
    differing: Listing
    everything: bool = False

    @property
    def kept(self) -> list[str]:
        """The files that the table keeps, because no commit holds them."""
        return sorted(self.description.get(sources.KEY, {}).get("files", {}))

    def text(self) -> str:
        """Return the trail, line by line."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.figure
        yield f"  sha256 {self.sha256}, as {self.record} records"
        yield f"  names its table by sha256 {self.table_sha256}"
        yield self.table
        yield f"  sha256 {self.table_sha256}, as the figure says"
        yield f"  '{self.description['title']}', scale {self.description['scale']}, {self.rows} rows"
        if self.kept:
            yield f"  keeps {', '.join(self.kept)}, which no commit holds; 'smoothing restore {self.table}' writes them"
        if self.everything:
            yield from _pretty("code of collect", self.description["code"])
        yield from _run_lines(self.runs, self.everything)
        if text := self.differing.text():
            yield text

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "scale": self.description["scale"],
            "title": self.description["title"],
            "figure": {"file": self.figure, "sha256": self.sha256},
            "table": {"file": self.table, "sha256": self.table_sha256, "rows": self.rows},
            "runs": [run.document(self.everything) for run in self.runs],
            "kept": self.kept,
            "differing": self.differing.document(),
            **({"code": self.description["code"]} if self.everything else {}),
        }


def trace_words(first: str, *others: str, everything: bool = False) -> Trace:
    """Trace the figure that the words of a command line name; one named without an ending is the PDF."""
    planned, figures = words.scale_and_figures(first, others)
    if len(figures) != 1:
        raise Misuse(f"name one figure, such as: smoothing provenance {planned.name} {next(iter(planned.all_figures))}")
    files = paths.figure_files(planned.name, figures[0])
    ending = Path(others[-1] if others else first).suffix
    file = next((file for file in files if Path(file).suffix == ending), files[0])
    return replace(trace(planned.name, figures[0], file), everything=everything)


def trace(scale: str, name: str, figure: str) -> Trace:
    """Return where the file of a figure comes from; raise UserError at the first hash that does not match."""
    table, record_file = paths.TABLE.format(scale=scale, figure=name), paths.DRAWN.format(scale=scale, figure=name)
    record = _checked_record(figure, record_file, table)
    frame, description = parquet.read_frame(table)
    _check_label_noise(table, scale, description)
    runs = _checked_runs(table, scale, description["runs"], run_costs.costs_by_run(frame))
    planned = plan.Plan(scale)
    figures = [planned.figure(name)]
    return Trace(
        figure,
        record.files[figure],
        record_file,
        table,
        record.table,
        len(frame),
        description,
        runs,
        Listing(planned, figures, records.check(planned, figures)),
    )


def _checked_record(figure: str, file: str, table: str) -> draw_record.DrawRecord:
    """Return a figure's record; raise UserError unless figure, record and table belong together."""
    record = _read_record(figure, file, table)
    for drawn, expected in record.files.items():
        if drawn == figure or Path(drawn).exists():
            _check_hash(drawn, expected, f"{file} records")
    named = draw_record.table_named_in(figure)
    if record.table != named:
        raise UserError(f"{file}: says the table's sha256 was {record.table}, but {figure} says {named}")
    _check_hash(table, named, f"{figure} names as that of the table it was drawn from")
    return record


def _read_record(figure: str, file: str, table: str) -> draw_record.DrawRecord:
    for needed in (figure, file, table):
        if not Path(needed).is_file():
            use = "" if needed == figure else f", so {figure} cannot be traced"
            raise UserError(f"{needed}: does not exist{use}; make it with 'snakemake --cores 2 {figure}'")
    record = draw_record.read_record(file)
    if figure not in record.files:
        raise UserError(f"{file}: does not name {figure}; make it with 'snakemake --cores 2 --force {figure}'")
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


def _run_lines(runs: Sequence[TracedRun], everything: bool) -> Iterator[str]:
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


def _pretty(title: str, content: object) -> Iterator[str]:
    yield f"    {title}:"
    yield textwrap.indent(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True), " " * 6)


if __name__ == "__main__":
    former_names.renamed("provenance")
