"""Accept old results as current after a change of code that computes the same: `smoothing adopt`.

All selected runs are checked before the first file is written, so that either all are adopted or none. Data stay as
they are; the record in each file says who adopted it, when and why. See docs/adopting.md.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline import records, snakemake_cli
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.commands import former_names, words
from adaptive_smoothing.pipeline.commands.program import Misuse
from adaptive_smoothing.pipeline.plan import Plan, Run

RULES = ("train", "train_keeping_posterior", "measure_label_noise")  # those whose outputs can be adopted


@dataclass(frozen=True)
class Approval:
    """Who says that the results are still right, and why."""

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise Misuse("--by and --reason must say who adopts the results and why")

    def entry(self, old: Code, new: Code) -> dict[str, Any]:
        """Return what an adopted file's record says of the adoption."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        return {"by": self.by, "reason": self.reason, "when": when, "from": old, "to": new}


@dataclass(frozen=True)
class Adoption:
    """What adopting one run takes: its Parquet files, and tables with new records of those that are not current."""

    run: Run
    files: list[Path]
    tables: dict[Path, tuple[pa.Table, parquet.Metadata]]
    adopted_before: bool

    @property
    def inputs(self) -> list[str]:
        """The files that the run was trained on."""
        return [paths.META.format(dataset=self.run.dataset_folder), self.run.labels]

    def write(self) -> None:
        """Write the files with their new records."""
        for path, (table, record) in self.tables.items():
            parquet.write(path, table, record)


def adoption_of(run: Run, planned: Plan, approval: Approval) -> Adoption | None:
    """Return what adopting a run takes, None if it has no results; raise UserError if it must not be adopted."""
    if not Path(paths.METRICS.format(scale=planned.name, run=run.name)).exists():
        return None
    files, tables, adopted_before = [], {}, False
    for path, code in _files_and_code(run, planned):
        table, record = parquet.read(path)
        _check_specification(record["specification"], run)
        files.append(path)
        adopted = record.get("adopted", [])
        adopted_before |= bool(adopted)
        if record["code"] != code:
            entry = approval.entry(record["code"], code)
            tables[path] = table, {**record, "code": code, "adopted": [*adopted, entry]}
    return Adoption(run, files, tables, adopted_before)


def _files_and_code(run: Run, planned: Plan) -> Iterator[tuple[Path, Code]]:
    """Yield path and current code of each Parquet file of a run; raise UserError if a kept posterior is missing."""
    yield Path(paths.METRICS.format(scale=planned.name, run=run.name)), run.code
    if not run.keeps_posterior:
        return
    posterior = Path(paths.POSTERIOR.format(scale=planned.name, run=run.name))
    if not posterior.exists():
        raise UserError(f"{posterior}: does not exist, but a figure needs it")
    counts = {figure.label_noise_mc_samples for figure in planned.all_figures.values() if run in figure.runs}
    for count in sorted(number for number in counts if number):
        path = Path(paths.LABEL_NOISE.format(scale=planned.name, run=run.name, samples=count))
        # one that is older was measured on another posterior, and is left to be measured again
        if path.exists() and path.stat().st_mtime >= posterior.stat().st_mtime:
            yield path, run.measuring_code


def _check_specification(recorded: dict[str, Any], run: Run) -> None:
    """Raise UserError, naming the first difference, unless a record's specification is the run's."""
    for key, before, now in records.values(recorded, run.specification):
        raise UserError(f"'{key}' is {before} in its record but {now} in the plan, which is a different training")


def selected(planned: Plan, runs: Sequence[str], methods: Sequence[str]) -> list[Run]:
    """Return the named runs, or all runs of the named methods; raise UserError for a name that is not planned."""
    legal = {run.method for run in planned.runs.values()}
    for method in methods:
        if method not in legal:
            raise Misuse(str(unknown("method", method, legal, str(planned.file))))
    for name in runs:
        if name not in planned.runs:
            raise Misuse(str(unknown("run", name, planned.runs, str(planned.file))))
    return [
        *dict.fromkeys(planned.run(name) for name in runs),
        *(run for run in planned.runs.values() if run.method in methods),
    ]


def adopt(planned: Plan, runs: Sequence[Run], approval: Approval, pass_over: bool, dry_run: bool) -> None:
    """Adopt the results of runs and print what was done; raise UserError, with nothing written, if any is refused.

    A run without results is passed over if `pass_over`, else refused.
    """
    adoptions, refused = _sorted_out(planned, runs, approval, pass_over)
    # Runs that were adopted before are marked again, in case that was cut off between writing and marking.
    touched = [adoption for adoption in adoptions if adoption.tables or adoption.adopted_before]
    refused |= _runs_with_changed_inputs(touched)
    _print_outcome(adoptions, refused)
    if refused:
        raise UserError(f"{len(refused)} of {len(runs)} selected runs cannot be adopted, so none was")
    if not adoptions:
        raise UserError(f"no selected run of scale '{planned.name}' has results to adopt")
    if dry_run:
        print("dry run: nothing was changed")
        return
    for adoption in touched:
        adoption.write()
    _mark_current([str(path) for adoption in touched for path in adoption.files])
    print(f"adopted {sum(bool(adoption.tables) for adoption in adoptions)} runs")


def _sorted_out(
    planned: Plan, runs: Sequence[Run], approval: Approval, pass_over: bool
) -> tuple[list[Adoption], dict[str, str]]:
    """Return the adoptions of runs that have results, and run → why of those refused."""
    adoptions, refused = [], {}
    for run in runs:
        try:
            adoption = adoption_of(run, planned, approval)
        except UserError as error:
            refused[run.name] = str(error)
            continue
        if adoption is not None:
            adoptions.append(adoption)
        elif pass_over:
            print(f"no results: {run.name}")
        else:
            refused[run.name] = "it has no results"
    return adoptions, refused


def _print_outcome(adoptions: list[Adoption], refused: dict[str, str]) -> None:
    for adoption in adoptions:
        if adoption.run.name not in refused:
            print(f"{'to adopt' if adoption.tables else 'current'}: {adoption.run.name}")
    for name, why in refused.items():
        print(f"refused: {name}: {why}")


def _runs_with_changed_inputs(adoptions: list[Adoption]) -> dict[str, str]:
    """Return run → why, for runs that would be trained again whatever their code: data or labels have changed."""
    if not adoptions:
        return {}
    inputs = {path for adoption in adoptions for path in adoption.inputs}
    files = [str(path) for adoption in adoptions for path in adoption.files]
    summary = snakemake_cli.summary([*sorted(inputs), *files])
    reasons = {adoption.run.name: _changed_input(adoption, summary) for adoption in adoptions}
    return {run: why for run, why in reasons.items() if why}


def _changed_input(adoption: Adoption, summary: dict[str, snakemake_cli.FileSummary]) -> str | None:
    for path in adoption.inputs:
        if summary[path].is_to_make:
            return f"{path} is out of date; make it first: snakemake --cores 1 {path}"
    for file in adoption.files:
        if summary[str(file)].inputs_changed:
            return f"{file.name} was made from other data, labels or posterior than there are now"
    return None


def _mark_current(files: list[str]) -> None:
    if not files:
        return
    try:
        snakemake_cli.mark_current(files, RULES)
    except UserError as error:
        raise UserError(f"{error}; the files are adopted, but repeat the command so that Snakemake knows it") from error


def adopt_selected(
    scale: str, runs: Sequence[str], methods: Sequence[str], approval: Approval, dry_run: bool = False
) -> None:
    """Adopt the results of named runs, or of all runs of methods; raise Misuse unless one of both is named."""
    if bool(runs) == bool(methods):
        raise Misuse("name the results to adopt with --run or with --method, not with both")
    planned = words.scale(scale)
    adopt(planned, selected(planned, runs, methods), approval, pass_over=bool(methods), dry_run=dry_run)


def _one_value_each(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words of a former command line; an option that took several values is repeated for each."""
    option = None
    for word in arguments:
        if word.startswith("--"):
            option = word if word in ("--run", "--method") else None
            if option is None:
                yield word
        elif option:
            yield from (option, word)
        else:
            yield word


if __name__ == "__main__":
    former_names.renamed("adopt", list(_one_value_each(sys.argv[1:])))
