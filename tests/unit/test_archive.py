"""A scale's results in one file: the same bytes every time, read back whole or refused with nothing written."""

import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.pipeline import plan, yaml_files
from adaptive_smoothing.pipeline.commands import archive
from adaptive_smoothing.results import collect
from adaptive_smoothing.training import job, metrics

ROOT = Path(__file__).parents[2]
SCALE = "synthetic"  # plans are kept by name for a whole process: no other test may use it
FIG9 = f"results/{SCALE}/figures/fig9.parquet"
TABLES = [f"results/{SCALE}/figures/fig2.parquet", FIG9]


def make_results() -> None:
    """Write the scale and, in place of training, made-up metrics, here; then the tables of its figures."""
    content = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    content["seeds"] = [0]
    content["figures"] = {name: content["figures"][name] for name in ("fig2", "fig9")}
    content["figures"]["fig9"]["runs"][0]["methods"] = {"ivon": {}, "ls": {"alpha": [0, 0.3]}}
    Path("config").mkdir()
    Path(f"config/{SCALE}.yaml").write_text(yaml.safe_dump(content))
    for figure in plan.load(SCALE).figures.values():
        files = [write_metrics(run, number) for number, run in enumerate(figure.runs)]
        table = paths.TABLE.format(scale=SCALE, figure=figure.name)
        names = [run.name for run in figure.runs]
        collect.collect(figure.description, names, files, [], [""] * len(names), table, figure.code, strict=False)


def write_metrics(run: plan.Run, number: int) -> str:
    file = paths.METRICS.format(scale=SCALE, run=run.name)
    numbers = [name for name, kind in metrics.EPOCH_COLUMNS.items() if kind == pa.float64()]
    fixed = {**dict.fromkeys(numbers, 0.5), "diverged": False}
    fixed |= {"seconds": 1.0 + number, "device": "cpu", "threads": 1}
    rows = [{**fixed, "epoch": epoch, "test_accuracy": 0.1 * (number + 1)} for epoch in (1, 2)]
    described = job.describe(run.specification, run.name, SCALE)
    table = metrics.metrics_table(described, run.specification["hyperparameters"], rows)
    made = {"specification": run.specification, "code": run.code, **environment.snapshot()}
    parquet.write(file, table, made)
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return a project whose synthetic scale was made, with its archive a.tar.xz; tests must leave it so."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_results()
        archive.export(SCALE, "a.tar.xz")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """Return the archive's path; the working directory is a project with its config alone."""
    project = tmp_path / "project"
    shutil.copytree(made / "config", project / "config")
    monkeypatch.chdir(project)
    return Path(shutil.copy(made / "a.tar.xz", tmp_path))


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *arguments: str, sentence: str) -> None:
    """Check that a call fails with one sentence and writes nothing, neither here nor beside here."""
    before = all_files(Path("..").resolve())
    assert archive.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert sentence in error
    assert all_files(Path("..").resolve()) == before


def unpacked(file: Path) -> archive.Files:
    return archive._untarred(archive._unpacked(str(file)), str(file))


def pack(file: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    file.write_bytes(lzma.compress(buffer.getvalue()))


def repack(file: Path, *, added=(), listed=False, **changed) -> None:
    """Rewrite an archive with entries `added` and the manifest's fields `changed`; `listed`, whether it lists them."""
    members = unpacked(file)
    manifest = json.loads(members.pop(archive.MANIFEST))
    if listed:
        for entry, data in added:
            manifest["members"][entry.name] = {"sha256": archive._sha256(data), "bytes": len(data)}
    described = json.dumps({**manifest, **changed}).encode()
    plain = [(tarfile.TarInfo(name), data) for name, data in {archive.MANIFEST: described, **members}.items()]
    pack(file, [*plain, *added])


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def test_the_archive_has_the_same_bytes_every_time(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")  # files of another date
    monkeypatch.chdir(tmp_path / "copy")
    told = archive.export(SCALE, "b.tar.xz")
    assert Path("b.tar.xz").read_bytes() == Path("a.tar.xz").read_bytes()
    assert told.startswith("b.tar.xz: 2 figure tables and the metrics of 3 runs, 0.")


def test_the_default_name_and_missing_files(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert archive.main(["export", SCALE]) == 0
    assert Path(f"{SCALE}-results.tar.xz").is_file()
    for file in TABLES:
        Path(file).unlink()
    refused(capsys, "export", SCALE, "c.tar.xz", sentence=f"2 of 5 files are missing, the first is {TABLES[0]}; make")


def test_metrics_that_the_table_was_not_made_from_are_not_exported(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    write_metrics(next(iter(plan.load(SCALE).runs.values())), 7)
    refused(capsys, "export", SCALE, "c.tar.xz", sentence=f"{FIG9} was not made from the metrics of")


def test_figures_come_from_the_archive_alone_without_torch(project, made):
    absent = ["torch", "torchvision", "ivon", "sklearn", "snakemake", "submitit"]
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from adaptive_smoothing import archive
sys.exit(archive.main(["figures-from", {str(project)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"paper_figures/{SCALE}/*.pdf and .png" in done.stdout
    ours, theirs = all_files(Path()), all_files(made)
    results = {file for file in theirs if file.startswith("results/")}
    figures = {f"{paths.figure_base(SCALE, name)}.{suffix}" for name in ("fig2", "fig9") for suffix in ("pdf", "png")}
    record_files = {paths.DRAWN.format(scale=SCALE, figure=name) for name in ("fig2", "fig9")}
    assert set(ours) == results | figures | record_files | {f"config/{SCALE}.yaml"}
    assert all(ours[file] == theirs[file] for file in results)
    for figure in figures:
        assert draw_record.table_named_in(figure) == draw_record.sha256(
            f"results/{SCALE}/figures/{Path(figure).stem}.parquet"
        )


def test_a_second_time_the_same_comes_out(project):
    archive.figures_from(str(project), force=False)
    before = all_files(Path())
    archive.figures_from(str(project), force=False)
    assert all_files(Path()) == before


@pytest.mark.parametrize("file", [FIG9, f"paper_figures/{SCALE}/fig9.pdf", f"paper_figures/{SCALE}/fig2.png"])
def test_a_differing_file_is_overwritten_only_by_force(project, file, capsys):
    Path(file).parent.mkdir(parents=True)
    Path(file).write_bytes(b"mine")
    refused(
        capsys,
        *("figures-from", str(project)),
        sentence=f"1 of the project's files differ from the archive's or were drawn from others, the first is {file};",
    )
    assert archive.main(["figures-from", "--force", str(project)]) == 0
    assert Path(file).read_bytes() != b"mine"


def test_an_edited_drawing_is_overwritten_only_by_force(project, capsys):
    archive.figures_from(str(project), force=False)
    pdf = Path(f"paper_figures/{SCALE}/fig9.pdf")
    pdf.write_bytes(pdf.read_bytes() + b"%mine\n")
    refused(capsys, "figures-from", str(project), sentence=f"the first is {pdf};")


def test_elsewhere_than_in_a_project_nothing_is_written(project, capsys):
    shutil.rmtree("config")
    refused(capsys, "figures-from", str(project), sentence="there is no folder 'config' here")


def test_a_member_with_another_content_is_refused(project, capsys):
    members = unpacked(project)
    pack(project, [(tarfile.TarInfo(name), data) for name, data in (members | {FIG9: b"other"}).items()])
    refused(capsys, "figures-from", str(project), sentence=f"'{FIG9}' is not what the manifest lists")


def test_a_missing_member_is_refused(project, capsys):
    members = unpacked(project)
    pack(project, [(tarfile.TarInfo(name), data) for name, data in members.items() if name != FIG9])
    refused(capsys, "figures-from", str(project), sentence=f"lacks '{FIG9}', which its manifest lists")


@pytest.mark.parametrize(
    "name",
    [
        "../outside.parquet",
        "/tmp/adaptive_smoothing_outside.parquet",
        f"results/{SCALE}/figures/../../../../outside.parquet",
        f"results/{SCALE}/runs/../../../../outside/metrics.parquet",
        f"results/{SCALE}/runs/../metrics.parquet",
        f"results/{SCALE}/runs//metrics.parquet",
        f"results/{SCALE}/runs/metrics.parquet",
        f"results/{SCALE}/runs/a\\..\\b/metrics.parquet",
        f"results/{SCALE}/runs/a/./metrics.parquet",
        f"./{FIG9}",
        f"results/{SCALE}/figures/fig99.parquet",
        f"results/{SCALE}/figures/_style.parquet",
        f"results/{SCALE}/runs/a/posterior.pt",
        "results/other/figures/fig2.parquet",
        "workflow/adaptive_smoothing/pipeline/commands/archive.py",
    ],
)
def test_a_member_that_belongs_elsewhere_is_refused(project, name, capsys):
    entry = (tarfile.TarInfo(name), b"x")
    repack(project, added=[entry], listed=True)
    refused(capsys, "figures-from", str(project), sentence=f"holds {name!r}, which is no table or metrics of scale")
    assert not Path("/tmp/adaptive_smoothing_outside.parquet").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_folders_and_devices_are_refused(project, kind, capsys):
    name = f"results/{SCALE}/runs/a/metrics.parquet"
    repack(project, added=[link(name, FIG9, kind)], listed=True)
    refused(capsys, "figures-from", str(project), sentence=f"holds '{name}', which is a link, folder or device")


def test_unlisted_and_repeated_members_are_refused(project, capsys):
    name = f"results/{SCALE}/runs/a/metrics.parquet"
    repack(project, added=[(tarfile.TarInfo(name), b"x")])
    refused(capsys, "figures-from", str(project), sentence=f"holds '{name}', which its manifest does not list")
    pack(project, [(tarfile.TarInfo(FIG9), b"x"), (tarfile.TarInfo(FIG9), b"x")])
    refused(capsys, "figures-from", str(project), sentence=f"holds '{FIG9}' twice")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"format": "other"}, "is no archive of this pipeline's results"),
        ({"version": 2}, "has format version 2, but only 1 can be read here"),
        ({"scale": "../synthetic"}, "MANIFEST.json is damaged: scale: "),
        ({"scale": ".."}, "MANIFEST.json is damaged: scale: "),
        ({"scale": "small"}, "which is no table or metrics of scale 'small'"),
        ({"members": [FIG9]}, "MANIFEST.json is damaged: members: "),
        ({"more": 1}, "MANIFEST.json is damaged: more: "),
    ],
)
def test_another_manifest_is_refused(project, changed, sentence, capsys):
    repack(project, **changed)
    refused(capsys, "figures-from", str(project), sentence=sentence)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_archive_is_refused(project, share, capsys):
    whole = project.read_bytes()
    project.write_bytes(whole[: int(share * len(whole))])
    refused(capsys, "figures-from", str(project), sentence="is truncated")


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_is_refused(project, place, capsys):
    content = bytearray(project.read_bytes())
    content[int(place * len(content))] ^= 1
    project.write_bytes(content)
    refused(capsys, "figures-from", str(project), sentence="is damaged or no .tar.xz")


def test_a_tar_cut_before_it_was_compressed_is_refused(project, capsys):
    tar = lzma.decompress(project.read_bytes())
    project.write_bytes(lzma.compress(tar[: tar.rindex(b"PAR1")]))  # inside the last file, not between two
    refused(capsys, "figures-from", str(project), sentence="the tar in it is damaged")


def test_foreign_files_are_refused(project, capsys, monkeypatch):
    refused(capsys, "figures-from", "absent.tar.xz", sentence="absent.tar.xz: cannot be read (No such file")
    whole = project.read_bytes()
    project.write_bytes(whole + b"more")
    refused(capsys, "figures-from", str(project), sentence="is followed by other data")
    project.write_bytes(b"PK\x03\x04 a zip, perhaps")
    refused(capsys, "figures-from", str(project), sentence="is damaged or no .tar.xz")
    project.write_bytes(lzma.compress(b"no tar"))
    refused(capsys, "figures-from", str(project), sentence="the tar in it is damaged")
    pack(project, [(tarfile.TarInfo("README.md"), b"hello")])
    refused(capsys, "figures-from", str(project), sentence="is no archive of this pipeline's results")
    pack(project, [(tarfile.TarInfo(archive.MANIFEST), b"[")])
    refused(capsys, "figures-from", str(project), sentence="is no archive of this pipeline's results")
    project.write_bytes(whole)
    monkeypatch.setattr(archive, "LARGEST", 1000)
    refused(capsys, "figures-from", str(project), sentence="unpacks to more than 1000 bytes")


def test_a_listed_file_that_is_no_table_is_refused(project, capsys):
    """The hashes are right, but what the table says of itself is not."""
    members = unpacked(project)
    for name, data, sentence in (
        (FIG9, b"no Parquet", f"{FIG9} is damaged or not a table of this pipeline"),
        (FIG9, members[TABLES[0]], f"{FIG9} is not the table of fig9 at scale '{SCALE}'"),
        (next(name for name in members if name.endswith("metrics.parquet")), b"x", f"{FIG9} was not made from"),
    ):
        manifest = json.loads(members[archive.MANIFEST])
        manifest["members"][name] = {"sha256": archive._sha256(data), "bytes": len(data)}
        changed = members | {name: data, archive.MANIFEST: json.dumps(manifest).encode()}
        pack(project, [(tarfile.TarInfo(member), content) for member, content in changed.items()])
        refused(capsys, "figures-from", str(project), sentence=sentence)


def test_a_pdf_names_its_table_in_plain_sight(project):
    """Any reader of PDF metadata shows it; two hashes, or none, are refused."""
    archive.figures_from(str(project), force=False)
    pdf = Path(f"paper_figures/{SCALE}/fig9.pdf")
    named = draw_record.sha256(FIG9)
    assert draw_record.table_named_in(pdf) == named == draw_record.table_named_in(pdf.with_suffix(".png"))
    content = pdf.read_bytes()
    assert content.count(f"/Keywords (table sha256:{named})".encode()) == 1
    other = f"/Keywords (table sha256:{'0' * 64})".encode()
    for changed in (content + other, content.replace(b"/Keywords", b"/Keyw0rds")):
        pdf.write_bytes(changed)
        with pytest.raises(archive.UserError, match="does not name the hash of one table"):
            draw_record.table_named_in(pdf)


def test_a_title_cannot_pose_as_the_hash(project, tmp_path):
    table, description = archive_table(project)
    description["title"] = f"/Keywords (table sha256:{'0' * 64})"
    file = str(tmp_path / "fig2.parquet")
    parquet.write(file, table, description)
    pdf = str(tmp_path / "fig2.pdf")
    archive.drawing.draw(file, [pdf], str(tmp_path / "fig2.drawn.json"))
    assert draw_record.table_named_in(pdf) == draw_record.sha256(file)
    assert draw_record.read_record(tmp_path / "fig2.drawn.json").files == {pdf: draw_record.sha256(pdf)}


def archive_table(file: Path):
    Path("fig2.parquet").write_bytes(unpacked(file)[TABLES[0]])
    return parquet.read("fig2.parquet")


def test_the_command_ends_with_one_sentence(tmp_path):
    command = [sys.executable, "-m", "adaptive_smoothing.pipeline.commands.archive", "export", "nosuchscale"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
