"""Ctrl-C and SIGTERM at moments when the interrupt or the cancelling would be lost, or Snakemake would hang."""

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """Collect interrupts in the list that is returned; none is raised within the block."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # no other thread is ever interrupted
        yield received
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)


def survive_sigterm() -> None:
    """Have Snakemake 9.27 handle SIGTERM in a thread: its handler waits for a lock that the main thread may hold.

    The main thread runs the handler, and holds that lock while it processes the end of a job. A job gets SIGTERM more
    than once (from SLURM and from node.py), so a second one may arrive then, and its Snakemake would hang. Call this
    before Snakemake makes its scheduler, or in the executor, which Snakemake makes just before.
    """
    scheduler_class = scheduler()
    handle = scheduler_class.exit_gracefully
    if hasattr(handle, "__wrapped__"):
        return

    @functools.wraps(handle)
    def in_a_thread(self: Any, number: int, frame: FrameType | None) -> None:
        threading.Thread(target=handle, args=(self, number, frame), daemon=True).start()

    scheduler_class.exit_gracefully = in_a_thread


def scheduler() -> Any:
    """Return the class of Snakemake's scheduler; it moved in Snakemake 9.10."""
    try:
        from snakemake.scheduling.job_scheduler import JobScheduler
    except ModuleNotFoundError:
        from snakemake.scheduler import JobScheduler
    return JobScheduler


class InterruptGuard:
    """Repeats an interrupt that had no effect: Snakemake's log handler drops one that arrives while it writes."""

    def __init__(self, lost_after_s: float = 5.0) -> None:
        """Record interrupts from now on, where Python's own handler would raise them.

        One that has not cancelled anything after `lost_after_s` seconds counts as lost.
        """
        self._lost_after_s = lost_after_s
        self._received_at: float | None = None
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)

    def repeat_if_lost(self) -> None:
        """Interrupt the main thread again, which may be waiting for news; to be called by another thread."""
        if self._received_at is not None and time.monotonic() - self._received_at > self._lost_after_s:
            self._received_at = None
            main = threading.main_thread().ident
            if main is not None:
                signal.pthread_kill(main, signal.SIGINT)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raise the first interrupt; people press Ctrl-C twice, and the second one must not hit the cancelling."""
        now = time.monotonic()
        if self._received_at is not None and now - self._received_at < self._lost_after_s:
            return
        self._received_at = now
        raise KeyboardInterrupt
