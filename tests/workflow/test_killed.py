"""A real Snakemake that is killed, or whose inputs carry a time of the future: no training is lost or left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from waiting import wait_for

from adaptive_smoothing.core import paths

RUN = "digits-small_cnn/symmetric20/ls-alpha0.9/seed0"
METRICS = paths.METRICS.format(scale="tiny", run=RUN)


@pytest.fixture
def long(project, tmp_path):
    """Return a project whose runs take minutes, with its data made."""
    copy = project.unmade_copy(tmp_path / "project")
    copy.change(lambda scale: [setup.update(epochs=100_000) for setup in scale["setups"].values()])
    return copy


@pytest.mark.slow
def test_a_killed_snakemake_leaves_no_training_behind(long):
    """The training saves its state and ends; nothing then writes beside the next Snakemake's training."""
    run = (long.folder / METRICS).parent
    command = [sys.executable, "-m", "snakemake", METRICS, "--cores", "1"]
    env = {**os.environ, "PYTHONPATH": str(long.folder / "workflow")}
    with (long.folder / "out").open("w") as out:
        snakemake = subprocess.Popen(command, cwd=long.folder, env=env, stdout=out, stderr=out)
    try:
        wait_for(lambda: training(run) or snakemake.poll() is not None, 120)
        record = training(run)
        assert record, (long.folder / "out").read_text()
        snakemake.send_signal(signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(record["pid"]), 120)
    finally:
        snakemake.kill()
        snakemake.wait()
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint.pt", "progress.json"]
    log = (long.folder / paths.TRAIN_LOG.format(scale="tiny", run=RUN)).read_text()
    assert log.endswith("checkpoint.pt, rerun to resume\n")


def training(run):
    """Return the record of the run's training, once it trains."""
    try:
        record = json.loads((run / "progress.json").read_text())
    except (OSError, ValueError):
        return None
    return record if record.get("epoch") else None


@pytest.mark.slow
def test_inputs_of_the_future_are_refused_before_the_first_epoch(long):
    labels = long.folder / "results/tiny/labels/digits-seed0-test_size997/symmetric20-seed0.parquet"
    long.made(str(labels.relative_to(long.folder)), "--cores", "1")
    os.utime(labels, (time.time() + 1800,) * 2)
    done = long.snakemake(METRICS, "--cores", "1")
    assert done.returncode != 0
    sentence = rf"^error: {re.escape(str(labels.relative_to(long.folder)))}: its modification time lies \d+ s in the"
    assert re.search(sentence, done.stderr, re.MULTILINE), done.stderr
    assert "epoch" not in (long.folder / paths.TRAIN_LOG.format(scale="tiny", run=RUN)).read_text()
