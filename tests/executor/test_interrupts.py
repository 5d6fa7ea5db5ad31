"""Ctrl-C while something short must not be cut in two."""

import signal
import threading
import time

import pytest

from snakemake_executor_plugin_submitit import interrupts
from snakemake_executor_plugin_submitit.interrupts import Insistence, held_back


@pytest.fixture(autouse=True)
def interruptible():
    """A test run started in the background of a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_takes_effect_at_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_happens():
    with held_back():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_interrupt_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_lost_interrupt_is_repeated_once(monkeypatch):
    monkeypatch.setattr(interrupts, "LOST_S", 0.1)
    insistence = Insistence()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    insistence.repeat_if_lost()  # too early
    time.sleep(0.2)
    watcher = threading.Thread(target=insistence.repeat_if_lost)
    with pytest.raises(KeyboardInterrupt):
        watcher.start()
        threading.Event().wait(10)  # as Snakemake waits
    watcher.join()
    insistence.repeat_if_lost()


def test_a_handler_of_somebody_elses_is_left_alone():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Insistence()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
