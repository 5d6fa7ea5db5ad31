"""Accept old results as current after a change that computes the same: moved code, a renamed hyper-parameter.

    python -m adaptive_smoothing.adopt SCALE (--run NAME ... | --method METHOD ...) --by WHO --reason WHY

All selected runs are checked before the first file is written, so that either all are adopted or none. Data stay as
they are; the record in each file says who adopted it, when and why. See docs/adopting.md.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.plan import Run, Specification
from adaptive_smoothing.training import metrics

METRICS = Path(paths.METRICS).name
POSTERIOR = Path(paths.POSTERIOR).name
RULES = ("train", "train_keeping_posterior", "measure_label_noise")  # those whose outputs can be adopted
INPUT_CHANGED = ("updated input files", "set of input files changed")  # in `snakemake --summary`
ABSENT = object()  # a key that one of two specifications lacks; None is a value


@dataclass(frozen=True)
class Voucher:
    """Who says that the results are still right, why, and which hyper-parameters were renamed (old → new)."""

    by: str
    reason: str
    renames: dict[str, str]

    def renamed(self, specification: Specification) -> Specification:
        """Return an old specification with its hyper-parameters under their new names."""
        old = specification["hyperparameters"]
        new = {self.renames.get(key, key): value for key, value in old.items()}
        # two keys that fall together would hide one of the values
        return {**specification, "hyperparameters": new} if len(new) == len(old) else specification


@dataclass(frozen=True)
class Adoption:
    """What adopting one run takes: tables to write with their new records, and files to copy; none if it is current.

    `files` are the run's Parquet files in the plan's place, `source` the folder where the results lie so far.
    """

    run: Run
    source: Path
    files: list[Path]
    tables: dict[Path, tuple[pa.Table, parquet.Metadata]]
    copies: dict[Path, Path]
    adopted_before: bool

    @property
    def in_place(self) -> bool:
        """Whether the results lie where the plan wants them already."""
        return self.source == self.files[0].parent

    @property
    def inputs(self) -> list[str]:
        """The files that the run was trained on."""
        return [paths.META.format(dataset=self.run.dataset_folder), self.run.labels]

    def write(self) -> None:
        """Write the run's files where the plan wants them; those elsewhere stay."""
        for target, source in self.copies.items():
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)
        for path, (table, metadata) in self.tables.items():
            parquet.write(path, table, metadata)


class Finder:
    """Finds the results of planned runs, and what adopting them takes."""

    def __init__(self, scale: str, voucher: Voucher) -> None:
        self.scale = scale
        self.plan = plan.load(scale)
        self.voucher = voucher
        self.runs_folder = Path(paths.RUN.format(scale=scale, run=""))

    def adoption(self, run: Run) -> Adoption | None:
        """Return what adopting a run takes, None if it has no results; raise UserError if it must not be adopted."""
        folder = self.runs_folder / run.name
        source = folder if (folder / METRICS).exists() else self._elsewhere.get(_text(run.specification))
        if source is None:
            return None
        copies = {}
        if run.keeps_posterior and not (source / POSTERIOR).exists():
            raise UserError(f"{source / POSTERIOR}: does not exist, but the plan wants it kept")
        if run.keeps_posterior and source != folder:
            copies[folder / POSTERIOR] = source / POSTERIOR
        files, tables, adopted_before = [], {}, False
        for name, code in self._wanted(run, source):
            table, record = parquet.read(source / name)
            adopted_before |= "adopted" in record
            files.append(folder / name)
            if (made := self._adopted(run, source, table, record, code)) is not None:
                tables[folder / name] = made
        return Adoption(run, source, files, tables, copies, adopted_before)

    @cached_property
    def _elsewhere(self) -> dict[str, Path]:
        """Where old results lie: specification under its new names → folder; nothing unless names changed."""
        if not self.voucher.renames:
            return {}
        found = sorted(self.runs_folder.rglob(METRICS))
        return {_text(self.voucher.renamed(parquet.read(path)[1]["specification"])): path.parent for path in found}

    def _wanted(self, run: Run, source: Path) -> Iterator[tuple[str, Code]]:
        """Yield name and current code of each Parquet file of a run that exists."""
        yield METRICS, run.code
        samples = {figure.label_noise_mc_samples for figure in self.plan.all_figures.values() if run in figure.runs}
        for count in sorted(number for number in samples if number):
            path = source / Path(paths.LABEL_NOISE.format(scale=self.scale, run=run.name, samples=count)).name
            # older than the posterior: measured on another one, so left to be measured anew
            if path.exists() and path.stat().st_mtime >= (source / POSTERIOR).stat().st_mtime:
                yield path.name, run.measuring_code

    def _adopted(
        self, run: Run, source: Path, table: pa.Table, record: parquet.Metadata, code: Code
    ) -> tuple[pa.Table, parquet.Metadata] | None:
        """Return table and record as they are to be written, None if they are current."""
        old, new = record["specification"], json.loads(_text(run.specification))
        moved = source != self.runs_folder / run.name
        if old == new and record["code"] == code and not moved:
            return None
        renamed = old if old == new else self.voucher.renamed(old)
        if renamed != new:
            key, before, now = next(_differences(renamed, new))
            raise UserError(f"'{key}' is {before} in its record but {now} in the plan, which is a different training")
        entry = {
            "by": self.voucher.by,
            "reason": self.voucher.reason,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "from": record["code"],
            "to": code,
        }
        if renamed != old:
            entry["renamed"] = {key: to for key, to in self.voucher.renames.items() if key in old["hyperparameters"]}
            entry["run"] = source.relative_to(self.runs_folder).as_posix()
        changed = {**record, "specification": new, "code": code, "adopted": [*record.get("adopted", []), entry]}
        if "run" in record:
            changed["run"] = run.name
        columns = dict(zip(metrics.flat(old["hyperparameters"]), metrics.flat(renamed["hyperparameters"]), strict=True))
        return _relabelled(table, run.name, columns), changed


def _relabelled(table: pa.Table, run: str, columns: dict[str, str]) -> pa.Table:
    """Return a table with its columns renamed and its rows belonging to `run`."""
    if "run" not in table.column_names:
        return table  # label noise: nothing in it bears a name
    names = [columns.get(name, name) for name in table.column_names]
    if taken := {name for name in names if names.count(name) > 1}:
        raise UserError(f"its table has a column '{min(taken)}' already; choose another new name")
    place = table.column_names.index("run")
    rows = pa.array([run] * table.num_rows, pa.string())
    return table.rename_columns(names).set_column(place, "run", rows)


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the dotted key and both values, as text, of each difference between nested mappings."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(old.get(name, ABSENT), new.get(name, ABSENT), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, _shown(old), _shown(new)


def _shown(value: object) -> str:
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _text(specification: Specification) -> str:
    return json.dumps(specification, sort_keys=True)


def selected(planned: plan.Plan, runs: Sequence[str], methods: Sequence[str]) -> list[Run]:
    """Return the named runs, or all runs of the named methods; raise UserError for a name that is not planned."""
    legal = {run.method for run in planned.runs.values()}
    for method in methods:
        if method not in legal:
            raise unknown("method", method, legal, str(planned.file))
    named = dict.fromkeys(planned.run(name) for name in runs)
    return [*named, *(run for run in planned.runs.values() if run.method in methods)]


def adopt(scale: str, runs: Sequence[str], methods: Sequence[str], voucher: Voucher, dry_run: bool) -> None:
    """Adopt the results of runs and say so; raise UserError, with nothing written, if any must not be adopted."""
    finder = Finder(scale, voucher)
    chosen = selected(finder.plan, runs, methods)
    _check_new_names(voucher, chosen, str(finder.plan.file))
    adoptions, refused = _found(finder, chosen, runs)
    # those adopted before are marked once more, in case that was cut off between writing and marking
    vouched = [adoption for adoption in adoptions if adoption.tables or adoption.adopted_before]
    refused |= _with_changed_inputs(vouched)
    _report(adoptions, refused)
    if refused:
        raise UserError(f"{len(refused)} of {len(chosen)} selected runs cannot be adopted, so none was")
    if not adoptions:
        raise UserError(f"no selected run of scale '{scale}' has results to adopt")
    if vouched and not dry_run:
        for adoption in vouched:
            adoption.write()
        _mark_current([str(path) for adoption in vouched for path in adoption.files])
    print(
        "dry run: nothing was changed" if dry_run else f"adopted {sum(bool(found.tables) for found in adoptions)} runs"
    )


def _check_new_names(voucher: Voucher, runs: list[Run], where: str) -> None:
    legal = {key for run in runs for key in run.specification["hyperparameters"]}
    for name in voucher.renames.values():
        if name not in legal:
            raise unknown("hyper-parameter", name, legal, where)


def _found(finder: Finder, chosen: list[Run], named: Sequence[str]) -> tuple[list[Adoption], dict[str, str]]:
    """Return what adopting the chosen runs takes, and run → why of those refused; a run without results is neither.

    Unless it was asked for by its name: then it is refused.
    """
    adoptions, refused = [], {}
    for run in chosen:
        try:
            adoption = finder.adoption(run)
        except UserError as error:
            refused[run.name] = str(error)
            continue
        if adoption is not None:
            adoptions.append(adoption)
        elif run.name in named:
            refused[run.name] = "it has no results (if a hyper-parameter was renamed: --rename OLD=NEW)"
        else:
            print(f"no results: {run.name}")
    return adoptions, refused


def _report(adoptions: list[Adoption], refused: dict[str, str]) -> None:
    for adoption in adoptions:
        if adoption.run.name not in refused:
            origin = "" if adoption.in_place else f" (copied from {adoption.source})"
            print(f"{'to adopt' if adoption.tables else 'current'}: {adoption.run.name}{origin}")
    for name, why in refused.items():
        print(f"refused: {name}: {why}")


def _with_changed_inputs(adoptions: list[Adoption]) -> dict[str, str]:
    """Return run → why, for runs that would be trained anew whatever their code: data or labels have changed."""
    if not adoptions:
        return {}
    inputs = {path for adoption in adoptions for path in adoption.inputs}
    in_place = [str(path) for adoption in adoptions if adoption.in_place for path in adoption.files]
    table = _snakemake("--summary", *sorted(inputs), *in_place).splitlines()
    summary = {row["output_file"]: row for row in csv.DictReader(table, delimiter="\t")}
    reasons = {adoption.run.name: _changed_input(adoption, summary) for adoption in adoptions}
    return {run: why for run, why in reasons.items() if why}


def _changed_input(adoption: Adoption, summary: dict[str, dict[str, str]]) -> str | None:
    for path in adoption.inputs:
        if summary[path]["plan"] != "no update":
            return f"{path} is to be made anew first: snakemake --cores 1 {path}"
        # Snakemake knows nothing of files at a path that is no longer planned, so times must do
        if not adoption.in_place and Path(path).stat().st_mtime > (adoption.source / METRICS).stat().st_mtime:
            return f"{path} is newer than the results in {adoption.source}"
    for file in adoption.files if adoption.in_place else []:
        if summary[str(file)]["status"] in INPUT_CHANGED:
            return f"{file.name} was made from other data, labels or posterior than there are now"
    return None


def _mark_current(files: list[str]) -> None:
    """Let Snakemake record files as made with the present params; what they were made from keeps its own state.

    `--force` because Snakemake has no record of a copied file, and would not notice a later change without one;
    `--allowed-rules` because `--touch` alone would also mark stale labels and datasets as current.
    """
    try:
        _snakemake("--touch", "--force", *files, "--allowed-rules", *RULES)
    except UserError as error:
        raise UserError(f"{error}; the files are adopted, but give the same command again to tell Snakemake") from error


def _snakemake(*arguments: str) -> str:
    """Run Snakemake in this folder and return its stdout; raise UserError if it fails."""
    done = subprocess.run([sys.executable, "-m", "snakemake", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"snakemake {arguments[0]} failed ({' '.join(done.stderr.split())[-300:]})")
    return done.stdout


def _voucher(by: str, reason: str, renames: Sequence[str]) -> Voucher:
    """Return the checked voucher of a command line."""
    if not by.strip() or not reason.strip():
        raise UserError("--by and --reason must say who adopts the results and why")
    pairs = [text.partition("=") for text in renames]
    for text, (old, _, new) in zip(renames, pairs, strict=True):
        if not old or not new:
            raise UserError(f"--rename '{text}' is not OLD=NEW")
    return Voucher(by, reason, {old: new for old, _, new in pairs})


def main() -> None:
    """Read the command line and adopt."""
    parser = argparse.ArgumentParser(prog="python -m adaptive_smoothing.adopt", description=__doc__.splitlines()[0])
    parser.add_argument("scale", help="a scale, such as small")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", nargs="+", default=[], metavar="NAME", help="runs: folders in results/SCALE/runs")
    which.add_argument("--method", nargs="+", default=[], help="all runs of methods")
    parser.add_argument("--by", required=True, metavar="WHO", help="who says that the results are still right")
    parser.add_argument("--reason", required=True, metavar="WHY", help="why they are")
    parser.add_argument("--rename", nargs="+", default=[], metavar="OLD=NEW", help="renamed hyper-parameters")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    given = parser.parse_args()
    voucher = _voucher(given.by, given.reason, given.rename)
    adopt(given.scale, given.run, given.method, voucher, given.dry_run)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
