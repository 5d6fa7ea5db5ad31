"""The Makefile: targets that are now subcommands of `smoothing` name them, and go on working."""

import subprocess
from pathlib import Path

import pytest
import typer

from adaptive_smoothing.pipeline.commands import cli

ROOT = Path(__file__).parents[2]
SUBCOMMANDS = typer.main.get_command(cli.app).commands
FORMER = {
    "why": "smoothing why paper",
    "why SCALE=small FIG=fig7": "smoothing why small fig7",
    "estimate SCALE=laptop": "smoothing estimate laptop",
    "status SCALE=small FOLLOW=1": "smoothing status small --follow",
    "provenance FIG=paper_figures/small/fig7.pdf ALL=1": "smoothing provenance paper_figures/small/fig7.pdf --all",
    "export SCALE=small": "smoothing export small",
    "figures-from ARCHIVE=small-results.tar.xz": "smoothing import small-results.tar.xz",
    "figures-from ARCHIVE=small-results.tar.xz FORCE=1": "smoothing import small-results.tar.xz --force",
    "report SCALE=small": "smoothing report small",
    "report-so-far": "smoothing report paper --so-far",
    "doctor": "smoothing doctor",
    "deviations": "smoothing deviations",
    "rehearse CORES=2": "smoothing smoke --cores 2",
    "plan": "snakemake --dry-run",
}


def make(*words: str) -> list[str]:
    """Return the lines that make prints; the environment counts as set up."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--old-file=.venv/.installed", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("words", "now"), FORMER.items(), ids=list(FORMER))
def test_a_former_target_names_its_command_and_runs_it(words, now):
    target, *variables = words.split()
    assert make("--dry-run", target, *variables) == [f"echo 'make {target} is now: {now}' >&2", now]
    program, subcommand, *_ = now.split()
    assert program == "snakemake" or subcommand in SUBCOMMANDS


def test_only_targets_that_stay_are_listed():
    listed = {line.split()[1] for line in make("help") if line.startswith("make ")}
    assert listed >= {"small", "test", "smoke", "lint", "format"}
    assert listed.isdisjoint(words.split()[0] for words in FORMER)
