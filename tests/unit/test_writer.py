"""One writer a run: who is refused, who goes on, and who may no longer write."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest
from cases import arguments, specification

from adaptive_smoothing.core import processes, progress, writer
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.writer import Superseded, only_writer
from adaptive_smoothing.training import job, loop
from adaptive_smoothing.training.checkpoint import Checkpoint

HOLDER = """
import sys, time
from pathlib import Path
from adaptive_smoothing.core.writer import only_writer
with only_writer(Path(sys.argv[1]), "progress.json"):
    print("writes", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    for name in ("PATIENCE_S", "SILENCE_S", "SETTLE_S", "POLL_S"):
        monkeypatch.setattr(writer, name, 0.02)


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks: as NFS without its lock daemon, some FUSE, and the kernel's own ENOTSUPP."""

    def refused(self, *_, **__):
        raise OSError(524, "Unknown error 524")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)


def claimed(folder):
    return only_writer(folder, progress.FILE)


def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writes\n"
    return process


def elsewhere(folder, **changes):
    """Leave the record of a writer on another machine."""
    record = {**processes.identity(), "kernel": "another", "host": "node7", "where": "process 5 on node7", **changes}
    (folder / writer.FILE).write_text(json.dumps({"token": "old", **record}))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_second_starter_is_refused_until_the_first_is_dead(tmp_path, number):
    """Also where the first one hangs: it may wake up."""
    first = holder(tmp_path)
    try:
        with pytest.raises(UserError, match=rf"process {first.pid} on .* is training this run; wait until it has"):
            claimed(tmp_path).__enter__()
        first.send_signal(number)
        if number == signal.SIGSTOP:
            with pytest.raises(UserError, match="is training this run"):
                claimed(tmp_path).__enter__()
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    with claimed(tmp_path) as second:
        second.check()
    assert os.listdir(tmp_path) == []


def test_one_that_saves_and_ends_in_time_is_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writer, "PATIENCE_S", 60)
    first = claimed(tmp_path)
    first.__enter__()
    ending = threading.Timer(0.2, first.__exit__, (None, None, None))
    ending.start()
    with claimed(tmp_path):
        ending.join()
    assert "was training this run; waiting until it has ended" in capsys.readouterr().out


def test_without_locks_the_process_that_the_record_names_is_looked_at(tmp_path, no_locks):
    with claimed(tmp_path), pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training this run"):
        claimed(tmp_path).__enter__()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    elsewhere(tmp_path, kernel=processes.kernel(), pid=gone.pid)
    with claimed(tmp_path) as late:
        late.check()


def test_two_starts_at_once_without_locks_leave_one(tmp_path, no_locks, monkeypatch):
    monkeypatch.setattr(writer, "SETTLE_S", 0.3)
    winners, refused = [], []

    def start():
        try:
            with claimed(tmp_path) as one:
                winners.append(one)
                while not refused and len(winners) < 2:
                    time.sleep(0.01)
        except UserError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), len(refused)) == (1, 1)


@pytest.mark.parametrize("clock", [-86400, 86400])
def test_a_dead_writer_elsewhere_blocks_nobody_whatever_its_clock_said(tmp_path, clock, capsys):
    elsewhere(tmp_path)
    (tmp_path / progress.FILE).write_text(json.dumps({"time": time.time() + clock}))
    with claimed(tmp_path):
        assert "process 5 on node7 has written nothing for" in capsys.readouterr().out


@pytest.mark.parametrize("clock", [-86400, 86400])
def test_a_living_writer_elsewhere_is_left_alone_whatever_its_clock_says(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(writer, "SILENCE_S", 60)
    monkeypatch.setattr(writer, "PATIENCE_S", 0.2)
    elsewhere(tmp_path)
    ended = threading.Event()

    def beat():
        for number in range(10**9):
            (tmp_path / progress.FILE).write_text(json.dumps({"time": time.time() + clock, "pulses": number}))
            if ended.wait(0.01):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(UserError, match="process 5 on node7 is training this run"):
        claimed(tmp_path).__enter__()
    ended.set()
    thread.join()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"pid": "x"}'])
def test_a_damaged_record_blocks_nobody(tmp_path, content):
    (tmp_path / writer.FILE).write_bytes(content)
    with claimed(tmp_path) as one:
        one.check()


def test_the_late_one_of_two_cannot_write(tmp_path):
    with claimed(tmp_path) as late:
        late.check()
        elsewhere(tmp_path)  # took this one for dead
        with pytest.raises(Superseded, match="another training of this run has begun"):
            late.check()
    assert "node7" in (tmp_path / writer.FILE).read_text()  # the newer one's record stays
    with claimed(tmp_path) as late:
        (tmp_path / writer.FILE).unlink()  # the newer one has ended
        with pytest.raises(Superseded):
            late.check()


def test_a_disk_that_refuses_the_record_stops_no_training(tmp_path, monkeypatch, capsys):
    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with claimed(tmp_path) as one:
            one.check()
    assert "cannot be written (No space left on device); nothing keeps a second training" in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["checkpoint", "results", "heartbeat"])
def test_a_training_that_was_replaced_ends_and_writes_nothing(digits, tmp_path, monkeypatch, moment):
    """Whatever it writes next: a checkpoint, its results, or the record of how far it is."""
    given = {
        **arguments(digits, tmp_path, specification("ls")),
        "checkpoint_minutes": 0 if moment == "checkpoint" else 99,
    }
    monkeypatch.setattr(progress, "BEAT_S", 0.0 if moment == "heartbeat" else 99.0)
    monkeypatch.setattr(progress, "EPOCH_BEAT_S", 99.0)

    def after_step(self, state, real=Checkpoint.after_step):
        elsewhere(tmp_path)
        (tmp_path / progress.FILE).write_text("the newer one's")
        real(self, state)

    monkeypatch.setattr(Checkpoint, "after_step", after_step)
    if moment == "results":
        given["posterior"] = None
    else:  # it ends before
        monkeypatch.setattr(loop.Trainer, "record_epoch", lambda *_: pytest.fail("the training went on"))
    with pytest.raises(Superseded):
        job.train(**given)
    assert sorted(os.listdir(tmp_path)) == [writer.FILE, progress.FILE]
    assert (tmp_path / progress.FILE).read_text() == "the newer one's"


def test_a_second_training_of_a_run_is_refused_and_the_first_ends_as_ever(digits, tmp_path, monkeypatch):
    given, errors = arguments(digits, tmp_path, specification("ls")), []

    def after_step(self, state, real=Checkpoint.after_step):
        if not errors:
            with pytest.raises(UserError, match="is training this run") as error:
                job.train(**given)
            errors.append(error)
        real(self, state)

    monkeypatch.setattr(Checkpoint, "after_step", after_step)
    job.train(**given)
    assert errors and (tmp_path / "metrics.parquet").exists()
    assert not (tmp_path / writer.FILE).exists()


def test_an_evaluation_that_takes_long_is_seen_to_live(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PULSE_S", 0.01)
    path = tmp_path / progress.FILE
    with progress.ProgressWriter(path, 3):
        first = path.read_bytes()
        deadline = time.monotonic() + 30
        while path.read_bytes() == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert json.loads(first)["time"] == json.loads(path.read_bytes())["time"]  # the training itself did nothing
