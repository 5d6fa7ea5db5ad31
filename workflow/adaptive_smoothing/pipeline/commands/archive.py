"""A scale's results in one file for a release, and its figures from such a file: without torch, without training.

`smoothing export` writes an archive and `smoothing import` draws its figures. An archive holds the tables of all
figures, the metrics of all runs, and MANIFEST.json with the hash of each. It is read whole and checked before the
first file is written.
"""

import hashlib
import io
import json
import lzma
import sys
import tarfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from adaptive_smoothing.core import environment, parquet, paths, registry, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write, sha256_of
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import draw, draw_record
from adaptive_smoothing.pipeline import records, validation
from adaptive_smoothing.pipeline.commands import former_names, restore, words
from adaptive_smoothing.pipeline.commands.program import Misuse

MANIFEST = "MANIFEST.json"
ENDING = ".tar.xz"
DRAWN_WITH = ("matplotlib", "numpy", "pandas", "pyarrow", "seaborn")  # what a redrawn figure's bytes depend on
LARGEST = 1 << 30  # bytes unpacked: far above any scale, far below what fills a memory
PART = r"[^/\\\x00-\x1f]*[^./\\\x00-\x1f][^/\\\x00-\x1f]*"  # of a run's name; not '.' nor '..'
Files = dict[str, bytes]  # path in the project → content


class Manifest(Strict):
    """What MANIFEST.json holds; `members` maps each path to its sha256."""

    format: Literal["adaptive-smoothing results, version 2"]
    scale: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]*$")]
    created_by: dict[str, Any]
    members: dict[str, str]


class Source(BaseModel):
    """What a table's metadata says of a run: the hash of its metrics."""

    sha256: str


class TableRecord(BaseModel):
    """What a table's metadata says of its origin: scale, figure with its kind, and the runs that it was made from."""

    scale: str
    figure: str
    kind: str
    runs: dict[Annotated[str, Field(pattern=f"^{PART}(/{PART})*$")], Source]


@dataclass(frozen=True)
class Exported:
    """An archive that was written, and what it holds."""

    scale: str
    archive: str
    figures: list[str]
    runs: int
    bytes: int

    def text(self) -> str:
        """Return a sentence on it."""
        held = f"{len(self.figures)} figure tables and the metrics of {self.runs} runs"
        return f"{self.archive}: {held}, {self.bytes / 1e6:.2f} MB"

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class Imported:
    """What came from an archive: the figures that were drawn, and the results that were written."""

    scale: str
    archive: str
    figures: list[str]
    results: list[str]
    other_sources: list[str]  # files that the tables keep and that the project lacks or has with another content

    def text(self) -> str:
        """Return a sentence on it."""
        drawn = f"{len(self.figures) // 2} figures drawn: {paths.figure_base(self.scale, '*')}.pdf and .png"
        if not self.other_sources:
            return drawn
        return (
            f"{drawn}; the tables keep {len(self.other_sources)} files that this project lacks or has with another "
            f"content, the first is {self.other_sources[0]}; 'smoothing restore TABLE' writes those of a table"
        )

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


def export(scale: str, file: str | None = None) -> Exported:
    """Write the archive of a finished scale, by default SCALE-results.tar.xz."""
    planned = words.scale(scale)
    file = file or f"{scale}-results{ENDING}"
    if not file.endswith(ENDING):  # nor is a figure's name taken for a file, or any other file overwritten
        raise Misuse(f"{file}: the file of an archive ends in {ENDING}; an archive holds all figures of its scale")
    runs = {run.name for figure in planned.figures.values() for run in figure.runs}
    needed = [paths.TABLE.format(scale=scale, figure=figure) for figure in planned.figures]
    needed += [paths.METRICS.format(scale=scale, run=run) for run in sorted(runs)]
    if missing := [path for path in needed if not Path(path).is_file()]:
        raise UserError(
            f"scale '{scale}': {len(missing)} of {len(needed)} files are missing, the first is {missing[0]}; "
            f"make them with 'snakemake --cores 2 {scale}'"
        )
    figures = list(planned.figures.values())
    if differing := records.of_other_content(planned, figures):
        raise UserError(records.sentence(planned, figures, differing))
    files = {path: Path(path).read_bytes() for path in needed}
    _check_results(files, scale, "results")
    with atomic_write(file) as temporary:
        _pack(files, scale, temporary)
    return Exported(scale, file, list(planned.figures), len(runs), Path(file).stat().st_size)


def _pack(files: Files, scale: str, file: Path) -> None:
    """Write an archive, in the same bytes for the same results and checkout."""
    manifest = Manifest(
        format="adaptive-smoothing results, version 2",
        scale=scale,
        created_by={
            "versions": {package: version(package) for package in DRAWN_WITH},
            "git_revision": environment.checkout().revision,
        },
        members={path: _sha256(data) for path, data in files.items()},
    )
    described = manifest.model_dump_json(indent=1).encode()
    with tarfile.open(file, "w:xz", format=tarfile.PAX_FORMAT) as archive:
        for path, data in {MANIFEST: described, **files}.items():
            entry = tarfile.TarInfo(path)  # its defaults are fixed: no date, no owner, plain file
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def figures_from(file: str, force: bool = False, largest: int = LARGEST) -> Imported:
    """Put an archive's files where they belong and draw its figures.

    Raises UserError, with nothing written, if the archive is damaged, foreign, reaches outside its scale's results or
    unpacks to more than `largest` bytes, and, unless `force`, if a file of the project would change.
    """
    if not Path(file).is_file():
        raise UserError(f"{file}: does not exist; 'smoothing export SCALE' writes such an archive")
    scale, files = _read_archive(file, largest)
    figures = {figure: path for path in sorted(files) if (figure := paths.figure_of_table(path, scale))}
    if not force and (differing := _differing(scale, files, figures)):
        raise UserError(
            f"{file}: {len(differing)} of the project's files differ from the archive's or were drawn from others, the "
            f"first is {differing[0]}; nothing was written; --force overwrites them"
        )
    for path in sorted(files, reverse=True):  # metrics in runs/ before the tables in figures/, which are made from them
        with atomic_write(path) as temporary:
            temporary.write_bytes(files[path])
    for figure, table in figures.items():
        numbers, record = (pattern.format(scale=scale, figure=figure) for pattern in (paths.NUMBERS, paths.DRAWN))
        draw.draw(table, paths.figure_files(scale, figure), numbers, record)
    drawn = [path for figure in figures for path in paths.figure_files(scale, figure)]
    other = {path for table in figures.values() for path in sources.differing(restore.kept_in(table))}
    return Imported(scale, file, drawn, sorted(files), sorted(other))


def _read_archive(file: str, largest: int) -> tuple[str, Files]:
    """Return an archive's scale and files; raise UserError unless all of it is as it should be."""
    files = _unpacked(file, largest)
    try:
        content = json.loads(files.pop(MANIFEST, b""))
    except (ValueError, RecursionError):
        raise UserError(f"{file}: is no archive of this pipeline's results: {MANIFEST} is missing or damaged") from None
    manifest: Manifest = validation.validate(TypeAdapter(Manifest), content, f"{file}, {MANIFEST}")
    for path in manifest.members.keys() | files.keys():
        if path not in files or _sha256(files[path]) != manifest.members.get(path):
            raise UserError(f"{file}: {path!r} is missing, was changed, or is not listed in {MANIFEST}")
    _check_results(files, manifest.scale, file)
    return manifest.scale, files


def _unpacked(file: str, largest: int) -> Files:
    """Return what an archive holds; raise UserError unless it is a .tar.xz of plain files."""
    files: Files = {}
    try:
        with tarfile.open(file, "r:xz") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
                largest -= entry.size
                if content is None or largest < 0:
                    raise tarfile.TarError(f"{entry.name!r} is no plain file, or too large")
                files[entry.name] = content.read()
    except (tarfile.TarError, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as an archive of this pipeline's results ({error})") from error
    return files


def _check_results(files: Files, scale: str, source: str) -> None:
    """Raise UserError unless the files are tables of figures and the very metrics that these were made from."""
    accounted = set()
    for table in sorted(files):
        figure = paths.figure_of_table(table, scale)
        if figure is None:
            continue
        record = _table_record(files[table], f"{source}: {table}")
        if (record.scale, record.figure) != (scale, figure):
            raise UserError(f"{source}: {table} is not the table of {figure} at scale '{scale}'")
        registry.check("figure", record.kind, f"{source}: {table}")
        made_from = {paths.METRICS.format(scale=scale, run=run): run_source for run, run_source in record.runs.items()}
        for path, metrics in made_from.items():
            if path not in files or _sha256(files[path]) != metrics.sha256:
                raise UserError(f"{source}: {table} was not made from the {path} that is there")
        accounted |= {table, *made_from}
    if foreign := sorted(files.keys() - accounted):
        raise UserError(f"{source}: holds {foreign[0]!r}, which is no table or metrics of scale '{scale}'")


def _table_record(table: bytes, where: str) -> TableRecord:
    try:
        metadata = pq.read_schema(pa.BufferReader(table)).metadata or {}
        return TableRecord.model_validate_json(metadata.get(parquet.KEY, b""))
    except (OSError, pa.ArrowException, ValidationError):
        raise UserError(f"{where} is damaged or not a table of this pipeline") from None


def _differing(scale: str, files: Files, figures: dict[str, str]) -> list[str]:
    """Return the project's files that redrawing would replace by others, as far as can be known beforehand."""
    changed = [path for path, data in files.items() if Path(path).exists() and sha256_of(path) != _sha256(data)]
    for figure, table in figures.items():
        changed += _other_drawings(scale, figure, _sha256(files[table]))
    return changed


def _other_drawings(scale: str, figure: str, table: str) -> list[str]:
    """Return the files of a figure that are there and not known to be drawn from the table with this sha256."""
    present = [path for path in paths.figure_files(scale, figure) if Path(path).exists()]
    try:
        record = draw_record.read_record(paths.DRAWN.format(scale=scale, figure=figure))
    except UserError:
        return present
    return [path for path in present if record.table != table or sha256_of(path) != record.files.get(path)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["export"]
    now = {"export": "export", "figures-from": "import"}.get(command)
    former_names.renamed(now or "export", rest if now and rest else ["--help"])
