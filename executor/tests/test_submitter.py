"""Submissions, outages and cancellations, with shell scripts in place of SLURM's programs."""

import logging
import os
from dataclasses import replace

import pytest
from fake_slurm import FakeSlurm

from snakemake_executor_plugin_submitit import ExecutorSettings, attempts
from snakemake_executor_plugin_submitit.canceller import Canceller, cancel_ids
from snakemake_executor_plugin_submitit.endings import Endings
from snakemake_executor_plugin_submitit.journal import Journal, Submission
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.request import request_of
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import Commands, Slurm
from snakemake_executor_plugin_submitit.submitter import Submitter
from snakemake_executor_plugin_submitit.task import Batch, Task

ACCEPTS = 'echo "Submitted batch job 7"'
FAILS = 'echo "sbatch: error: {}" >&2; exit 1'
OUTAGE = FAILS.format("Unable to contact slurm controller (connect failure)")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a shell script in front of PATH; each call appends its arguments to calls.txt."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name, script):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/calls.txt\n{script}\n')
        (folder / name).chmod(0o755)

    for name in ("squeue", "sacct", "scancel", "scontrol", "srun"):
        write(name, "true")
    return write


@pytest.fixture
def run(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    messages = Messages(logging.getLogger("test"))
    journal = Journal(tmp_path / "journal.jsonl")
    yield Run(ExecutorSettings(), Slurm(Commands(10, messages)), journal, tmp_path / "run", str(tmp_path), messages)
    journal.close()


@pytest.fixture
def submitter(run):
    """Return a submitter with what it has reported: tasks that are accepted, and reasons of refusals."""
    one = Submitter(run, lambda tasks: one.accepted.extend(tasks), lambda tasks, reason: one.refused.append(reason))
    one.accepted, one.refused = [], []
    return one


def task(name="a"):
    return Task(None, "make", f"key {name}", (name,), request_of({"runtime": 10}, 1, 90), "true")


def calls(tmp_path, name):
    lines = (tmp_path / "calls.txt").read_text().splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def test_similar_tasks_are_one_array(run, submitter, program, tmp_path):
    program("sbatch", ACCEPTS)
    tasks = [task("a"), task("b")]
    submitter.send(Batch(tasks))
    assert submitter.accepted == tasks and [one.job_id for one in tasks] == ["7_0", "7_1"]
    assert run.tasks == {"7_0": tasks[0], "7_1": tasks[1]}
    assert len(calls(tmp_path, "sbatch")) == 1
    (submission,) = run.journal.live()
    assert submission.job_id == "7" and len(submission.live) == 2
    assert submitter.give_up() == []


def test_an_outage_costs_a_retry_and_one_warning(run, submitter, program, caplog):
    program("sbatch", OUTAGE)
    batch = Batch([task()])
    submitter.send(batch)
    submitter.send_due()  # too early
    for tries in range(2, 10):  # more than unexpected failures may be
        batch.due = 0
        submitter.send_due()
        assert batch.tries == tries
    assert [one.name for one in submitter.give_up()] == [batch.submission.name]
    assert submitter.refused == [] and caplog.text.count("jobs cannot be submitted now") == 1
    program("sbatch", ACCEPTS)
    submitter.send(batch)
    assert submitter.accepted == batch.tasks and "jobs can be submitted again" in caplog.text
    assert len(run.journal.live()) == 1  # the submissions that failed are withdrawn


def test_a_submission_that_was_taken_without_an_answer_is_found_by_its_name(submitter, program, tmp_path):
    program("sbatch", OUTAGE)
    program("squeue", 'echo "9|$(id -u)"')
    batch = Batch([task()])
    submitter.send(batch)
    batch.due = 0
    submitter.send_due()
    assert batch.tasks[0].job_id == "9" and submitter.accepted == batch.tasks
    assert len(calls(tmp_path, "sbatch")) == 1


def test_a_banner_in_another_encoding_costs_nothing(submitter, program, tmp_path):
    program("sbatch", f"printf 'Universit\\344t\\n' >&2; {ACCEPTS}")
    submitter.send(Batch([task()]))
    assert [one.job_id for one in submitter.accepted] == ["7"] and len(calls(tmp_path, "sbatch")) == 1


def test_a_hopeless_request_is_refused_at_once(run, submitter, program):
    program("sbatch", FAILS.format("invalid partition specified: nix"))
    submitter.send(Batch([task()]))
    assert len(submitter.refused) == 1 and "the cluster rejects it: " in submitter.refused[0]
    assert run.journal.live() == [] and submitter.give_up() == []


@pytest.mark.parametrize("said", ["something new", "Unable to contact slurm controller"])
def test_a_failure_is_waited_out_for_the_stated_time(run, submitter, program, said):
    program("sbatch", FAILS.format(said))
    batch = Batch([task()])
    for _ in range(8):
        submitter.send(batch)
    assert submitter.refused == []
    batch.failing_since -= 3600 * run.settings.max_outage
    submitter.send(batch)
    assert submitter.refused[0].startswith("sbatch has failed for 24 hours (--submitit-max-outage): sbatch: error: ")


LIMIT = "AssocMaxSubmitJobLimit"


def test_a_limit_on_the_number_of_jobs_makes_batches_smaller(run, submitter, tmp_path, monkeypatch, caplog):
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", fake.path)
    fake.set("limit", 10)
    tasks = [task(str(number)) for number in range(23)]
    submitter.send(Batch(tasks))
    assert len(submitter.accepted) == len(fake.jobs()) == 10
    assert caplog.text.count("--submitit-max-array-size sets how many go up at once") == 1
    assert len(fake.calls("sbatch")) < 12
    submitter.send_due()  # too early
    fake.set("limit", 100)
    for batch in submitter._deferred:
        batch.due = 0
    submitter.send_due()
    assert sorted(map(id, submitter.accepted)) == sorted(map(id, tasks)) and len(fake.jobs()) == 23
    assert submitter.refused == []
    assert len([one for submission in run.journal.live() for one in submission.live]) == 23


def test_after_sigterm_what_was_not_submitted_is_refused_and_what_was_taken_is_waited_for(submitter, program, tmp_path):
    program("sbatch", FAILS.format(LIMIT))
    submitter.send(Batch([task("a")]))
    program("sbatch", OUTAGE)
    submitter.send(Batch([task("b")]))
    program("squeue", 'echo "9|$(id -u)"')
    submitter.refuse_deferred()
    assert submitter.refused == ["Snakemake was told to end before the cluster took it"]
    assert [one.key for one in submitter.accepted] == ["key b"]


def test_nothing_is_submitted_once_jobs_are_cancelled(run, submitter, program, tmp_path):
    program("sbatch", ACCEPTS)
    run.cancelling = True
    submitter.send(Batch([task()]))
    assert not (tmp_path / "calls.txt").exists() and submitter.accepted == []


def test_jobs_are_cancelled_by_id_and_what_may_have_been_taken_by_name(run, submitter, program, tmp_path, caplog):
    program("sbatch", ACCEPTS)
    submitter.send(Batch([task("a"), task("b")]))
    program("sbatch", OUTAGE)
    submitter.send(Batch([task("c")]))
    (unacknowledged,) = submitter.give_up()
    name, uid = run.tasks["7_0"].assignment.name, os.getuid()
    lines = [f"7_{index}|RUNNING|{uid}|None|n1|{name}|{os.getcwd()}" for index in (0, 1)]
    program("squeue", f"printf '%s\\n' '{lines[0]}' '{lines[1]}'; rm {tmp_path}/bin/squeue")
    canceller = Canceller(run)
    canceller.cancel(list(run.tasks.values()))
    program("squeue", 'echo "9|$(id -u)"')
    canceller.cancel_unheard([unacknowledged])
    assert calls(tmp_path, "scancel") == ["7", f"--me --name={unacknowledged.name}"]
    assert "cancelling 2 jobs: 7" in caplog.text and "which sbatch had submitted without an answer" in caplog.text
    assert [one.cancelled for one in run.journal.live()] == [{0, 1}, {0}]
    assert not list(run.folder.rglob(f"{unacknowledged.token}*.pkl"))
    program("squeue", "true")
    canceller.report_survivors()
    assert "all of them have ended" in caplog.text
    canceller.report_unconfirmed(list(run.tasks.values()), [])
    assert "by hand" not in caplog.text


def test_what_may_still_show_up_is_named_with_the_command_that_cancels_it(run, submitter, program, caplog, monkeypatch):
    monkeypatch.setattr("snakemake_executor_plugin_submitit.canceller.UNHEARD_S", 0.2)
    monkeypatch.setattr("snakemake_executor_plugin_submitit.canceller.PAUSE_S", 0.1)
    program("sbatch", OUTAGE)
    submitter.send(Batch([task()]))
    unheard = submitter.give_up()
    Canceller(run).cancel_unheard(unheard)
    assert f"if jobs of make show up, by hand: scancel --me --name={unheard[0].name}" in caplog.text


def test_nothing_is_said_to_have_ended_while_slurm_does_not_answer(run, submitter, program, caplog, monkeypatch):
    monkeypatch.setattr("snakemake_executor_plugin_submitit.canceller.SURVIVORS_S", 0.2)
    program("sbatch", ACCEPTS)
    submitter.send(Batch([task()]))
    program("squeue", OUTAGE)
    canceller = Canceller(run)
    canceller.cancel(list(run.tasks.values()))
    canceller.report_survivors()
    assert "SLURM does not say whether they have ended: 7" in caplog.text
    assert "all of them have ended" not in caplog.text


def test_variables_of_the_users_do_not_reach_sbatch(submitter, program, tmp_path, monkeypatch):
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    program("sbatch", f'env >{tmp_path}/env; grep account "$1" >{tmp_path}/account; {ACCEPTS}')
    submitter.send(Batch([task()]))
    names = [line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()]
    assert "SLURM_CONF" in names and not [name for name in names if name.startswith("SBATCH_")]
    assert (tmp_path / "account").read_text() == "#SBATCH --account=lab\n"


@pytest.mark.parametrize(
    ("state", "scancel", "over", "called"),
    [
        ("FAILED", "true", True, False),
        ("", "true", True, True),
        ("", FAILS.format("Invalid job id specified"), True, True),
        ("", OUTAGE, False, True),
        ("NODE_FAIL", "true", True, True),
    ],
)
def test_a_job_that_is_given_up_is_cancelled_before_another_takes_its_place(
    run, submitter, program, tmp_path, state, scancel, over, called
):
    program("sbatch", ACCEPTS)
    submitter.send(Batch([task()]))
    program("scancel", scancel)
    (one,) = run.tasks.values()
    one.observe(None, state)
    assert Endings(run).is_over(one) is over
    assert calls(tmp_path, "scancel") == ([f"--me --name={one.assignment.name} 7"] if called else [])


def test_outputs_are_claimed_before_sbatch_and_freed_by_the_success(run, submitter, program, tmp_path):
    program("sbatch", f"cp -r {tmp_path}/fences {tmp_path}/seen; {ACCEPTS}")
    one = replace(task(), fenced=("a",))
    submitter.send(Batch([one]))
    (fence,) = (tmp_path / "seen").iterdir()
    assert [entry.token for entry in attempts.read(fence)] == [one.assignment.token]
    assert run.node_job(one, one.assignment, 0).fences == (str(tmp_path / "fences" / fence.name),)
    Endings(run).succeed(one)
    assert not list((tmp_path / "fences").iterdir())


@pytest.mark.parametrize(("state", "open_attempts"), [("OUT_OF_MEMORY", 0), ("NODE_FAIL", 1), ("", 1)])
def test_the_next_attempt_waits_only_for_one_that_may_still_run(run, submitter, program, state, open_attempts):
    program("sbatch", ACCEPTS)
    one = replace(task(), fenced=("a",))
    submitter.send(Batch([one]))
    (fence,) = run.fences(one)
    attempts.append(fence, attempts.Entry(attempts.START, "1-1-n1", 1.0, "n1", token=one.assignment.token))
    one.observe(None, state)
    Endings(run).fail(one)
    assert len(attempts.unstopped(attempts.read(fence))) == open_attempts


def test_a_cancellation_that_fails_says_what_to_do_by_hand(run, submitter, program, caplog):
    program("sbatch", ACCEPTS)
    submitter.send(Batch([task()]))
    program("squeue", FAILS.format("Unable to contact slurm controller"))
    program("scancel", FAILS.format("Unable to contact slurm controller"))
    Canceller(run).cancel(list(run.tasks.values()))
    assert "cancelling failed" in caplog.text and "by hand: scancel 7" in caplog.text


@pytest.mark.parametrize(
    ("ended", "mine", "expected"),
    [
        (set(), [0, 1, 2], ["7"]),
        ({1}, [0, 2], ["7"]),
        (set(), [0, 2], ["7_0", "7_2"]),
        (set(), [], []),
    ],
)
def test_an_array_is_cancelled_as_a_whole_only_if_all_its_open_tasks_are_ours(ended, mine, expected):
    tasks = [task(name) for name in "abc"]
    journal_tasks = [one.journal_task(index) for index, one in enumerate(tasks)]
    submission = Submission("t", "name", "make", "/folder", "slurm", 1.0, journal_tasks, "7", ended)
    for index, one in enumerate(tasks):
        one.assign(submission, index)
    assert cancel_ids([tasks[index] for index in mine]) == expected
