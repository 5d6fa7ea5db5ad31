"""`python -m adaptive_smoothing.pipeline.commands.estimate`: what is to make is what Snakemake says."""

import os
import re
import subprocess
import sys

import pytest


def estimate(project, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_smoothing.pipeline.commands.estimate", *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "workflow")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    return done


def rows(text):
    """Return figure → (runs, done, to make)."""
    found = re.findall(r"^ (fig\d+|all.*?) +(\d+) +(\d+) +(\d+)\b", text, re.MULTILINE)
    return {name: tuple(map(int, numbers)) for name, *numbers in found}


def test_what_is_stale_is_to_make_and_costs_what_it_cost(finished, edited):
    assert estimate(finished, "tiny", "--no-calibration").stdout.endswith("is up to date\n\n")
    path = edited.folder / "workflow/adaptive_smoothing/methods/sam.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    done = estimate(edited, "tiny", "--no-calibration")
    counts = rows(done.stdout)
    assert counts["all, shared runs once"] == (49, 35, 14)
    assert edited.would_run("tiny")["train"] == 14
    assert counts["fig9"] == (5, 3, 2) and counts["fig10"] == (4, 4, 0)
    assert sum(made for name, (_, _, made) in counts.items() if not name.startswith("all")) == 14
    assert re.search(r"^ digits, sam +8 +\S+ s +\S+ s +\d past runs on cpu$", done.stdout, re.MULTILINE)
    assert "calibrated" not in done.stdout and "figures sum to more than the total" in done.stdout
    assert rows(estimate(edited, "tiny", "fig9", "--no-calibration").stdout) == {"fig9": (5, 3, 2)}


def test_a_calibration_where_nothing_was_ever_made(project):
    done = estimate(project, "tiny", "fig3", "--calibration", "5")
    assert rows(done.stdout) == {"fig3": (1, 0, 1)}
    assert (
        len(re.findall(r"^ digits, ivon.* s +\S+ s +calibrated here: \d steps?.* on cpu", done.stdout, re.MULTILINE))
        == 2
    )
    assert re.search(r"prepared data 1\d\d kB, posteriors 1\d\d kB", done.stdout)
    assert not (project.folder / "data").exists()


@pytest.mark.parametrize(
    ("scale", "figure", "runs"), [("small", "fig7", 105), ("laptop", "fig7", 105), ("rehearsal", "fig9", 5)]
)
def test_every_scale(project, scale, figure, runs):
    done = estimate(project, scale, figure, "--no-calibration")
    assert rows(done.stdout) == {figure: (runs, 0, runs)}, done.stderr
    assert f"{runs} jobs whose cost is unknown" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tiny", "fig11"], "error: config/tiny.yaml: unknown figure 'fig11' (did you mean 'fig10'?)"),
        (["tinny"], "error: config: unknown scale 'tinny' (did you mean 'tiny'?)"),
        (
            ["tiny", "--device", "H100"],
            "error: the devices of past runs and this machine's: unknown device 'H100'; legal: ",
        ),
    ],
)
def test_a_mistake_is_one_sentence(project, arguments, expected):
    done = estimate(project, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(expected)
