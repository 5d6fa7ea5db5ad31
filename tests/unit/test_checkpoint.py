"""A run that was killed any number of times ends in the same bytes of metrics as one that ran through."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from cases import arguments, specification, stopping_after

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.interrupts import Stopped
from adaptive_smoothing.training import checkpoint, job, loop, metrics, posterior
from adaptive_smoothing.training.checkpoint import Checkpoint


def found(folder):
    frame, _ = parquet.read_frame(folder / "metrics.parquet")
    return frame.drop(columns=list(metrics.NOT_REPRODUCED)), frame["restarts"].iloc[0]


def visible(folder):
    return sorted(name for name in os.listdir(folder) if name[0] != ".")


@pytest.mark.parametrize("method", registry.names("method"))
def test_stopped_twice_or_never_the_metrics_are_the_same(digits, tmp_path, capsys, method):
    spec = specification(method)
    (tmp_path / "straight").mkdir()
    (tmp_path / "stopped").mkdir()
    job.train(**arguments(digits, tmp_path / "straight", spec))
    for steps in (4, 2):  # after the last step of the first epoch, and in the middle of the second
        with stopping_after(steps), pytest.raises(Stopped, match="stopped by a signal; state saved in"):
            job.train(**arguments(digits, tmp_path / "stopped", spec))
        assert not (tmp_path / "stopped/metrics.parquet").exists()
        torch.manual_seed(99)  # whatever the process did meanwhile
    job.train(**arguments(digits, tmp_path / "stopped", spec))
    log = capsys.readouterr().out
    assert "resuming from epoch 0, step 4 (restart 1)" in log and "resuming from epoch 1, step 2 (restart 2)" in log
    (straight, none), (stopped, two) = found(tmp_path / "straight"), found(tmp_path / "stopped")
    assert (none, two) == (0, 2)
    pd.testing.assert_frame_equal(straight, stopped, check_exact=True)
    one, other = (posterior.load_posterior(tmp_path / name / "posterior.pt") for name in ("straight", "stopped"))
    assert all(torch.equal(value, other["model"][key]) for key, value in one["model"].items())
    assert visible(tmp_path / "stopped") == ["metrics.parquet", "posterior.pt"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": "other"}, "has another code"),
        ({"spec": {"seed": 2}}, "has another specification"),
        ({"damage": True}, "is damaged"),
    ],
)
def test_a_checkpoint_that_cannot_serve_is_discarded_with_a_line(digits, tmp_path, capsys, change, reason):
    spec = specification("ls")
    with stopping_after(3), pytest.raises(Stopped):
        job.train(**arguments(digits, tmp_path, spec))
    file = tmp_path / "checkpoint.pt"
    if "damage" in change:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    job.train(**arguments(digits, tmp_path, spec.model_copy(update=change.get("spec", {})), change.get("code", "code")))
    assert f"checkpoint {file} {reason}" in capsys.readouterr().out
    assert found(tmp_path)[1] == 0
    assert not file.exists()


def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    keeper = Checkpoint(tmp_path / "checkpoint.pt", {"code": "a"}, 0)
    keeper.after_step(lambda: {"step": 1})

    def cut(content, path):
        Path(path).write_bytes(b"half a file")
        raise KeyboardInterrupt  # as good as a kill: nothing after it runs but the clean-up

    monkeypatch.setattr(checkpoint.torch, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        keeper.after_step(lambda: {"step": 2})
    assert Checkpoint(tmp_path / "checkpoint.pt", {"code": "a"}, 0).restore() == {"step": 1}


def test_the_state_is_saved_every_so_many_epochs(tmp_path):
    keeper = Checkpoint(tmp_path / "checkpoint.pt", {"code": "a"}, minutes=1000, epochs=3)
    saved = []
    for epoch in range(1, 8):
        keeper.after_epoch(epoch, lambda: {"step": 1})
        saved += [epoch] if keeper.restore() else []
        keeper.remove()
    assert saved == [3, 6]


def test_a_training_saves_at_the_epochs_that_it_is_told(digits, tmp_path):
    given = {**arguments(digits, tmp_path, specification("sam", epochs=7)), "checkpoint_epochs": 3}
    broken = KeyboardInterrupt()

    def after_epoch(self, epoch, state, real=Checkpoint.after_epoch):
        real(self, epoch, state)
        if epoch == 5:
            raise broken  # saves nothing, unlike a signal that is listened to

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "after_epoch", after_epoch)
        job.train(**given)
    assert torch.load(tmp_path / "checkpoint.pt")["state"]["position"]["epoch"] == 3


def attempt(digits, folder):
    """Start a training of its own process, which saves after every step."""
    spec = specification("ivon", epochs=60)
    given = {**arguments(digits, folder, spec), "checkpoint_minutes": 0}
    code = "import json, sys; from adaptive_smoothing.training import job; job.train(**json.loads(sys.argv[1]))"
    with (folder / "log").open("a") as log:
        return subprocess.Popen([sys.executable, "-c", code, json.dumps(given)], stdout=log, stderr=log)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2])
def test_a_real_signal_at_any_moment_loses_nothing(digits, tmp_path, number):
    """SIGKILL hits whatever is going on, the writing of a checkpoint included: here one is always being written."""
    (tmp_path / "straight").mkdir()
    (tmp_path / "killed").mkdir()
    straight = attempt(digits, tmp_path / "straight")
    for wait in (0.05, 0.3, 0.15):
        process = attempt(digits, tmp_path / "killed")
        deadline = time.monotonic() + 300
        begun = (tmp_path / "killed/checkpoint.pt").stat().st_mtime if wait != 0.05 else 0
        while not ((file := tmp_path / "killed/checkpoint.pt").exists() and file.stat().st_mtime > begun):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "killed/log").read_text()
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(number)
        assert process.wait(timeout=300) != 0
    assert attempt(digits, tmp_path / "killed").wait(timeout=300) == 0, (tmp_path / "killed/log").read_text()
    assert straight.wait(timeout=300) == 0
    (straight_metrics, _), (killed_metrics, restarts) = found(tmp_path / "straight"), found(tmp_path / "killed")
    assert restarts == 3
    pd.testing.assert_frame_equal(straight_metrics, killed_metrics, check_exact=True)


@pytest.mark.parametrize("error", [OverflowError("a seed too large"), UserError("No space left"), MemoryError()])
def test_results_that_cannot_be_written_lose_no_training(digits, tmp_path, monkeypatch, capsys, error):
    """Whatever refuses them after hours: the next start writes them from the final state, and trains nothing."""

    def refused(*_, **__):
        raise error

    given = arguments(digits, tmp_path, specification("ivon"))
    (tmp_path / "straight").mkdir()
    job.train(**arguments(digits, tmp_path / "straight", specification("ivon")))
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(parquet, "encode", refused)
        job.train(**given)
    assert "the final state is saved in" in capsys.readouterr().out
    monkeypatch.setattr(loop.Trainer, "step", refused)
    job.train(**given)
    pd.testing.assert_frame_equal(found(tmp_path)[0], found(tmp_path / "straight")[0], check_exact=True)


@pytest.mark.parametrize("links", [True, False])
def test_results_that_snakemake_deleted_are_put_back_without_training(digits, tmp_path, monkeypatch, capsys, links):
    def refused(*_, **__):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    given = arguments(digits, tmp_path, specification("sam"))
    job.train(**given)
    before = {name: (tmp_path / name).read_bytes() for name in ("metrics.parquet", "posterior.pt")}
    for name in before:
        (tmp_path / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Trainer", refused)
        patch.setattr(job, "Trainer", refused)
        job.train(**given)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    assert "an earlier start finished this run" in capsys.readouterr().out
    job.train(**{**given, "code": {"training": "other"}})  # another training is trained
    assert parquet.read(tmp_path / "metrics.parquet")[1]["code"] == {"training": "other"}


def test_a_signal_while_results_are_written_costs_nothing(digits, tmp_path, monkeypatch):
    def encode(*given, real=parquet.encode):
        signal.raise_signal(signal.SIGTERM)
        real(*given)

    monkeypatch.setattr(parquet, "encode", encode)
    job.train(**arguments(digits, tmp_path, specification("ls")))
    assert visible(tmp_path) == ["metrics.parquet", "posterior.pt"]
