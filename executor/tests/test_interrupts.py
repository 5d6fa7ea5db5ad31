"""Interrupts that are lost, repeated or counted, and SIGTERM while Snakemake processes a job's end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from snakemake_executor_plugin_submitit.interrupts import InterruptGuard, counted


@pytest.fixture(autouse=True)
def interruptible():
    """A test run started in the background of a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupts_are_counted_and_not_raised():
    with counted() as received:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert received == [signal.SIGINT] * 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with counted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_lost_interrupt_is_repeated_once():
    guard = InterruptGuard(lost_after_s=0.1)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    guard.repeat_if_lost()  # too early
    time.sleep(0.2)
    watcher = threading.Thread(target=guard.repeat_if_lost)
    with pytest.raises(KeyboardInterrupt):
        watcher.start()
        threading.Event().wait(10)  # as Snakemake waits
    watcher.join()
    guard.repeat_if_lost()


def test_a_second_interrupt_soon_after_the_first_does_not_hit_the_cancelling():
    InterruptGuard(lost_after_s=60)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def test_a_handler_of_somebody_elses_is_left_alone():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    InterruptGuard()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


WORKFLOW = """
import sys, time
from snakemake_executor_plugin_submitit import interrupts

JobScheduler = interrupts.scheduler()
deal_with_failures = JobScheduler._error_jobs

def slowly(scheduler):
    if scheduler._toerror:
        open("locked", "w").close()
        time.sleep(1)
    deal_with_failures(scheduler)

JobScheduler._error_jobs = slowly

rule saves_and_ends:
    output: "never.txt"
    shell: "{sys.executable} -c 'import os, signal; os.mkdir(\\"begun\\"); signal.pause()'"
"""


@pytest.mark.slow
def test_sigterm_while_snakemake_holds_its_lock(tmp_path):
    """The lock is held while a failed job is dealt with, and the handler of SIGTERM wants it."""
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    module = "snakemake_executor_plugin_submitit.node_snakemake"
    process = subprocess.Popen(
        [sys.executable, "-m", module, "-m", "snakemake", "never.txt", "--cores", "1"],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for sign in ("begun", "locked"):
            deadline = time.monotonic() + 60
            while not (tmp_path / sign).exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 1 and "Will exit after finishing" in said, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
