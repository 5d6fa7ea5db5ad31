"""Ctrl-C, once or more, while sbatch or scancel is slow: every job is cancelled, or named with the command for it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import submitit  # noqa: F401  # else the first submission spends a moment on this
from fake_slurm import FakeSlurm

from snakemake_executor_plugin_submitit import Executor, ExecutorSettings, interrupts
from snakemake_executor_plugin_submitit.background import Background
from snakemake_executor_plugin_submitit.canceller import Canceller
from snakemake_executor_plugin_submitit.journal import Journal
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.reattach import OrphanedJobs
from snakemake_executor_plugin_submitit.request import request_of
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import Commands, Slurm
from snakemake_executor_plugin_submitit.submitter import Submitter
from snakemake_executor_plugin_submitit.task import Task

SLOW_S = 0.8


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", fake.path)
    return fake


@pytest.fixture
def executor(slurm, tmp_path, caplog, monkeypatch):
    """Return an executor without a Snakemake: its scheduler and wait thread are left out."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("snakemake_executor_plugin_submitit.canceller.UNHEARD_S", 3.0)
    monkeypatch.setattr("snakemake_executor_plugin_submitit.canceller.PAUSE_S", 0.1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    one = Executor.__new__(Executor)
    messages = Messages(logging.getLogger("test"))
    journal = Journal(tmp_path / "journal.jsonl")
    cluster = Slurm(Commands(30, messages))
    one.interrupt_guard = interrupts.InterruptGuard(lost_after_s=60)
    one.run = Run(ExecutorSettings(), cluster, journal, tmp_path / "run", str(tmp_path), messages)
    one.orphans = OrphanedJobs([], one.run)
    one.submitter = Submitter(one.run, lambda tasks: None, lambda tasks, reason: None)
    one.canceller, one.background, one.logger = Canceller(one.run), Background(), logging.getLogger("test")
    one.watch = SimpleNamespace(hurry=lambda: None)
    one.stop_watching = lambda: None
    yield one
    signal.signal(signal.SIGINT, before)


def tasks(count):
    request = request_of({"runtime": 10}, 1, 90)
    return [Task(None, "train", f"key{index}", (f"out{index}",), request, "true") for index in range(count)]


def interrupt(slurm, *programs):
    """Interrupt this process once for each program, soon after its next call."""
    for program in programs:
        before = len(slurm.calls(program)) if program else 0
        while program and len(slurm.calls(program)) == before:
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)


def submit_and_cancel(executor, slurm, count, *programs):
    """Submit as Snakemake does in its main thread, interrupt during these programs, and cancel as Snakemake then does.

    '' stands for the next moment.
    """
    interrupting = threading.Thread(target=interrupt, args=(slurm, *programs))
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        executor.background.run(lambda: executor._submit(tasks(count)))
        time.sleep(60)
    executor.cancel()
    interrupting.join()


@pytest.mark.parametrize("moments", [("sbatch",), ("sbatch", ""), ("sbatch", "scancel")])
def test_a_submission_under_way_is_cancelled_once_its_id_is_known(executor, slurm, caplog, moments):
    for program in ("sbatch", "scancel"):
        slurm.set(f"{program}.delay", SLOW_S)
    submit_and_cancel(executor, slurm, 2, *moments)
    assert [job["cancelled"] for job in slurm.jobs()] == [True, True]
    assert "waiting for sbatch to answer" in caplog.text and "all of them have ended" in caplog.text
    assert executor.run.journal.live()[0].cancelled == {0, 1}
    assert "by hand" not in caplog.text


def test_a_second_interrupt_does_not_stop_scancel(executor, slurm, caplog):
    executor._submit(tasks(3))
    slurm.set("scancel.delay", SLOW_S)
    submit_and_cancel(executor, slurm, 0, "", "scancel")
    assert all(job["cancelled"] for job in slurm.jobs()) and len(slurm.jobs()) == 3
    assert "one more interrupt ends the waiting" in caplog.text and "all of them have ended" in caplog.text


def test_a_third_interrupt_names_what_is_not_confirmed(executor, slurm, caplog):
    executor._submit(tasks(2))
    slurm.set("scancel.delay", SLOW_S)
    submit_and_cancel(executor, slurm, 0, "", "scancel", "")
    assert "not confirmed to be cancelled; by hand: scancel 1" in caplog.text
    for work in executor.background.others():
        work.wait()


def test_a_third_interrupt_names_a_submission_without_an_id_too(executor, slurm, caplog):
    slurm.set("sbatch.delay", 3 * SLOW_S)
    submit_and_cancel(executor, slurm, 1, "sbatch", "", "")
    assert "not confirmed to be cancelled; by hand: scancel --me --name=smk-train-" in caplog.text
    for work in executor.background.others():
        work.wait()


def test_an_sbatch_without_an_answer_is_cancelled_by_name(executor, slurm, caplog, tmp_path):
    """As when slurmctld takes the job, and 'Socket timed out' is all that sbatch says."""
    (tmp_path / "slurm/sbatch").rename(tmp_path / "slurm/real")
    (tmp_path / "slurm/sbatch").write_text(
        '#!/bin/sh\necho \'["sbatch"]\' >>"${0%/*}/calls"; "$0.later" "$@" &\n'
        "echo 'Socket timed out on send/recv operation' >&2; exit 1\n"
    )
    (tmp_path / "slurm/sbatch.later").write_text(
        f'#!/bin/sh\nsleep 1; cp {tmp_path}/slurm/real {tmp_path}/slurm/sbatch; exec {tmp_path}/slurm/sbatch "$@"\n'
    )
    for name in ("sbatch", "sbatch.later"):
        (tmp_path / "slurm" / name).chmod(0o755)
    submit_and_cancel(executor, slurm, 1, "sbatch")
    assert [job["cancelled"] for job in slurm.jobs()] == [True]
    assert "which sbatch had submitted without an answer" in caplog.text


def test_cancelling_during_an_outage_names_the_commands(executor, slurm, caplog):
    executor._submit(tasks(2))
    for program in ("squeue", "scancel"):
        slurm.set(f"{program}.fails", "Unable to contact slurm controller")
    executor.canceller.report_survivors = lambda: None
    submit_and_cancel(executor, slurm, 0, "")
    assert "cancelling failed" in caplog.text and "by hand: scancel 1" in caplog.text
    assert executor.run.journal.live()[0].cancelled == set()


WORKFLOW = """
rule all:
    input: "a.txt", "b.txt"

rule make:
    output: "{name}.txt"
    resources: runtime=10
    shell: "touch {output}"
"""


@pytest.mark.slow
def test_two_interrupts_of_snakemake_itself_during_a_slow_sbatch(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    slurm.set("sbatch.delay", 2)
    slurm.set("scancel.delay", 2)
    command = [sys.executable, "-m", "snakemake", "--executor", "submitit", "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    )
    while not slurm.calls("sbatch"):
        assert process.poll() is None
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    text, _ = process.communicate(timeout=300)
    assert [job["cancelled"] for job in slurm.jobs()] == [True, True], text
    assert "cancelling 2 jobs: 1" in text and "all of them have ended" in text and "Traceback" not in text


@pytest.mark.slow
def test_sigterm_ends_a_snakemake_whose_jobs_no_cluster_takes(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    slurm.set("limit", 0)
    command = [sys.executable, "-m", "snakemake", "--executor", "submitit", "--jobs", "2"]
    command += ["--seconds-between-status-checks", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(slurm.calls("sbatch")) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and "Snakemake was told to end before the cluster took it" in text
    assert "does not take 2 jobs of make at once" in text and "--submitit-max-array-size" in text
