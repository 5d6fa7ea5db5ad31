"""Whether a job of an earlier run is taken over, and what the watch concludes from folders and states."""

import logging
import os
import pickle
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_submitit import ExecutorSettings, attempts
from snakemake_executor_plugin_submitit.decide import Outcome
from snakemake_executor_plugin_submitit.endings import Endings
from snakemake_executor_plugin_submitit.journal import Journal, JournalTask, Submission
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.reattach import Orphan, OrphanedJobs
from snakemake_executor_plugin_submitit.records import Record
from snakemake_executor_plugin_submitit.request import request_of
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import Answer
from snakemake_executor_plugin_submitit.task import Task
from snakemake_executor_plugin_submitit.watch import Watch


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr("snakemake_executor_plugin_submitit.reattach.PAUSE_S", 0.01)


class FakeCluster:
    """Answers with the states that a test sets, None for an outage; remembers what it is asked."""

    def __init__(self):
        self.known, self.names, self.cancelled, self.queries, self.reason = {}, {}, [], 0, "None"

    def states(self, handles, since):
        self.queries += 1
        if self.known is None:
            return Answer()
        known = [one for one in handles if one.id in self.known]
        records = {one.id: Record(self.known[one.id], "0", self.reason, "n1", "") for one in known}
        return Answer({one: record.state for one, record in records.items()}, True, records)

    def find(self, job_name):
        return self.names.get(job_name)

    def site(self):
        return "big"

    def cancel(self, handles):
        self.cancelled += [one.id for one in handles]
        self.known = {}


@pytest.fixture
def run(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    journal = Journal(tmp_path / "journal.jsonl")
    messages = Messages(logging.getLogger("test"))
    yield Run(ExecutorSettings(patience=0), FakeCluster(), journal, tmp_path / "run", str(tmp_path), messages)
    journal.close()


@pytest.fixture
def task(tmp_path):
    rule = SimpleNamespace(name="make")
    job = SimpleNamespace(is_group=lambda: False, rule=rule, input=[tmp_path / "in"], output=[tmp_path / "out"])
    (tmp_path / "in").touch()
    return Task(job, "make", "key", (str(tmp_path / "out"),), request_of({"runtime": 10}, 1, 90), "true")


def submitted(task, folder, key="key", ago_s=0.0, job_id="7", input_age_s=0.0):
    """Return a submission of this task."""
    newest = (folder / "in").stat().st_mtime - input_age_s
    tasks = [JournalTask(key, task.outputs, 0, timeouts_before=2, newest_input=newest)]
    return Submission("t", "smk-make-t", "make", str(folder), "slurm", time.time() - ago_s, tasks, job_id)


@pytest.mark.parametrize(
    ("change", "state", "expected"),
    [
        ({}, "RUNNING", True),
        ({}, "PENDING", True),
        ({}, "FAILED", False),
        ({}, "", False),
        ({"key": "another"}, "RUNNING", False),
        ({"input_age_s": 100.0}, "RUNNING", False),  # the input has changed since
        ({"ago_s": 100.0}, "RUNNING", True),  # this machine's clock does not matter
    ],
)
def test_a_job_is_taken_over_if_it_is_the_same_and_lives(task, tmp_path, change, state, expected):
    orphan = Orphan(submitted(task, tmp_path, **change), submitted(task, tmp_path, **change).tasks[0])
    assert orphan.serves(task, state) is expected


@pytest.mark.parametrize("made_output", [False, True])
@pytest.mark.parametrize("recent", [False, True])
def test_a_job_that_has_ended_serves_if_its_result_is_new_and_its_files_exist(task, tmp_path, made_output, recent):
    submission = submitted(task, tmp_path)
    result = tmp_path / "7_0_result.pkl"
    result.touch()
    if not recent:
        os.utime(result, (1.0, 1.0))
    if made_output:
        (tmp_path / "out").touch()
    assert Orphan(submission, submission.tasks[0]).serves(task, "") is (made_output and recent)


def test_a_submission_whose_id_is_unknown_is_found_by_its_name(run, task, tmp_path):
    run.cluster.names, run.cluster.known = {"smk-make-t": "9"}, {"9": "RUNNING"}
    taken, left = OrphanedJobs([submitted(task, tmp_path, job_id=None)], run).take_over([task])
    assert (taken, left, task.job_id, task.timeouts_before) == ([task], [], "9", 2)
    assert run.tasks == {"9": task}


def test_another_job_for_the_same_file_is_cancelled_first(run, task, tmp_path, caplog):
    run.cluster.known = {"7": "RUNNING"}
    submission = submitted(task, tmp_path, key="another")
    taken, left = OrphanedJobs([submission], run).take_over([task])
    assert (taken, left, run.cluster.cancelled, submission.live) == ([], [task], ["7"], [])
    assert "of an earlier run would write" in caplog.text and "cancelled first" in caplog.text


def test_former_jobs_are_cancelled_together(run, task, tmp_path):
    other = replace(task, outputs=(str(tmp_path / "other"),))
    run.cluster.known = {"7": "RUNNING", "8": "PENDING"}
    submissions = [
        submitted(one, tmp_path, key="another", job_id=job_id) for one, job_id in ((task, "7"), (other, "8"))
    ]
    taken, left = OrphanedJobs(submissions, run).take_over([task, other])
    assert (taken, left, run.cluster.cancelled) == ([], [task, other], ["7", "8"])
    assert run.cluster.queries == 2


def test_jobs_of_another_cluster_are_neither_asked_about_nor_cancelled(run, task, tmp_path, caplog):
    run.cluster.known = {"7": "RUNNING"}
    submission = replace(submitted(task, tmp_path), site="small")
    orphans = OrphanedJobs([submission], run)
    assert orphans.take_over([task]) == ([], [task]) and orphans.take_over([task]) == ([], [task])
    assert run.cluster.queries == 0 and run.cluster.cancelled == [] and submission.live
    assert caplog.text.count("another cluster or machine (slurm small) and are left alone: 7") == 1


def test_a_local_job_is_ended_before_slurm_gets_the_same_one(run, task, tmp_path, monkeypatch):
    local = FakeCluster()
    local.known = {"7": "RUNNING"}
    monkeypatch.setattr("snakemake_executor_plugin_submitit.run.Local", lambda: local)
    submission = replace(submitted(task, tmp_path), cluster="local", site="big")
    assert OrphanedJobs([submission], run).take_over([task]) == ([], [task])
    assert local.cancelled == ["7"] and run.cluster.cancelled == []


@pytest.fixture
def assigned(run, task, tmp_path):
    run.assign(task, submitted(task, tmp_path), 0)
    return task


def test_a_success_needs_no_query_and_silence_is_waited_out(run, assigned, tmp_path):
    watch = Watch(run)
    run.cluster.known = None
    assert watch.round([assigned]) == {assigned: Outcome.WAIT}
    assert watch.round([assigned]) == {assigned: Outcome.WAIT}
    assert run.cluster.queries == 1  # the second round came too early for another
    (tmp_path / "7_0_result.pkl").write_bytes(pickle.dumps(("success", "")))
    assert watch.round([assigned]) == {assigned: Outcome.SUCCESS}
    assert run.cluster.queries == 1


def test_a_recorded_end_is_a_proof_where_the_result_could_not_be_written(run, assigned):
    run.cluster.known = {"7": "COMPLETED"}
    attempts.append(assigned.assignment.attempts_file(0), attempts.Entry(attempts.DONE, "1-1", 1.0))
    assert Watch(run).round([assigned]) == {assigned: Outcome.SUCCESS}


@pytest.fixture
def second(run, task, tmp_path):
    """Return another task, which has succeeded, in a folder of its own."""
    other, folder = replace(task), tmp_path / "second"
    folder.mkdir()
    submission = replace(submitted(task, tmp_path, job_id="8"), folder=str(folder))
    run.assign(other, submission, 0)
    (folder / "8_0_result.pkl").write_bytes(pickle.dumps(("success", "")))
    return other


@pytest.mark.parametrize("garbage", [b"", b"garbage", pickle.dumps(3), b"cposix\nnothing\n."])
def test_garbage_in_one_result_hides_no_other(run, assigned, second, tmp_path, garbage):
    run.cluster.known = {"7": "COMPLETED"}
    (tmp_path / "7_0_result.pkl").write_bytes(garbage)
    watch = Watch(run)
    assert watch.round([assigned, second]) == {assigned: Outcome.WAIT, second: Outcome.SUCCESS}
    assigned.since -= 1000
    watch._next_query = 0
    assert watch.round([assigned]) == {assigned: Outcome.FAILED}


def test_a_folder_that_cannot_be_read_hides_no_other_and_ends_no_job(
    run, assigned, second, tmp_path, caplog, monkeypatch
):
    def scandir(path, scandir=os.scandir):
        if str(path) == str(tmp_path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    run.cluster.known = {"7": "COMPLETED"}
    watch = Watch(run)
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        for _ in range(2):
            watch._next_query = 0
            assert watch.round([assigned, second]) == {second: Outcome.SUCCESS}
    assert caplog.text.count("cannot be read now (Permission denied); its jobs run on") == 1
    (tmp_path / "7_0_result.pkl").write_bytes(pickle.dumps(("success", "")))
    assert watch.round([assigned])[assigned] is Outcome.SUCCESS


def test_a_record_that_cannot_be_read_hides_no_other_task(run, assigned, second, caplog):
    run.cluster.known = {"7": "FAILED"}
    assigned.assignment.attempts_file(0).mkdir()
    watch = Watch(run)
    for _ in range(2):
        watch._next_query = 0
        assert watch.round([assigned, second]) == {second: Outcome.SUCCESS}
    assert caplog.text.count("cannot be read now (Is a directory)") == 1


def test_a_half_written_result_is_none_yet(run, assigned, tmp_path):
    run.cluster.known = {"7": "RUNNING"}
    (tmp_path / "7_0_result.pkl").write_bytes(pickle.dumps(("success", "x" * 100))[:-20])
    assert Watch(run).round([assigned]) == {assigned: Outcome.WAIT}


def test_a_job_that_is_gone_and_asked_for_a_restart_is_submitted_again(run, assigned):
    attempts.append(assigned.assignment.attempts_file(0), attempts.Entry(attempts.PREEMPTED, "1-1", 1.0))
    assert Watch(run).round([assigned]) == {assigned: Outcome.AGAIN}


def test_a_failure_without_a_log_names_the_node(run, assigned):
    run.cluster.known, run.cluster.reason = {"7": "FAILED"}, "RaisedSignal:53"
    assigned.since -= 1000
    Watch(run).round([assigned])
    text = Endings(run).fail(assigned)
    assert text.startswith(
        "job 7 of make: no result; SLURM says FAILED (RaisedSignal:53, n1); no log, so that the node"
    )


@pytest.mark.parametrize(("most", "expected"), [(0, 1), (1, 1), (1001, 1001)])
def test_arrays_that_are_switched_off_mean_single_jobs(run, most, expected):
    run.cluster.max_array_size = lambda: most
    assert run.array_size() == expected


def test_a_requeue_and_a_hold_are_reported_once(run, assigned, caplog):
    watch = Watch(run)
    for state, reason in (("RUNNING", "None"), ("PENDING", "JobHeldAdmin"), ("PENDING", "JobHeldAdmin")):
        run.cluster.known, run.cluster.reason = {"7": state}, reason
        watch._next_query = 0
        watch.round([assigned])
    assert caplog.text.count("job 7 (make) is back in the queue") == 1
    assert caplog.text.count("job 7 (make) does not start by itself: JobHeldAdmin: an administrator holds it") == 1
