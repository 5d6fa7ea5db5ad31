"""A scale's results in one file: the same bytes every time, read back whole or refused with nothing written."""

import hashlib
import io
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import synthetic
from json_fields import undocumented

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw, draw_record
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import archive, cli

SCALE = "synthetic"  # plans are kept by name for a whole process: no other test may use it
FIG9 = f"results/{SCALE}/figures/fig9.parquet"
TABLES = [f"results/{SCALE}/figures/fig2.parquet", FIG9]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return a project whose synthetic scale was made, with its archive a.tar.xz; tests must leave it so."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("Snakefile").touch()
        synthetic.write_scale(SCALE, synthetic.content())
        synthetic.write_results(plan.load(SCALE))
        archive.export(SCALE, "a.tar.xz")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """Return the archive's path; the working directory is a project with its config alone."""
    project = tmp_path / "project"
    shutil.copytree(made / "config", project / "config")
    (project / "Snakefile").touch()
    monkeypatch.chdir(project)
    return Path(shutil.copy(made / "a.tar.xz", tmp_path))


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *arguments: str, sentence: str) -> None:
    """Check that a call fails with one sentence and writes nothing, neither here nor beside here."""
    before = all_files(Path("..").resolve())
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert sentence in error
    assert all_files(Path("..").resolve()) == before


def unpacked(file: Path) -> archive.Files:
    with tarfile.open(file, "r:xz") as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def plain(members: archive.Files) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(tarfile.TarInfo(name), data) for name, data in members.items()]


def pack(file: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(file, "w:xz") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def replace(file: Path, changed: archive.Files) -> None:
    """Replace or add members of an archive; its manifest lists what they are then."""
    members = unpacked(file) | changed
    manifest = json.loads(members.pop(archive.MANIFEST))
    manifest["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    pack(file, plain({archive.MANIFEST: json.dumps(manifest).encode(), **members}))


def test_the_archive_has_the_same_bytes_every_time(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")  # files of another date
    monkeypatch.chdir(tmp_path / "copy")
    sentence = archive.export(SCALE, "b.tar.xz").text()
    assert Path("b.tar.xz").read_bytes() == Path("a.tar.xz").read_bytes()
    assert sentence.startswith("b.tar.xz: 2 figure tables and the metrics of 3 runs, 0.")


def test_the_default_name_and_missing_files(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert cli.main(["export", SCALE]) == 0
    assert Path(f"{SCALE}-results.tar.xz").is_file()
    for file in TABLES:
        Path(file).unlink()
    refused(capsys, "export", SCALE, "c.tar.xz", sentence=f"2 of 5 files are missing, the first is {TABLES[0]}; make")


def test_metrics_that_the_table_was_not_made_from_are_not_exported(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    synthetic.write_metrics(SCALE, next(iter(plan.load(SCALE).runs.values())), 7)
    refused(
        capsys,
        "export",
        SCALE,
        "c.tar.xz",
        sentence=f"{FIG9} is not what config/{SCALE}.yaml asks for: it was not made from the ",
    )


def test_figures_come_from_the_archive_alone_without_torch(project, made):
    absent = ["torch", "torchvision", "ivon", "sklearn", "snakemake", "submitit"]
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from adaptive_smoothing.pipeline.commands import cli
sys.exit(cli.main(["import", {str(project)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"paper_figures/{SCALE}/*.pdf and .png" in done.stdout
    ours, theirs = all_files(Path()), all_files(made)
    results = {file for file in theirs if file.startswith("results/")}
    figures = {f"{paths.figure_base(SCALE, name)}.{suffix}" for name in ("fig2", "fig9") for suffix in ("pdf", "png")}
    patterns = (paths.NUMBERS, paths.DRAWN)
    drawn_files = {pattern.format(scale=SCALE, figure=name) for pattern in patterns for name in ("fig2", "fig9")}
    assert set(ours) == results | figures | drawn_files | {f"config/{SCALE}.yaml", "Snakefile"}
    assert all(ours[file] == theirs[file] for file in results)
    for figure in figures:
        assert draw_record.table_named_in(figure) == sha256_of(f"results/{SCALE}/figures/{Path(figure).stem}.parquet")


def document_of(capsys, *arguments: str) -> dict[str, Any]:
    """Return what a command prints with --json: one document, whose fields are documented."""
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert undocumented(document, arguments[0]) == set()
    return document


def test_an_export_as_json(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(made)
    file = str(tmp_path / "b.tar.xz")
    exported = document_of(capsys, "export", SCALE, file)
    assert exported == {
        "scale": SCALE,
        "archive": file,
        "figures": ["fig2", "fig9"],
        "runs": 3,
        "bytes": Path(file).stat().st_size,
    }


def test_an_import_and_a_trace_as_json(project, capsys):
    imported = document_of(capsys, "import", str(project))
    assert set(TABLES) < set(imported["results"]) == {file for file in all_files(Path()) if file.endswith(".parquet")}
    figures = {f"{paths.figure_base(SCALE, name)}.{suffix}" for name in ("fig2", "fig9") for suffix in ("pdf", "png")}
    assert set(imported["figures"]) == figures
    trace = document_of(capsys, "provenance", SCALE, "fig9", "--all")
    assert trace["table"] == {"file": FIG9, "sha256": sha256_of(FIG9), "rows": 6}
    assert {run["seconds"] for run in trace["runs"]} == {1.0, 2.0, 3.0}
    assert all(run["metrics_here"] and run["specification"] for run in trace["runs"])


def test_a_second_time_the_same_comes_out(project):
    archive.figures_from(str(project))
    before = all_files(Path())
    archive.figures_from(str(project))
    assert all_files(Path()) == before


@pytest.mark.parametrize("file", [FIG9, f"paper_figures/{SCALE}/fig9.pdf", f"paper_figures/{SCALE}/fig2.png"])
def test_a_differing_file_is_overwritten_only_by_force(project, file, capsys):
    Path(file).parent.mkdir(parents=True)
    Path(file).write_bytes(b"mine")
    refused(
        capsys,
        *("import", str(project)),
        sentence=f"1 of the project's files differ from the archive's or were drawn from others, the first is {file};",
    )
    assert cli.main(["import", "--force", str(project)]) == 0
    assert Path(file).read_bytes() != b"mine"


def test_an_edited_drawing_is_overwritten_only_by_force(project, capsys):
    archive.figures_from(str(project))
    pdf = Path(f"paper_figures/{SCALE}/fig9.pdf")
    pdf.write_bytes(pdf.read_bytes() + b"%mine\n")
    refused(capsys, "import", str(project), sentence=f"the first is {pdf};")


def test_elsewhere_than_in_a_project_nothing_is_written(project, capsys):
    shutil.rmtree("config")
    refused(capsys, "import", str(project), sentence="has no config; call smoothing in the project's folder")


@pytest.mark.parametrize(
    ("name", "data"), [(FIG9, b"other"), (FIG9, None), (f"results/{SCALE}/runs/a/metrics.parquet", b"not listed")]
)
def test_members_that_are_not_those_of_the_manifest_are_refused(project, name, data, capsys):
    members = {**unpacked(project), name: data}
    pack(project, [(tarfile.TarInfo(name), data) for name, data in members.items() if data is not None])
    refused(capsys, "import", str(project), sentence=f"'{name}' is missing, was changed, or is not listed in MAN")


@pytest.mark.parametrize(
    "name",
    [
        "../outside.parquet",
        "/tmp/adaptive_smoothing_outside.parquet",
        f"results/{SCALE}/figures/../../../../outside.parquet",
        f"results/{SCALE}/runs/../../../../outside/metrics.parquet",
        f"results/{SCALE}/runs/a/metrics.parquet",
        f"./{FIG9}",
        f"results/{SCALE}/figures/fig9.9.parquet",
        "results/other/figures/fig2.parquet",
        "workflow/adaptive_smoothing/pipeline/commands/archive.py",
    ],
)
def test_a_member_that_belongs_elsewhere_is_refused(project, name, capsys):
    replace(project, {name: b"x"})
    refused(capsys, "import", str(project), sentence=f"holds {name!r}, which is no table or metrics of scale")
    assert not Path("/tmp/adaptive_smoothing_outside.parquet").exists()


@pytest.mark.parametrize("run", ["../../../../outside", "a/../../b", "a//b", ".", "a\\..\\b", "/a"])
def test_a_table_that_names_a_run_elsewhere_is_refused(project, run, capsys):
    table, description = archive_table(project)
    file = project.parent / "fig2.parquet"
    parquet.write(file, table, {**description, "runs": {run: {"sha256": hashlib.sha256(b"x").hexdigest()}}})
    replace(project, {TABLES[0]: file.read_bytes(), f"results/{SCALE}/runs/{run}/metrics.parquet": b"x"})
    refused(capsys, "import", str(project), sentence=f"{TABLES[0]} is damaged or not a table of this pipeline")


def test_a_table_of_an_unknown_kind_is_refused(project, capsys):
    table, description = archive_table(project)
    file = project.parent / "fig2.parquet"
    parquet.write(file, table, {**description, "kind": "_style"})
    replace(project, {TABLES[0]: file.read_bytes()})
    refused(capsys, "import", str(project), sentence=f"{TABLES[0]}: unknown figure '_style'")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_folders_and_devices_are_refused(project, kind, capsys):
    entry = tarfile.TarInfo(f"results/{SCALE}/runs/a/metrics.parquet")
    entry.type, entry.linkname = kind, FIG9
    pack(project, [*plain(unpacked(project)), (entry, b"")])
    refused(capsys, "import", str(project), sentence=f"('{entry.name}' is no plain file, or too large)")


def test_an_archive_that_unpacks_to_too_much_is_refused(project):
    with pytest.raises(UserError, match="or too large"):
        archive.figures_from(str(project), largest=1000)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"format": "other"}, "MANIFEST.json, format: unknown value 'other'"),
        ({"scale": "../synthetic"}, 'MANIFEST.json, scale: "../synthetic" is not allowed'),
        ({"scale": ".."}, 'MANIFEST.json, scale: ".." is not allowed'),
        ({"scale": "small"}, "which is no table or metrics of scale 'small'"),
        ({"members": [FIG9]}, "MANIFEST.json, members: "),
        ({"more": 1}, "MANIFEST.json: unknown key 'more'"),
    ],
)
def test_another_manifest_is_refused(project, changed, sentence, capsys):
    members = unpacked(project)
    members[archive.MANIFEST] = json.dumps({**json.loads(members[archive.MANIFEST]), **changed}).encode()
    pack(project, plain(members))
    refused(capsys, "import", str(project), sentence=sentence)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: b"",
        lambda content: content[:-100],
        lambda content: content[: len(content) // 2],
        flipped,
        lambda content: b"PK\x03\x04 a zip, perhaps",
        lambda content: lzma.compress(b"no tar"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(project, damaged, capsys):
    project.write_bytes(damaged(project.read_bytes()))
    refused(capsys, "import", str(project), sentence="cannot be read as an archive of this pipeline's results")


@pytest.mark.parametrize("members", [{"README.md": b"hello"}, {archive.MANIFEST: b"["}])
def test_an_archive_without_a_manifest_is_refused(project, members, capsys):
    pack(project, plain(members))
    refused(capsys, "import", str(project), sentence="is no archive of this pipeline's results: MANIFEST.json is")


def test_a_listed_file_that_is_no_table_is_refused(project, capsys):
    """The hashes are right, but what the table says of itself is not."""
    members = unpacked(project)
    metrics = next(name for name in members if name.endswith("metrics.parquet"))
    for name, data, sentence in (
        (metrics, b"x", f"{FIG9} was not made from the {metrics} that is there"),
        (FIG9, members[TABLES[0]], f"{FIG9} is not the table of fig9 at scale '{SCALE}'"),
        (FIG9, b"no Parquet", f"{FIG9} is damaged or not a table of this pipeline"),
    ):
        replace(project, {name: data})
        refused(capsys, "import", str(project), sentence=sentence)


def test_a_pdf_names_its_table_in_plain_sight(project):
    """Any reader of PDF metadata shows it; two hashes, or none, are refused."""
    archive.figures_from(str(project))
    pdf = Path(f"paper_figures/{SCALE}/fig9.pdf")
    named = sha256_of(FIG9)
    assert draw_record.table_named_in(pdf) == named == draw_record.table_named_in(pdf.with_suffix(".png"))
    content = pdf.read_bytes()
    assert content.count(f"/Keywords (table sha256:{named})".encode()) == 1
    other = f"/Keywords (table sha256:{'0' * 64})".encode()
    for changed in (content + other, content.replace(b"/Keywords", b"/Keyw0rds")):
        pdf.write_bytes(changed)
        with pytest.raises(UserError, match="does not name the hash of one table"):
            draw_record.table_named_in(pdf)


def test_a_title_cannot_pose_as_the_hash(project, tmp_path):
    table, description = archive_table(project)
    description["title"] = f"/Keywords (table sha256:{'0' * 64})"
    file = str(tmp_path / "fig2.parquet")
    parquet.write(file, table, description)
    pdf = str(tmp_path / "fig2.pdf")
    draw.draw(file, [pdf], str(tmp_path / "fig2.csv"), str(tmp_path / "fig2.drawn.json"))
    assert draw_record.table_named_in(pdf) == sha256_of(file)
    assert draw_record.read_record(tmp_path / "fig2.drawn.json").files == {pdf: sha256_of(pdf)}


def archive_table(file: Path):
    Path("fig2.parquet").write_bytes(unpacked(file)[TABLES[0]])
    return parquet.read("fig2.parquet")
