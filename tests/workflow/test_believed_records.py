"""All commands say the same of results that Snakemake takes for current, and the command that they name mends it."""

import os
import re
import shlex
import shutil
import subprocess
import sys

RUN = "digits_weak-small_cnn/weak_annotator/sam-rho0.5/seed0"
METRICS = f"results/tiny/runs/{RUN}/metrics.parquet"
TABLE = "results/tiny/figures/fig9.parquet"


def said(project, *arguments: str) -> str:
    """Return all that a subcommand of `smoothing` prints, run with the project's library."""
    env = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    command = [sys.executable, "-m", "adaptive_smoothing.pipeline.commands.cli", *arguments]
    done = subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_results_of_another_specification_are_named_everywhere_until_they_are_made_again(edited):
    edited.change(lambda scale: scale["setups"]["digits_weak"]["methods"]["sam"].update(lr=0.04))
    edited.made("--touch", "--cores", "1", TABLE, "paper_figures/tiny/fig9.pdf")
    assert edited.would_run("paper_figures/tiny/fig9.pdf") == {}
    what = "'specification.hyperparameters.lr' is 0.01 in its record but 0.04 in the plan"
    mending = "snakemake paper_figures/tiny/fig9.pdf --cores 2 --forcerun "
    explained = said(edited, "why", "tiny", "fig9")
    assert what in explained and mending in explained
    assert re.search(r"^ fig9 +3 +0 +2 +0 ", said(edited, "status", "tiny", "fig9"), re.MULTILINE)
    traced = said(edited, "provenance", "paper_figures/tiny/fig9.pdf")
    assert "every hash matches" in traced and what in traced.rpartition("every hash matches")[2]
    assert what in said(edited, "export", "tiny", "a.tar.xz")
    refused = edited.snakemake("--cores", "1", "--force", TABLE)
    (message,) = {line for line in refused.stderr.splitlines() if line.startswith("error: ")}
    assert "2 of 5 files with results record another specification" in message and mending in message
    edited.made(*shlex.split(explained.rpartition("make them again: snakemake")[2]))
    assert said(edited, "why", "tiny", "fig9") == "everything is up to date\n"
    assert "metrics of 5 of 5 runs" in said(edited, "provenance", "paper_figures/tiny/fig9.pdf").splitlines()[-1]


def test_a_deleted_run_is_missing_everywhere_until_the_scale_is_made_again(edited):
    shutil.rmtree((edited.folder / METRICS).parent)
    assert "make them with 'snakemake --cores 2 tiny'" in said(edited, "export", "tiny", "a.tar.xz")
    assert re.search(r"^fig9 +4 +1 +its results are missing", said(edited, "why", "tiny"), re.MULTILINE)
    assert re.search(r"^ fig9 +4 +0 +1 +0 ", said(edited, "status", "tiny", "fig9"), re.MULTILINE)
    assert edited.would_run("tiny")["train"] == 1
    edited.made("tiny", "--cores", "2")
    assert edited.would_run("tiny") == {}
    assert "figure tables and the metrics of" in said(edited, "export", "tiny", "a.tar.xz")
