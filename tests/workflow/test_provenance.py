"""From a PDF back to every run, with every hash checked; and the figures again from an archive of the results."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.pipeline.commands import cli

FIGURES = [f"fig{number}" for number in range(2, 11)]
PDF = "paper_figures/tiny/fig7.pdf"
TABLE = "results/tiny/figures/fig7.parquet"
RECORD = "results/tiny/figures/fig7.drawn.json"
RUN = "digits-small_cnn/kappa0.1/ivon/seed0"
METRICS = f"results/tiny/runs/{RUN}/metrics.parquet"


def detected(project, *sentences: str, figure: str = PDF, status: int = 1) -> None:
    """Check that tracing ends with one sentence that says all this."""
    done = project.smoothing("provenance", figure)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    for sentence in sentences:
        assert sentence in done.stderr


def raise_accuracy(path: Path) -> None:
    """Better a table's test accuracies by hand; all else, its record included, stays."""
    table, metadata = parquet.read(path)
    column = table.column_names.index("test_accuracy")
    better = pa.array([0.99] * table.num_rows, pa.float64())
    parquet.write(path, table.set_column(column, "test_accuracy", better), metadata)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("suffix", ["pdf", "png"])
def test_every_figure_traces_back(finished, figure, suffix, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder)
    assert cli.main(["provenance", f"paper_figures/tiny/{figure}.{suffix}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    _, description = parquet.read(f"results/tiny/figures/{figure}.parquet")
    count = len(description["runs"])
    assert lines[-1] == f"every hash matches: figure, table and the metrics of {count} of {count} runs"
    intact = {line.split()[0] for line in lines if line.endswith("metrics.parquet is as the table says")}
    assert intact == set(description["runs"])
    assert not any("unknown" in line for line in lines if line.startswith("  digit"))
    assert cli.main(["provenance", "tiny", f"{figure}.{suffix}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["figure"]["file"] == lines[0] and document["table"]["sha256"] in lines[2]
    seconds = {f"{run['run']} {run['device']} {run['seconds']:.1f}" for run in document["runs"] if run["metrics_here"]}
    assert seconds == {
        " ".join(line.split()[:3]) for line in lines if line.endswith("metrics.parquet is as the table says")
    }


def test_measured_label_noise_that_was_changed_is_detected(edited):
    path = next((edited.folder / "results/tiny/runs").rglob("ivon/**/label_noise-samples2.parquet"))
    path.write_bytes(path.read_bytes() + b" ")
    detected(edited, path.name, "was changed", "fig4.parquet names", figure="paper_figures/tiny/fig4.pdf")


def test_the_chain_says_what_made_each_run(finished):
    done = finished.smoothing("provenance", str(finished.folder / PDF), "--all")
    assert done.returncode == 0, done.stderr
    frame, metadata = parquet.read_frame(finished.folder / METRICS)
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"  {RUN} "))
    assert line.split()[1:4] == [frame["device"].iloc[0], f"{frame['seconds'].iloc[0]:.1f}", "s"]
    assert f"torch {metadata['versions']['torch']}" in done.stdout
    assert f"git revision {metadata['git_revision'] or 'unknown'}" in done.stdout
    for module, digest in metadata["code"].items():
        assert f'"{module}": "{digest}"' in done.stdout
    assert f'"hess_init": {metadata["specification"]["hyperparameters"]["hess_init"]}' in done.stdout
    plain = finished.smoothing("provenance", PDF).stdout
    assert "hess_init" not in plain and len(plain.splitlines()) < 30


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_an_edited_figure_is_detected(edited, suffix):
    path = (edited.folder / PDF).with_suffix(suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    relative = path.relative_to(edited.folder)
    detected(edited, f"error: {relative}: was changed", f"which {RECORD} records", figure=str(relative))
    detected(edited, f"error: {relative}: was changed")  # the one beside it tells, too


def test_an_edited_table_is_detected(edited):
    raise_accuracy(edited.folder / TABLE)
    detected(edited, f"error: {TABLE}: was changed", f"which {PDF} names")


def test_an_edited_table_is_detected_after_its_record_was_edited(edited):
    """Both hashes of the record fit the forged table and the honest PDF, but the PDF names another table."""
    before = sha256_of(edited.folder / TABLE)
    raise_accuracy(edited.folder / TABLE)
    edited.edit(RECORD, before, sha256_of(edited.folder / TABLE))
    detected(edited, f"error: {RECORD}: says the table's sha256 was", f"{PDF} says {before}")


@pytest.mark.parametrize("figure", ["fig7", "fig4"])  # fig4's table is not one of metrics
def test_edited_metrics_are_detected(edited, figure):
    _, description = parquet.read(edited.folder / f"results/tiny/figures/{figure}.parquet")
    metrics = f"results/tiny/runs/{next(iter(description['runs']))}/metrics.parquet"
    raise_accuracy(edited.folder / metrics)
    pdf = f"paper_figures/tiny/{figure}.pdf"
    detected(edited, f"error: {metrics}: was changed", f"results/tiny/figures/{figure}.parquet names", figure=pdf)


def test_absent_metrics_are_reported(edited):
    (edited.folder / METRICS).unlink()
    done = edited.smoothing("provenance", PDF)
    assert done.returncode == 0, done.stderr
    assert "those of the others are not here" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"  {RUN} "))
    assert line.endswith("metrics.parquet is not here")
    assert line.split()[1] != "device"  # the table says it


@pytest.mark.parametrize("file", [PDF, TABLE, RECORD])
def test_an_absent_file_is_named(edited, file):
    (edited.folder / file).unlink()
    detected(edited, f"error: {file}: does not exist")


def test_a_damaged_record_and_other_files_are_named(edited):
    (edited.folder / RECORD).write_text('{"table": 1}')
    detected(edited, f"error: {RECORD}: is not the record of a drawn figure")
    detected(edited, "unknown scale 'Snakefile'", figure="Snakefile", status=2)
    detected(edited, "unknown scale '/tmp/fig7.pdf'", figure="/tmp/fig7.pdf", status=2)


def test_the_archive_gives_the_same_figures_in_an_empty_copy(finished, tmp_path, monkeypatch):
    empty = type(finished)(tmp_path / "empty")
    empty.folder.mkdir()
    for part in ("workflow", "config", "Snakefile"):
        (empty.folder / part).symlink_to(finished.folder / part)
    file = str(tmp_path / "tiny.tar.xz")
    done = finished.smoothing("export", "tiny", file)
    assert done.returncode == 0, done.stderr
    done = empty.smoothing("import", file)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(empty.folder)
    for figure in FIGURES:
        for path in (f"paper_figures/tiny/{figure}.pdf", f"results/tiny/figures/{figure}.drawn.json"):
            assert (empty.folder / path).read_bytes() == (finished.folder / path).read_bytes(), path
        assert cli.main(["provenance", f"paper_figures/tiny/{figure}.pdf"]) == 0
