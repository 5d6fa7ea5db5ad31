"""`smoothing status` beside a Snakemake that trains, and after it and a training were killed."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import copied

STATUS = [sys.executable, "-m", "adaptive_smoothing.pipeline.commands.cli", "status"]
PATIENCE_S = 300


def environment(project):
    return {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}


def status(project, *arguments):
    return project.smoothing("status", "tiny", *arguments)


def looked(project, *arguments):
    """Return how many runs of each figure are done, running, waiting, failed; and the whole text."""
    done = status(project, *arguments)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ (fig\d+|all.*?) +(\d+) +(\d+) +(\d+) +(\d+)\b", done.stdout, re.MULTILINE)
    return {name: tuple(map(int, counts)) for name, *counts in rows}, done.stdout


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def records(project, phase):
    """Return run → progress record of those in a phase whose process lives."""
    found = {}
    for path in (project.folder / "results/tiny/runs").glob("**/progress.json"):
        record = json.loads(path.read_text())
        if record["phase"] == phase and psutil.pid_exists(record["pid"]):
            found[str(path.parent.relative_to(project.folder / "results/tiny/runs"))] = record
    return found


@pytest.fixture
def endless(tmp_path):
    """Return a project whose Fig. 9 would train for hours."""
    project = copied(tmp_path)
    project.change(lambda scale: scale["setups"]["digits_weak"].update(epochs=100_000, evaluate_every=100_000))
    return project


@pytest.mark.slow
def test_trainings_that_run_are_killed_and_stopped(endless):
    assert looked(endless, "fig9")[0] == {"fig9": (0, 0, 5, 0)}
    command = [sys.executable, "-m", "snakemake", "paper_figures/tiny/fig9.pdf", "--cores", "2", "--keep-going"]
    snakemake = subprocess.Popen(
        command, cwd=endless.folder, env=environment(endless), stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        running = until(lambda: len(found := records(endless, "training")) == 2 and found)
        counts, text = looked(endless, "fig9")
        assert counts == {"fig9": (0, 2, 3, 0)}
        for run, record in running.items():
            assert re.search(rf"{run} +\d+\.\d/100000 .*cpu, process {record['pid']}", text)
        assert "no Snakemake process is running" not in text

        follower = subprocess.Popen(
            [*STATUS, "tiny", "fig9", "--follow"],
            cwd=endless.folder,
            env=environment(endless),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "figure" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=PATIENCE_S)
        assert (follower.returncode, errors) == (130, "")

        victim, record = next(iter(running.items()))
        os.kill(record["pid"], signal.SIGKILL)
        until(lambda: len(records(endless, "training").keys() - {victim}) == 2)
        counts, text = looked(endless, "fig9")
        assert counts == {"fig9": (0, 2, 2, 1)}
        why = rf"\n    process {record['pid']} is gone; it was at epoch .*; the log's last line: .*\n"
        assert re.search(rf"^failed: {victim}{why}    log: logs/tiny/train/{victim}.log$", text, re.MULTILINE)
    finally:
        os.killpg(snakemake.pid, signal.SIGINT)  # as Ctrl-C does: to Snakemake and its jobs
        snakemake.wait(timeout=PATIENCE_S)
    until(lambda: not records(endless, "training"))
    counts, text = looked(endless, "fig9")
    assert counts == {"fig9": (0, 0, 4, 1)}
    assert text.count("saved; resumes from there") == 2
    assert "no Snakemake process is running in this directory" in text

    endless.change(lambda scale: scale["setups"]["digits_weak"].update(epochs=1, evaluate_every=1))
    endless.made("paper_figures/tiny/fig9.pdf", "--cores", "2")  # what lies in the runs' folders is in nobody's way
    assert looked(endless, "fig9")[0] == {"fig9": (5, 0, 0, 0)}
    assert not list(endless.folder.glob("results/**/*progress.json*"))


def test_all_done_and_what_is_stale(finished, edited):
    assert set(looked(finished)[0].values()) == {
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (8, 0, 0, 0),
        (10, 0, 0, 0),
        (4, 0, 0, 0),
        (5, 0, 0, 0),
    } | {(49, 0, 0, 0)}
    path = edited.folder / "workflow/adaptive_smoothing/methods/sam.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    counts, text = looked(edited, "fig9", "fig10")
    assert counts["fig9"] == (3, 0, 2, 0) and counts["fig10"] == (4, 0, 0, 0)
    assert "and 1 more" in text and "its results are stale" in text


def test_following_ends_where_nothing_is_left_to_run(finished):
    assert looked(finished, "fig9", "--follow")[0] == {"fig9": (5, 0, 0, 0)}
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*STATUS, "tiny", "fig9", "--follow"],
        cwd=finished.folder,
        env=environment(finished),
        stdout=follower,
        timeout=300,
    )
    os.close(follower)
    assert done.returncode == 0
    assert "5/5" in os.read(leader, 100_000).decode()
    os.close(leader)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fig11"], "error: config/tiny.yaml: unknown figure 'fig11' (did you mean 'fig10'?)"),
        (["fig9", "--follow", "fig99"], "error: config/tiny.yaml: unknown figure 'fig99'"),
    ],
)
def test_a_mistake_is_one_sentence(project, arguments, expected):
    done = status(project, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(expected)


def test_neither_pandas_nor_torch_is_imported(project, tmp_path):
    for package in ("torch", "pandas", "matplotlib", "sklearn"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('status must not import this')\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom adaptive_smoothing.pipeline.commands import estimate, status"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment(project), check=True)
