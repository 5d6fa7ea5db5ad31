"""A scale's results in one file for a release, and its figures from such a file: without torch, without training.

    python -m adaptive_smoothing.archive export small [FILE]
    python -m adaptive_smoothing.archive figures-from small-results.tar.xz [--force]

An archive holds the tables of all figures, the metrics of all runs, and MANIFEST.json with the hash of each. It is
read whole and checked before the first file is written. Run from the project's folder.
"""

import argparse
import hashlib
import io
import json
import lzma
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import draw, draw_record
from adaptive_smoothing.pipeline import plan

FORMAT = "adaptive-smoothing results"
VERSION = 1
MANIFEST = "MANIFEST.json"
DRAWN_WITH = ("matplotlib", "numpy", "pandas", "pyarrow", "seaborn")  # what a redrawn figure's bytes depend on
LARGEST = 1 << 30  # bytes unpacked, manifest included: far above any scale, far below what fills a memory
DECODER_MEMORY = 1 << 27  # bytes; ours needs a twelfth of it
Files = dict[str, bytes]  # path in the project → content


class Member(Strict):
    """What the manifest says of one file."""

    sha256: str
    bytes: int


class Manifest(Strict):
    """What MANIFEST.json holds."""

    format: str
    version: int
    scale: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]*$")]
    created_by: dict[str, Any]
    members: dict[str, Member]


class Source(BaseModel):
    """Of what a table's metadata says of a run: the hash of its metrics."""

    sha256: str


class Table(BaseModel):
    """Of what a table's metadata says: whose it is, and the runs that it was made from."""

    scale: str
    figure: str
    runs: dict[str, Source]


@dataclass(frozen=True)
class Results:
    """A scale's tables by figure and metrics by run; `source` is named where something is wrong with them."""

    scale: str
    tables: Files
    metrics: Files
    source: str

    @cached_property
    def files(self) -> Files:
        """All files by path: metrics first, since tables are made from them."""
        metrics = {paths.METRICS.format(scale=self.scale, run=run): data for run, data in self.metrics.items()}
        return metrics | {self.table_file(figure): data for figure, data in self.tables.items()}

    @property
    def counts(self) -> str:
        """How much this is, as text."""
        return f"{len(self.tables)} figure tables and the metrics of {len(self.metrics)} runs"

    def table_file(self, figure: str) -> str:
        """Return the path of a figure's table."""
        return paths.TABLE.format(scale=self.scale, figure=figure)

    def check(self) -> None:
        """Raise UserError unless each table is that of its figure, made from these very metrics."""
        hashes = {run: _sha256(data) for run, data in self.metrics.items()}
        for figure, data in self.tables.items():
            file = self.table_file(figure)
            table = self._table(file, data)
            if (table.scale, table.figure) != (self.scale, figure):
                raise UserError(f"{self.source}: {file} is not the table of {figure} at scale '{self.scale}'")
            for run, source in table.runs.items():
                if hashes.get(run) != source.sha256:
                    raise UserError(f"{self.source}: {file} was not made from the metrics of {run} that are there")

    def _table(self, file: str, data: bytes) -> Table:
        try:
            metadata = pq.read_schema(pa.BufferReader(data)).metadata or {}
            return Table.model_validate_json(metadata.get(parquet.KEY, b""))
        except (OSError, pa.ArrowException, ValidationError):
            raise UserError(f"{self.source}: {file} is damaged or not a table of this pipeline") from None


def export(scale: str, file: str) -> str:
    """Write the archive of a scale that was made; return a sentence on what it holds."""
    planned = plan.load(scale)
    tables = {figure: paths.TABLE.format(scale=scale, figure=figure) for figure in planned.figures}
    runs = dict.fromkeys(run.name for figure in planned.figures.values() for run in figure.runs)
    metrics = {run: paths.METRICS.format(scale=scale, run=run) for run in runs}
    wanted = [*tables.values(), *metrics.values()]
    if missing := [path for path in wanted if not Path(path).is_file()]:
        raise UserError(
            f"scale '{scale}': {len(missing)} of {len(wanted)} files are missing, the first is {missing[0]}; "
            f"make them with 'snakemake {scale}'"
        )
    results = Results(
        scale,
        {figure: Path(path).read_bytes() for figure, path in tables.items()},
        {run: Path(path).read_bytes() for run, path in metrics.items()},
        source="results",
    )
    results.check()
    packed = _packed(results)
    with atomic_write(file) as temporary:
        temporary.write_bytes(packed)
    return f"{file}: {results.counts}, {len(packed) / 1e6:.2f} MB"


def figures_from(file: str, force: bool) -> str:
    """Put an archive's files where they belong and draw its figures; return a sentence on what was done.

    Raises UserError, with nothing written, for an archive that is damaged, foreign or reaches outside its scale's
    results, and, unless `force`, where a file of the project would change.
    """
    if not plan.CONFIG.is_dir():
        raise UserError(f"there is no folder '{plan.CONFIG}' here; call figures-from in the project's folder")
    results = _read(file)
    if not force and (differing := _differing(results)):
        raise UserError(
            f"{file}: {len(differing)} of the project's files differ from the archive's or were drawn from others, the "
            f"first is {differing[0]}; nothing was written; --force overwrites them"
        )
    for path, data in results.files.items():
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    for figure in results.tables:
        outputs = paths.figure_files(results.scale, figure)
        draw.draw(results.table_file(figure), outputs, paths.DRAWN.format(scale=results.scale, figure=figure))
    return f"drawn from {results.counts}: {paths.figure_base(results.scale, '*')}.pdf and .png"


def _packed(results: Results) -> bytes:
    """Return the archive's bytes, the same for the same results and checkout."""
    files = dict(sorted(results.files.items()))
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        scale=results.scale,
        created_by={
            "versions": {package: version(package) for package in DRAWN_WITH},
            "git_revision": environment.git_revision(),
        },
        members={path: Member(sha256=_sha256(data), bytes=len(data)) for path, data in files.items()},
    )
    described = json.dumps(manifest.model_dump(), indent=1, sort_keys=True).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in {MANIFEST: described, **files}.items():
            entry = tarfile.TarInfo(path)  # its defaults are fixed: no date, no owner, plain file
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return lzma.compress(buffer.getvalue())


def _read(file: str) -> Results:
    """Return an archive's results; raise UserError unless all of it is as it should be."""
    members = _untarred(_unpacked(file), file)
    manifest = _manifest(members.pop(MANIFEST, b""), file)
    _check_members(manifest, members, file)
    tables, metrics = {}, {}
    for name, data in members.items():
        if figure := paths.figure_of_table(name, manifest.scale):
            tables[figure] = data
        elif run := _run_of(name, manifest.scale):
            metrics[run] = data
        else:
            raise UserError(f"{file}: holds {name!r}, which is no table or metrics of scale '{manifest.scale}'")
    results = Results(manifest.scale, tables, metrics, file)
    results.check()
    return results


def _unpacked(file: str) -> bytes:
    """Return the tar in an archive, which is one xz stream and may not unpack to more than LARGEST."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_MEMORY)
    try:
        data = decoder.decompress(Path(file).read_bytes(), max_length=LARGEST + 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from error
    except lzma.LZMAError as error:
        raise UserError(f"{file}: is damaged or no .tar.xz ({error})") from error
    if len(data) > LARGEST:
        raise UserError(f"{file}: unpacks to more than {LARGEST} bytes, which no archive of this pipeline does")
    if not decoder.eof or decoder.unused_data:
        raise UserError(f"{file}: is {'followed by other data' if decoder.eof else 'truncated'}")
    return data


def _untarred(data: bytes, file: str) -> Files:
    """Return the members of a tar; raise UserError for one that is no plain file or comes twice."""
    members: Files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
                if content is None:
                    raise UserError(f"{file}: holds {entry.name!r}, which is a link, folder or device, no plain file")
                if entry.name in members:
                    raise UserError(f"{file}: holds {entry.name!r} twice")
                members[entry.name] = content.read()
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(f"{file}: the tar in it is damaged ({error})") from error
    return members


def _manifest(data: bytes, file: str) -> Manifest:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{file}: is no archive of this pipeline's results (it has no {MANIFEST} that says so)")
    if content.get("version") != VERSION:
        raise UserError(f"{file}: has format version {content.get('version')}, but only {VERSION} can be read here")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{file}: {MANIFEST} is damaged: {where}: {first['msg']}") from None


def _check_members(manifest: Manifest, members: Files, file: str) -> None:
    """Raise UserError unless the members are those of the manifest, byte for byte."""
    if missing := sorted(manifest.members.keys() - members.keys()):
        raise UserError(f"{file}: lacks {missing[0]!r}, which its manifest lists")
    for name, data in members.items():
        if name not in manifest.members:
            raise UserError(f"{file}: holds {name!r}, which its manifest does not list")
        listed = manifest.members[name]
        if (len(data), _sha256(data)) != (listed.bytes, listed.sha256):
            raise UserError(f"{file}: {name!r} is not what the manifest lists: size or sha256 differ")


def _run_of(name: str, scale: str) -> str | None:
    """Return the run whose metrics a member's name says it is; the name must stay inside the scale's runs."""
    before, after = paths.METRICS.format(scale=scale, run="\n").split("\n")
    run = name.removeprefix(before).removesuffix(after)
    inside = all(part not in ("", ".", "..") for part in run.split("/")) and run.isprintable() and "\\" not in run
    return run if inside and name == f"{before}{run}{after}" else None


def _differing(results: Results) -> list[str]:
    """Return the project's files that redrawing would replace by others, as far as can be told beforehand."""
    changed = [
        path
        for path, data in results.files.items()
        if Path(path).exists() and draw_record.sha256(path) != _sha256(data)
    ]
    return changed + [
        path for figure, data in results.tables.items() for path in _other_drawings(results.scale, figure, data)
    ]


def _other_drawings(scale: str, figure: str, table: bytes) -> list[str]:
    """Return the files of a figure that are there and not known to be drawn from this table."""
    present = [path for path in paths.figure_files(scale, figure) if Path(path).exists()]
    try:
        record = draw_record.read_record(paths.DRAWN.format(scale=scale, figure=figure))
    except UserError:
        return present
    same = record.table == _sha256(table)
    return [path for path in present if not same or draw_record.sha256(path) != record.files.get(path)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Export or draw as told; return 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m adaptive_smoothing.archive", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export", help="write a scale's tables and metrics into one file")
    exporting.add_argument("scale")
    exporting.add_argument("file", nargs="?", help="default: SCALE-results.tar.xz")
    drawing_again = commands.add_parser("figures-from", help="draw the figures of such a file")
    drawing_again.add_argument("file")
    drawing_again.add_argument("--force", action="store_true", help="overwrite files of the project that differ")
    options = parser.parse_args(arguments)
    try:
        if options.command == "export":
            print(export(options.scale, options.file or f"{options.scale}-results.tar.xz"))
        else:
            print(figures_from(options.file, options.force))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
