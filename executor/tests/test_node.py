"""An attempt on the node, with real processes and signals, as submitit's local cluster would start it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_testing.waiting import alive, wait_for

from snakemake_executor_plugin_submitit import attempts
from snakemake_executor_plugin_submitit.attempts import Entry
from snakemake_executor_plugin_submitit.node import INTERRUPTED_STATUS
from snakemake_executor_plugin_submitit.requeue import _requeued_or_hopeless, own_state, seconds_left

AGAIN = 144  # submitit's local "requeue me"
# In Python: a shell cannot trap a signal that was ignored when it began.
LISTENER = """
import os, signal, sys, time
def stop(number, frame):
    time.sleep({delay})
    print("saved", flush=True)
    sys.exit({status})
for name in {signals!r}.split():
    signal.signal(getattr(signal, name), stop)
open("pid", "w").write(str(os.getpid()))
time.sleep(100)
"""
MAIN = """
import os, socket, sys
socket.gethostname = lambda: os.environ.get("HOST", "here")
from snakemake_executor_plugin_submitit import node
timing = node.Timing(fence_s=0.5, clock_s=float(os.environ.get("CLOCK_S", 5)))
job = node.NodeJob(sys.argv[1], ".", os.environ.get("RECORD", "attempts.jsonl"), 2, int(sys.argv[2]), 1,
                   int(sys.argv[3]), os.environ["SUBMITIT_EXECUTOR"], os.environ.get("TOKEN", ""), ("fence.jsonl",))
print("summary:", node.Attempt(job, timing).run())
"""


def listening(signals, status=75, delay=0):
    """Return a command that ends with `status` when it gets one of the signals."""
    return f"{sys.executable} -c {shlex.quote(LISTENER.format(signals=signals, status=status, delay=delay))}"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts an attempt in tmp_path."""
    monkeypatch.chdir(tmp_path)
    started = []

    def attempt(command, delay=120, before=0):
        (tmp_path / "pid").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, command, str(delay), str(before)],
            env={"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "1", **os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        if "pid" in command:
            wait_for(lambda: Path("pid").exists() and Path("pid").read_text())
        return process

    yield attempt
    for process in started:
        process.kill()
        process.communicate()


def told(process, number):
    process.send_signal(number)
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


def events():
    return [entry.event for entry in attempts.read(Path("attempts.jsonl"))]


def test_time_limits_are_bounded_and_counted_aloud(start):
    status, text = told(start(listening("SIGUSR2")), signal.SIGUSR2)
    assert status == AGAIN and "state saved: requeue 1 of 1" in text
    status, text = told(start(listening("SIGUSR2")), signal.SIGUSR2)
    assert status == 1 and "told to stop at its time limit once more, and none of 1 requeues is left" in text
    assert events() == ["start", "timeout", "start", "timeout", "failed"]


def test_time_limits_of_an_earlier_submission_count(start):
    status, _ = told(start(listening("SIGUSR2"), before=1), signal.SIGUSR2)
    assert status == 1


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_preemptions_are_not_bounded(start, number):
    for _ in range(3):
        status, text = told(start(listening("SIGUSR2 SIGTERM"), delay=10), number)
        assert status == AGAIN and "saved" in text
    assert events() == ["start", "preempted"] * 3


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGUSR2, AGAIN), (signal.SIGTERM, 1)])
def test_only_sigterm_at_the_limit_says_that_the_job_did_not_stop(start, monkeypatch, number, expected):
    """One that is slow to save has stopped when told to, even if the limit is there by then."""
    monkeypatch.setenv("CLOCK_S", "1000")
    status, text = told(start(listening("SIGUSR2 SIGTERM")), number)
    assert status == expected
    assert ("reached its time limit" in text) == (number == signal.SIGTERM)


def test_what_ends_well_after_a_signal_is_a_success(start):
    process = start(listening("SIGTERM", status=0, delay=1))
    assert told(process, signal.SIGTERM)[0] == 0
    assert events() == ["start", "done"]


def test_what_does_not_listen_to_sigusr2_goes_on(start):
    assert told(start("echo $$ >pid; sleep 2"), signal.SIGUSR2)[0] == 0


def test_something_that_still_saves_after_the_command_has_died_is_waited_for(start):
    """As when a shell dies of SIGTERM and the program below goes on."""
    process = start("(trap '' TERM; sleep 2; echo saved >state) & echo $$ >pid; exec sleep 100")
    assert told(process, signal.SIGTERM)[0] == AGAIN
    assert Path("state").read_text() == "saved\n"


def test_a_job_that_is_done_is_not_run_again(start):
    for _ in range(2):
        process = start("echo x >>runs")
        assert process.wait(60) == 0
    assert Path("runs").read_text() == "x\n"


def test_a_former_attempt_here_is_ended_first(start):
    first = start("echo $$ >pid; sleep 100")
    pid = int(Path("pid").read_text())
    second = start("sleep 0.2")
    assert second.wait(60) == 0
    assert not alive(pid)
    assert first.wait(60) != 0


def test_an_attempt_ends_when_a_newer_one_has_begun_elsewhere(start):
    process = start("echo $$ >pid; sleep 100")
    pid = int(Path("pid").read_text())
    attempts.append(Path("attempts.jsonl"), Entry(attempts.START, "1-1", time.time() + 1, host="elsewhere"))
    assert process.wait(60) == INTERRUPTED_STATUS
    wait_for(lambda: not alive(pid), 10)


def test_an_attempt_ends_when_its_output_is_claimed_for_another_submission(start, monkeypatch):
    monkeypatch.setenv("TOKEN", "old")
    attempts.claim(Path("fence.jsonl"), "old")
    process = start("echo $$ >pid; sleep 100")
    pid = int(Path("pid").read_text())
    attempts.claim(Path("fence.jsonl"), "new")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED_STATUS and "another submission has claimed its output" in text
    wait_for(lambda: not alive(pid), 10)


def test_a_job_whose_output_is_another_submissions_does_not_begin(start, monkeypatch):
    monkeypatch.setenv("TOKEN", "old")
    attempts.claim(Path("fence.jsonl"), "old")
    attempts.claim(Path("fence.jsonl"), "new")
    process = start("echo x >>runs")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED_STATUS and "another submission's by now" in text
    assert not Path("runs").exists()


def test_a_new_submission_waits_until_the_former_one_elsewhere_has_noticed(start, monkeypatch):
    """As after a lost node where SLURM may not requeue: another token, another record, the same output."""
    monkeypatch.setenv("TOKEN", "old")
    monkeypatch.setenv("HOST", "cut-off")
    attempts.claim(Path("fence.jsonl"), "old")
    old = start("echo old >>ledger; echo $$ >pid; sleep 100; echo end >>ledger")
    Path("attempts.jsonl").unlink()
    attempts.claim(Path("fence.jsonl"), "new")
    monkeypatch.setenv("TOKEN", "new")
    monkeypatch.setenv("HOST", "here")
    new = start("echo new >>ledger")
    text, _ = new.communicate(timeout=60)
    assert new.returncode == 0 and "a former attempt on cut-off did not say that it ended; waiting" in text
    assert old.wait(1) == INTERRUPTED_STATUS  # before the new one began
    assert Path("ledger").read_text() == "old\nnew\n"


def test_a_failure_shows_the_last_lines_and_leaves_no_process(start):
    process = start("sleep 100 & echo $! >pid; echo the reason; exit 3")
    pid = int(Path("pid").read_text())
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and "JobFailed: exit status 3; its last lines:\nthe reason\n" in text
    wait_for(lambda: not alive(pid), 10)


def test_a_job_whose_pickle_is_gone_has_not_succeeded(tmp_path):
    command = [sys.executable, "-m", "snakemake_executor_plugin_submitit.node_main", str(tmp_path), "token"]
    done = subprocess.run(command, env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the pickle of this job is missing in " in done.stderr


@pytest.mark.parametrize(
    ("limit", "ran", "expected"),
    [
        ("00:05:00", "00:00:12", 288.0),
        ("1-01:00:00", "1-00:59:50", 10.0),
        ("00:01:00", "00:01:03", -3.0),
        ("UNLIMITED", "00:00:12", float("inf")),
        ("Partition_Limit", "00:00:12", None),
        ("", "", None),
    ],
)
def test_what_is_left_of_the_time_limit_does_not_depend_on_when_slurm_ends_a_job(limit, ran, expected):
    record = f"JobId=7 JobState=COMPLETING RunTime={ran} TimeLimit={limit} EndTime=2026-11-22T15:00:00"
    assert seconds_left(record) == expected
    assert own_state(record) == "COMPLETING" and own_state("") == ""


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Return a function that puts a script in place of scontrol; its calls are noted."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")

    def write(script):
        (tmp_path / "bin/scontrol").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n{script}\n')
        (tmp_path / "bin/scontrol").chmod(0o755)

    return write


def test_a_cancelled_job_has_not_reached_its_time_limit(start, scontrol, monkeypatch):
    """SLURM calls it COMPLETING, and its EndTime is now; so does a preemption with PreemptMode=CANCEL."""
    scontrol("echo JobState=COMPLETING RunTime=00:00:12 TimeLimit=00:05:00 EndTime=$(date +%FT%T) Requeue=1")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    status, text = told(start(listening("SIGTERM")), signal.SIGTERM)
    assert status == INTERRUPTED_STATUS and "time limit" not in text
    assert "SLURM says COMPLETING" in text and events() == ["start", "preempted"]


@pytest.mark.parametrize(
    ("script", "record", "over"),
    [
        ("true", "Requeue=1", True),
        ("echo 'Requested operation is presently disabled' >&2; exit 1", "Requeue=1", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", "Requeue=1", False),
        ("exit 1", "Requeue=0", True),
    ],
)
def test_a_requeue_that_the_site_forbids_is_not_asked_for_again_and_again(scontrol, script, record, over):
    scontrol(script)
    assert _requeued_or_hopeless("7", record) is over


def test_a_record_that_cannot_be_read_for_a_while_ends_no_job(start):
    process = start("echo $$ >pid; sleep 2")
    wait_for(lambda: events() == ["start"])
    Path("fence.jsonl").unlink()
    Path("fence.jsonl").mkdir()
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "cannot read attempts.jsonl (Is a directory); the job goes on" in text


def test_a_folder_that_is_deleted_meanwhile_is_made_again(start, tmp_path, monkeypatch):
    monkeypatch.setenv("RECORD", "records/attempts.jsonl")
    (tmp_path / "records").mkdir()
    process = start("rm -r records; echo done")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "summary:" in text
    assert (tmp_path / "records").is_dir()
