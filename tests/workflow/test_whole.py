"""All nine figures from nothing by the real Snakemake, and what runs again afterwards."""

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from adaptive_smoothing.core import parquet
from adaptive_smoothing.training.metrics import NOT_REPRODUCED

FIGURES = [f"fig{number}" for number in range(2, 11)]
TOLD = {"notes": 1, "judge_claims": 1, "index": 1}  # what is said anew of a scale whenever one of its tables changes


def metrics(folder: Path) -> dict[str, pd.DataFrame]:
    """Return every run's metrics without the columns that say how the run went."""
    runs = folder / "results/tiny/runs"
    return {
        str(path.relative_to(runs)): parquet.read_frame(path)[0].drop(columns=list(NOT_REPRODUCED))
        for path in runs.rglob("metrics.parquet")
    }


def test_all_nine_figures_come_out(finished):
    for figure in FIGURES:
        pdf = finished.folder / f"paper_figures/tiny/{figure}.pdf"
        assert pdf.read_bytes().startswith(b"%PDF")
        assert pdf.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        table, description = parquet.read(finished.folder / f"results/tiny/figures/{figure}.parquet")
        assert table.num_rows > 0
        assert description["figure"] == figure


def test_the_papers_claims_are_judged_at_every_scale(finished):
    rows, metadata = parquet.read_frame(finished.folder / "results/tiny/claims.parquet")
    assert set(metadata["tables"]) == {f"results/tiny/figures/{figure}.parquet" for figure in FIGURES}
    whole = rows[(rows["scenario"] == "all") & (rows["reading"] == "as the paper")]
    assert whole.set_index("claim")["verdict"]["C2"] == "reproduced"
    seeds = rows[(rows["claim"] == "C5a") & (rows["scenario"] == "symmetric 20 %, against LS")]
    assert set(seeds["seeds"]) == {0, 1} and not seeds["verdict"].isin(["reproduced", "not reproduced"]).any()
    page = (finished.folder / "results/tiny/claims.md").read_text()
    assert "tiny scale" in page and "one seed: no interval" in page
    assert "Nothing to be done" in finished.made("claims", "--cores", "1", "--config", "scale=tiny")


def test_extras_come_from_the_same_runs(edited):
    only = ("--config", "scale=tiny")
    assert "Nothing to be done" in edited.made("extras", "--cores", "1", *only)  # the report shows them
    for made in [*edited.folder.glob("paper_figures/tiny/extra_*"), *edited.folder.rglob("figures/extra_*.parquet")]:
        made.unlink()
    assert edited.would_run("extras", *only) == {"collect": 4, "draw": 4, "extras": 1}
    edited.made("extras", "--cores", "2", *only)
    for name in ("extra_calibration", "extra_cost", "extra_memorisation", "extra_moons"):
        assert (edited.folder / f"paper_figures/tiny/{name}.pdf").read_bytes().startswith(b"%PDF")
    frame, _ = parquet.read_frame(edited.folder / "results/tiny/figures/extra_cost.parquet")
    assert frame["train_memorised"].between(0, 1).all()
    assert sum(frame["test_bin_count"].dropna().iloc[-1]) == 997


def test_every_run_records_what_made_it(finished):
    path = next((finished.folder / "results/tiny/runs").rglob("metrics.parquet"))
    frame, metadata = parquet.read_frame(path)
    assert {"specification", "code", "versions", "git_revision"} <= metadata.keys()
    assert set(metadata["versions"]) == {"torch", "torchvision", "ivon-opt", "numpy"}
    assert frame["epoch"].tolist() == [1, 2]
    assert (frame["seconds"] > 0).all() and (frame["peak_memory_mb"] > 0).all()
    assert frame["device"].notna().all()


def test_figure_tables_hold_every_planned_run(finished):
    for figure in ("fig5", "fig7"):
        frame, description = parquet.read_frame(finished.folder / f"results/tiny/figures/{figure}.parquet")
        assert set(frame["run"]) == set(description["runs"])
        assert frame.groupby("run").size().eq(2).all()
        assert set(frame["method"]) == {"ivon", "ls", "sam"}


def test_a_second_time_there_is_nothing_to_do(finished):
    assert "Nothing to be done" in finished.made("tiny", "--cores", "2")


def test_touched_files_and_comments_rerun_nothing(edited):
    for part in ("Snakefile", "rules", "workflow", "config"):
        for path in [edited.folder / part, *(edited.folder / part).rglob("*")]:
            os.utime(path)
    edited.edit("workflow/adaptive_smoothing/training/job.py", '"""Train one run and', '"""Reworded: train and')
    edited.edit("workflow/adaptive_smoothing/methods/sam.py", "EPSILON = 1e-12  #", "EPSILON = 1e-12  # comment,")
    edited.edit("workflow/scripts/train.py", '"""Train one run."""', '"""Train one run, reworded."""')
    (edited.folder / "workflow/adaptive_smoothing/methods/new.py").write_text('"""A method nobody uses."""\n')
    assert edited.would_run("tiny") == {}


def test_a_fresh_copy_with_the_results_has_nothing_to_do(finished, tmp_path):
    """Results and Snakemake's records copied without their times, archives elsewhere, other cores and settings."""
    other = tmp_path / "other"
    shutil.copytree(finished.folder, other, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("locks"))
    copy = type(finished)(other)
    text = copy.made("tiny", "--cores", "1", "--config", "data_root=/elsewhere", "fork_server=false")
    assert "Nothing to be done" in text
    assert copy.would_run("tiny") == {}


def test_strict_says_nothing_where_nothing_is_mixed(edited):
    edited.made("paper_figures/tiny/fig5.pdf", "--cores", "2", "--config", "strict=true")


def test_mixed_results_are_told_and_strict_forbids_them(edited):
    path = next((edited.folder / "results/tiny/runs/digits-small_cnn/symmetric20/sam-rho0.5").rglob("metrics.parquet"))
    table, metadata = parquet.read(path)
    parquet.write(path, table, {**metadata, "versions": {**metadata["versions"], "torch": "1.0"}})
    edited.made("paper_figures/tiny/fig5.pdf", "results/tiny/notes.md", "--cores", "2")
    assert "WARNING: runs were made with torch 1.0 and" in (edited.folder / "results/tiny/notes.md").read_text()
    done = edited.snakemake("paper_figures/tiny/fig5.pdf", "--cores", "2", "--config", "strict=true")
    assert done.returncode != 0
    assert "error: figure fig5 is mixed, and strict=true forbids that: runs were made with torch 1.0" in done.stderr


def test_sams_code_reruns_sams_runs_and_what_draws_on_them(edited):
    edited.edit("workflow/adaptive_smoothing/methods/sam.py", "EPSILON = 1e-12", "EPSILON = 1e-11")
    # two values of ρ in: two noises of Figs. 5, 7 and 8, one of Fig. 9; three extras show Fig. 5's runs
    assert edited.would_run("tiny") == {"train": 2 * (2 + 2 + 2 + 1), "collect": 4 + 3, "draw": 4 + 3, **TOLD}


def test_the_look_of_one_figure_redraws_it_alone(edited):
    path = edited.folder / "workflow/adaptive_smoothing/figures/fig7.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert edited.would_run("tiny") == {"draw": 1, "index": 1}


def test_a_value_more_in_one_grid_adds_its_runs_alone(edited):
    edited.change(lambda scale: scale["figures"]["fig7"]["runs"][0]["noises"].append("kappa0.3"))
    assert edited.would_run("tiny") == {"corrupt_labels": 1, "train": 1 + 2 + 2, "collect": 1, "draw": 1, **TOLD}


def test_a_seed_more_adds_its_runs_alone(edited):
    edited.change(lambda scale: scale["figures"]["fig9"]["runs"][0].update(seeds=[0, 1]))
    assert edited.would_run("tiny") == {"train": 1 + 2 + 2, "collect": 1, "draw": 1, **TOLD}


def test_a_methods_learning_rate_reruns_its_runs(edited):
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["ivon"].update(lr=0.4))
    assert edited.would_run("tiny") == {"train": 1, "collect": 1, "draw": 1, **TOLD}


def test_one_core_without_the_fork_server_gives_the_same_metrics(finished, tmp_path):
    """One job at a time, without the fork server, in another folder: the same tables, and the same figures."""
    other = tmp_path / "other"
    alone = finished.unmade_copy(other)
    target = "paper_figures/tiny/fig6.pdf"
    alone.edit("Snakefile", "        server.start()", "        pass")
    alone.made(target, "results/tiny/figures/fig9.parquet", "--cores", "1")
    ours, theirs = metrics(finished.folder), metrics(other)
    assert len(theirs) == 4 + 5
    for run, frame in theirs.items():
        pd.testing.assert_frame_equal(frame, ours[run], check_exact=True)
    pictures = [(folder / target).read_bytes() for folder in (finished.folder, other)]
    # each names its own table, which holds the seconds that its own runs took
    assert len({re.sub(rb"table sha256:[0-9a-f]{64}", b"", picture) for picture in pictures}) == 1


@pytest.mark.parametrize("file", ["metrics.parquet", "label_noise-samples2.parquet"])
def test_a_truncated_file_is_named_and_its_figure_not_made(edited, file):
    path = next((edited.folder / "results/tiny/runs/digits-small_cnn/clean/ivon").rglob(file))
    path.write_bytes(path.read_bytes()[:200])
    os.utime(path)
    done = edited.snakemake("results/tiny/figures/fig3.parquet", "--cores", "1")
    assert done.returncode != 0
    assert f"error: {path.relative_to(edited.folder)}: is damaged" in done.stderr
    assert not (edited.folder / "results/tiny/figures/fig3.parquet").exists()
