"""What a run's record, log and results say that it does; whose process lives, and whose does not."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cases import arguments, specification

from adaptive_smoothing.core import files, paths, progress
from adaptive_smoothing.core.interrupts import Stopped
from adaptive_smoothing.pipeline.commands import run_states
from adaptive_smoothing.training import job
from adaptive_smoothing.training.checkpoint import Checkpoint

RUN = "digits/symmetric/ls/seed0"


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def record(**changes):
    """Write the record of a run that this very process trains, changed as said."""
    heartbeat = progress.ProgressWriter(run_states.progress_file("tiny", RUN), 40)
    heartbeat.begin(progress.Clock(40, 0, 0.0), 12, 50, "cpu", 0)
    path = run_states.progress_file("tiny", RUN)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def log(text):
    path = paths.TRAIN_LOG.format(scale="tiny", run=RUN)
    with files.atomic_write(path) as temporary:
        temporary.write_text(text)


def metrics():
    with files.atomic_write(paths.METRICS.format(scale="tiny", run=RUN)) as temporary:
        temporary.write_text("old results")


def state(to_make=True, queued=None, now=None):
    return run_states.state_of("tiny", RUN, to_make, queued or {}, now)


def test_nothing_was_ever_there():
    assert (state().kind, state().why) == ("waiting", "")
    assert state(to_make=False).kind == "done"


def test_a_run_of_a_living_process_runs_whatever_else_is_there():
    record()
    metrics()
    for to_make in (True, False):
        assert state(to_make).kind == "running"
    assert state().progress.epochs == 40 and state().progress.where == f"process {os.getpid()}"


def test_a_process_that_is_gone():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    record(pid=gone.pid, epoch=12.5)
    log("run x\nepoch 12/40  loss 1\n")
    assert state().kind == "failed"
    end = f"process {gone.pid} is gone; it was at epoch 12.5/40"
    assert state().why == f"{end}; the log's last line: epoch 12/40  loss 1"
    assert state(to_make=False).kind == "done"


def test_a_process_that_is_dead_but_not_buried():
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(zombie.pid).create_time()
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    record(pid=zombie.pid, process_started=started)
    assert state().kind == "failed"
    zombie.wait()


def test_a_process_with_a_dead_ones_number():
    """After a restart of the machine, say."""
    record(process_started=psutil.Process().create_time() - 1000)
    assert state().kind == "failed" and "is gone" in state().why


def test_another_host_is_believed_as_long_as_it_speaks():
    record(host="node7", pid=5, job="123_4", epoch=3.0)
    written = json.loads(run_states.progress_file("tiny", RUN).read_text())["time"]
    assert state(now=written + 200).kind == "running"
    assert state(now=written + 200).progress.where == "SLURM job 123_4, process 5 on node7"
    silent = state(now=written + 420)
    assert silent.kind == "failed"
    assert silent.why.startswith(
        "no heartbeat for 00:07:00: SLURM job 123_4, process 5 on node7 is dead, or its host is; it was at epoch 3/40"
    )


def test_a_job_that_the_cluster_has_waits_and_says_what_became_of_it_before():
    metrics_file = paths.METRICS.format(scale="tiny", run=RUN)
    assert state(queued={metrics_file: "7_1"}).why == "submitted to the cluster as 7_1"
    record(ended="Stopped", epoch=3.0)
    waiting = state(queued={metrics_file: "7_1"})
    assert (waiting.kind, waiting.why) == ("waiting", "submitted to the cluster as 7_1; stopped at epoch 3/40")


def test_results_that_the_plan_did_not_ask_for_wait_unless_they_are_trained_again():
    metrics()
    differing = run_states.state_of("tiny", RUN, False, {}, differs="'epochs' is 2 in its record")
    assert differing.kind == "waiting" and differing.why.endswith("asks for: 'epochs' is 2 in its record")
    record(phase="training", pid=os.getpid(), process_started=psutil.Process().create_time())
    assert run_states.state_of("tiny", RUN, False, {}, differs="'epochs' is 2").kind == "running"


def test_stale_results_wait():
    metrics()
    log("error: of another time")
    assert (state().kind, state().why) == ("waiting", "its results are stale")


def test_a_job_that_failed_before_its_record():
    log("some\nerror: no GPU\n\n")
    assert (state().kind, state().why) == ("failed", "error: no GPU")
    log("run x\nepoch 2/2  loss 0.1  ETA 00:00:00\n")  # it ended well, and its results were deleted
    assert state().kind == "waiting"


def test_a_job_that_imports_its_libraries():
    log("")
    assert (state().kind, state().why) == ("running", "starting")
    assert state(now=time.time() + 3600).kind == "waiting"


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"pid": 1}', "\x00"])
def test_a_record_that_is_none_is_passed_over(text):
    record()
    run_states.progress_file("tiny", RUN).write_text(text)
    assert state().kind == "waiting"
    record(epochs="x")
    assert state().kind == "waiting"


def test_the_executors_journal():
    from snakemake_executor_plugin_submitit.journal import Journal, JournalTask, Submission

    assert run_states.queued() == {}
    run_states.JOURNAL.mkdir(parents=True)
    journal = Journal(run_states.JOURNAL / "journal.jsonl")
    tasks = [JournalTask(f"key{index}", (f"file{index}",), index) for index in range(3)]
    submission = Submission("token", "name", "train", "folder", "slurm", time.time(), tasks)
    journal.submit(submission)
    assert run_states.queued() == dict.fromkeys(("file0", "file1", "file2"), "a job without a number yet")
    submission.job_id = "77"
    journal.accepted(submission)
    journal.ended(submission, [0])
    journal.cancelled(submission, [2])
    assert run_states.queued() == {"file1": "77_1"}
    journal.close()


def test_a_training_records_how_far_it_is_until_it_ends_well(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "BEAT_S", 0.0)
    monkeypatch.setattr(progress, "EPOCH_BEAT_S", 0.0)
    records, replace = [], Path.replace

    def recording(self, target):
        if Path(target).name == progress.FILE:
            records.append(json.loads(self.read_text()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", recording)
    job.train(**arguments(digits, tmp_path, specification("ls")))
    assert not (tmp_path / progress.FILE).exists()
    assert [record["phase"] for record in records[:2]] == ["starting", "training"]
    epochs = [record["epoch"] for record in records[1:]]
    assert epochs == sorted(epochs) and epochs[0] == 0 and epochs[-1] == 3 and 0.25 in epochs
    assert {record["phase"] for record in records} == {"starting", "training", "evaluating"}
    assert records[-1]["seconds_left"] == 0 and all(record["images_per_second"] > 0 for record in records[2:])
    assert {(record["host"], record["pid"]) for record in records} == {(socket.gethostname(), os.getpid())}


@pytest.mark.parametrize(("error", "kind"), [(Stopped("told to"), "waiting"), (ValueError("broken"), "failed")])
def test_a_training_that_ends_otherwise_leaves_its_record(digits, tmp_path, monkeypatch, error, kind):
    def raising(self, state):
        raise error

    monkeypatch.setattr(Checkpoint, "after_step", raising)
    folder = tmp_path / paths.RUN.format(scale="tiny", run=RUN)
    folder.mkdir(parents=True)
    with pytest.raises(type(error)):
        job.train(**arguments(digits, folder, specification("sam")))
    assert state().kind == kind
    assert ("resumes from there" if kind == "waiting" else "ValueError") in state().why


def test_a_disk_that_refuses_the_record_stops_no_training(digits, tmp_path, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    heartbeat = progress.ProgressWriter(tmp_path / progress.FILE, 3)
    heartbeat.begin(progress.Clock(3, 0, 0.0), 4, 50, "cpu", 0)
    heartbeat.remove()
    assert not (tmp_path / progress.FILE).exists()
