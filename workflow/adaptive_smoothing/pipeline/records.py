"""What the files of a scale say of themselves, compared with what the plan asks for.

Snakemake decides by times and by metadata of its own. A file that was touched, copied or written late can pass for
current there. Its own record says what it is. Of Parquet files only the footers are read, and tables' sources hashed.
A file that is not there is no difference: Snakemake makes it (deleted.py).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan, Run
from adaptive_smoothing.results.asked import making_again

ABSENT = object()  # a key that one of two mappings lacks; None is a value
SHOWN = 3  # differences of one file that a sentence names
Record = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """A file that is not what the plan asks for, and in what.

    `code_alone`: it was asked for, but other code made it, and nobody adopted it.
    """

    file: str
    what: str
    code_alone: bool = False

    @property
    def adoptable(self) -> bool:
        """Whether it can be accepted as it is, by adoption."""
        return self.code_alone and paths.is_of_run(self.file)


def check(planned: Plan, figures: Sequence[FigurePlan]) -> list[Difference]:
    """Return the files behind some figures that are not what the plan asks for, in the order of the stages."""
    comparison = _Comparison(planned)
    runs = list(dict.fromkeys(run for figure in figures for run in figure.runs))
    for folder in dict.fromkeys(run.dataset_folder for run in runs):
        comparison.dataset(folder)
    for run in {run.labels: run for run in runs}.values():
        comparison.labels(run)
    for run in runs:
        comparison.run(run)
    for figure in figures:
        for run in figure.runs:
            comparison.label_noise(run, figure.label_noise_mc_samples)
        comparison.table(figure)
        comparison.drawing(figure)
    return comparison.differences()


def values(recorded: Any, planned: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the dotted key and both values, as text, of each difference between nested mappings."""
    if isinstance(recorded, dict) and isinstance(planned, dict):
        for name in [*recorded, *(name for name in planned if name not in recorded)]:
            below = f"{key}.{name}" if key else name
            yield from values(recorded.get(name, ABSENT), planned.get(name, ABSENT), below)
    elif recorded != planned:
        yield key, _text(recorded), _text(planned)


def of_other_content(planned: Plan, figures: Sequence[FigurePlan]) -> list[Difference]:
    """Return the files behind some figures that are not what the plan asks for, whatever code made them."""
    return [difference for difference in check(planned, figures) if not difference.code_alone]


@dataclass(frozen=True)
class Listing:
    """The files behind some figures that are not what the plan asks for, for people and for scripts."""

    plan: Plan
    figures: Sequence[FigurePlan]
    differences: Sequence[Difference]

    def text(self) -> str:
        """Return lines with the files, and with the command that makes them again; '' if there are none."""
        other = [difference for difference in self.differences if not difference.code_alone]
        by_code = [difference for difference in self.differences if difference.code_alone]
        parts = [
            self._part(f"not what {self.plan.file} asks for, although Snakemake may take them for current:", other),
            self._part("made by other code than is here, although Snakemake may take them for current:", by_code),
        ]
        return "\n\n".join(part for part in parts if part)

    def _part(self, heading: str, differences: Sequence[Difference]) -> str:
        if not differences:
            return ""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for difference in differences:
            by_reason[difference.what].append(difference.file)
        lines = [heading]
        for what, files in by_reason.items():
            lines += [f"  {files[0]}" + (f" and {len(files) - 1} more" if len(files) > 1 else ""), f"      {what}"]
        return "\n".join([*lines, f"make them again: {_command(self.plan, self.figures, differences)}"])

    def document(self) -> list[dict[str, Any]]:
        """Return what `--json` prints of them."""
        return [asdict(difference) for difference in self.differences]


def _command(planned: Plan, figures: Sequence[FigurePlan], differences: Sequence[Difference]) -> str:
    """Return the command that makes files again; for runs that differ in code alone, the other way as well."""
    all_named = {figure.name for figure in figures} >= planned.figures.keys()
    names = [] if all_named else [figure.name for figure in figures]
    by_code = all(difference.code_alone for difference in differences)
    command = making_again(planned.name, names, [difference.file for difference in differences], by_code)
    adoptable = any(difference.adoptable for difference in differences) and by_code
    return f"{command}, or adopt the runs (docs/adopting.md)" if adoptable else command


def sentence(planned: Plan, figures: Sequence[FigurePlan], differences: Sequence[Difference]) -> str:
    """Return one sentence on files that are not what the plan asks for, with the command that makes them again."""
    first = differences[0]
    others = f" and {len(differences) - 1} more files are" if len(differences) > 1 else " is"
    return (
        f"{first.file}{others} not what {planned.file} asks for: {first.what}; "
        f"make again: {_command(planned, figures, differences)}"
    )


class _Comparison:
    """Compares the files of one scale with its plan. What is made from a file that differs is not named as well."""

    def __init__(self, planned: Plan) -> None:
        self.plan = planned
        self._found: dict[str, Difference] = {}
        self._records: dict[str, Record | None] = {}
        self._sha256: dict[str, str] = {}

    def dataset(self, folder: str) -> None:
        """Compare a prepared dataset with its name, options, seed and variant in the plan."""
        file = paths.META.format(dataset=folder)
        if Path(file).exists():
            asked = self.plan.sources()[folder]
            record = self._record(file)
            self._compare(file, record and {key: record.get(key) for key in asked}, asked)

    def labels(self, run: Run) -> None:
        """Compare the labels that a run is trained on."""
        asked = {"noise": run.spec.noise.parameters(), "noise_seed": run.spec.noise_seed}
        split = {"split": self.plan.split(run.dataset_folder)}
        self._compare_parquet(run.labels, asked, {**split, **self._data(run, with_labels=False)})

    def run(self, run: Run) -> None:
        """Compare a run's metrics."""
        file = paths.METRICS.format(scale=self.plan.name, run=run.name)
        self._compare_parquet(file, {"specification": run.specification}, self._data(run), run.code)

    def label_noise(self, run: Run, samples: int | None) -> None:
        """Compare the label noise that was measured on a run; None: it is not measured."""
        if samples:
            file = paths.LABEL_NOISE.format(scale=self.plan.name, run=run.name, samples=samples)
            asked = {"run": run.name, "samples": samples, "specification": run.specification}
            self._compare_parquet(file, asked, self._data(run), run.measuring_code)

    def table(self, figure: FigurePlan) -> None:
        """Compare a figure's table, and its sources with the runs that are there."""
        file = paths.TABLE.format(scale=self.plan.name, figure=figure.name)
        record = self._compare_parquet(file, figure.description, {})
        if record is not None:
            self._add(file, list(self._other_sources(figure, record["runs"])))
            self._compare_code(file, record.get("code"), figure.code)

    def drawing(self, figure: FigurePlan) -> None:
        """Compare a drawing with its table, and with its own record."""
        table = paths.TABLE.format(scale=self.plan.name, figure=figure.name)
        file = paths.DRAWN.format(scale=self.plan.name, figure=figure.name)
        if Path(table).exists() and Path(file).exists() and not self._differs(table):
            self._add(file, list(self._changed_after_drawing(file, table)))

    def differences(self) -> list[Difference]:
        """Return the differences, in the order in which they were found."""
        return list(self._found.values())

    def _data(self, run: Run, with_labels: bool = True) -> Record:
        """Return the hashes of the dataset, and of the labels, that are there for a run; without those that are not."""
        meta = self._record(paths.META.format(dataset=run.dataset_folder)) or {}
        hashes = {"dataset_sha256": meta.get("sha256")}
        if with_labels:
            hashes["labels_sha256"] = (self._record(run.labels) or {}).get("labels_sha256")
        return {key: value for key, value in hashes.items() if value is not None}

    def _compare_parquet(self, file: str, asked: Record, data: Record, code: Code | None = None) -> Record | None:
        """Compare a Parquet file's record and return it; None if there is none.

        Records of older versions lack the keys of `data`.
        """
        if not Path(file).exists():
            return None
        record = self._record(file)
        if record is not None:
            data = {key: value for key, value in data.items() if key in record}
        self._compare(file, record and {key: record.get(key) for key in [*asked, *data]}, {**asked, **data})
        if record is not None and code is not None:
            self._compare_code(file, record.get("code"), code)
        return record

    def _compare_code(self, file: str, recorded: object, asked: Code) -> None:
        if recorded != asked:
            self._add(file, [f"other code made it: {_modules(recorded, asked)}"], code_alone=True)

    def _compare(self, file: str, recorded: Record | None, asked: Record) -> None:
        if recorded is None:
            self._add(file, ["its record cannot be read"])
            return
        self._add(
            file,
            [
                f"'{key}' is {before} in its record but {now} in the plan"
                for key, before, now in values(recorded, asked)
            ],
        )

    def _add(self, file: str, reasons: list[str], code_alone: bool = False) -> None:
        if reasons and file not in self._found:
            more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
            self._found[file] = Difference(file, "; ".join(reasons[:SHOWN]) + more, code_alone)

    def _other_sources(self, figure: FigurePlan, sources: dict[str, Record]) -> Iterator[str]:
        """Yield in what the runs that a table was made from are not those of the plan, or not those that are there."""
        planned = {run.name: run for run in figure.runs}
        if sources.keys() != planned.keys():
            yield f"it was made from other runs: {len(sources)} in its record, {len(planned)} in the plan"
            return
        for name, source in sources.items():
            if self._differs(paths.METRICS.format(scale=self.plan.name, run=name)):
                continue
            for key, before, now in values(source["specification"], planned[name].specification):
                yield f"run {name} had {key} {before} and the plan has {now}"
            names = {"scale": self.plan.name, "run": name, "samples": figure.label_noise_mc_samples}
            for key, pattern in (("sha256", paths.METRICS), ("label_noise_sha256", paths.LABEL_NOISE)):
                file = pattern.format(**names)
                if (
                    key in source
                    and file not in self._found
                    and Path(file).exists()
                    and self._hash(file) != source[key]
                ):
                    yield f"it was not made from the {file} that is there"

    def _changed_after_drawing(self, file: str, table: str) -> Iterator[str]:
        try:
            drawn = draw_record.read_record(file)
        except UserError:
            yield "it cannot be read"
            return
        if drawn.table != self._hash(table):
            yield f"the figure was not drawn from the {table} that is there"
        yield from (
            f"{figure} was changed after it was drawn"
            for figure, digest in drawn.files.items()
            if self._hash(figure) not in (None, digest)
        )

    def _differs(self, file: str) -> bool:
        """Return whether a file was found to be another one than was asked for, and not only by its code."""
        return file in self._found and not self._found[file].code_alone

    def _record(self, file: str) -> Record | None:
        """Return what a file says of itself; None if it is missing or damaged."""
        if file not in self._records:
            self._records[file] = _read_json(file) if file.endswith(".json") else _read_record(file)
        return self._records[file]

    def _hash(self, file: str) -> str | None:
        """Return a file's sha256; None if it is not there."""
        if file not in self._sha256 and Path(file).exists():
            self._sha256[file] = sha256_of(file)
        return self._sha256.get(file)


def _read_json(file: str) -> Record | None:
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _read_record(file: str) -> Record | None:
    try:
        return parquet.read_metadata(file)
    except UserError:
        return None


def _modules(recorded: object, asked: Code) -> str:
    """Return the modules whose digests differ."""
    before = recorded if isinstance(recorded, dict) else {}
    return ", ".join(sorted(name for name in before.keys() | asked.keys() if before.get(name) != asked.get(name)))


def _text(value: object) -> str:
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)
