"""An attempt on the node, with real processes and signals, as submitit's local cluster would start it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit import attempts
from snakemake_executor_plugin_submitit.attempts import Entry
from snakemake_executor_plugin_submitit.node import INTERRUPTED_STATUS
from snakemake_executor_plugin_submitit.requeue import own_end, own_state

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
job = node.NodeJob(sys.argv[1], ".", "attempts.jsonl", 2, int(sys.argv[2]), 1, int(sys.argv[3]), "local",
                   os.environ.get("TOKEN", ""), ("fence.jsonl",))
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
            env={**os.environ, "SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "1"},
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


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


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
    """As when a shell dies of SIGTERM and the training below goes on."""
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


def test_scontrols_record_is_read():
    record = "JobId=7 JobName=x JobState=RUNNING Reason=None EndTime=2026-11-22T15:00:00 Deadline=N/A"
    assert own_state(record) == "RUNNING"
    assert time.strftime("%H:%M", time.localtime(own_end(record))) == "15:00"
    assert own_state("") == "" and own_end("") is None and own_end("EndTime=Unknown") is None
