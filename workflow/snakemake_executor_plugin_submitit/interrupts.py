"""Ctrl-C and SIGTERM at a moment at which something would be lost, the interrupt itself, or Snakemake."""

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

LOST_S = 5.0  # after an interrupt, without anything being cancelled


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let an interrupt that comes meanwhile take effect at the end; for what lasts a fraction of a second."""
    if threading.current_thread() is not threading.main_thread():  # no other thread is ever interrupted
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
        if came and before is not signal.SIG_IGN:
            signal.raise_signal(signal.SIGINT)


def survive_sigterm() -> None:
    """Have Snakemake 9.27 handle SIGTERM in a thread: its handler waits for a lock that the main thread may hold.

    The main thread, which runs the handler, holds that lock while it deals with a job that has ended. A job gets
    SIGTERM more than once (from SLURM and from node.py), so that one may well come then, and its Snakemake hung.
    Must be called before Snakemake makes its scheduler, or by the executor, which it makes just before.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    handle = JobScheduler.exit_gracefully
    if hasattr(handle, "__wrapped__"):
        return

    @functools.wraps(handle)
    def in_a_thread(scheduler: JobScheduler, number: int, frame: FrameType | None) -> None:
        threading.Thread(target=handle, args=(scheduler, number, frame), daemon=True).start()

    JobScheduler.exit_gracefully = in_a_thread


class Insistence:
    """Repeats an interrupt that nobody acted on: Snakemake's log handler drops one that comes while it writes."""

    def __init__(self) -> None:
        """Note interrupts from now on, where Python's own handler would raise them."""
        self._came: float | None = None
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._came = time.monotonic()
        raise KeyboardInterrupt

    def repeat_if_lost(self) -> None:
        """Interrupt the main thread again, which may be waiting for news; to be called by another one."""
        if self._came is not None and time.monotonic() - self._came > LOST_S:
            self._came = None
            main = threading.main_thread().ident
            if main is not None:
                signal.pthread_kill(main, signal.SIGINT)
