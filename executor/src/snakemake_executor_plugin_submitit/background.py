"""Work in threads of its own, where no interrupt can hit it halfway.

Python raises KeyboardInterrupt in the main thread only. Were sbatch called there, an interrupt would lose the id of a
job that is about to exist.
"""

import signal
import threading
from collections.abc import Callable

from snakemake_executor_plugin_submitit import interrupts


class Work:
    """Something that a thread does."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._failure: BaseException | None = None
        # An interrupted Thread.join takes a running thread for ended (Python 3.11), so its end is an event.
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def is_under_way(self) -> bool:
        """Return whether it has not ended."""
        return not self._ended.is_set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for its end, and raise what it raised."""
        if self._ended.wait(seconds) and self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._do()
        except BaseException as error:
            self._failure = error
        finally:
            self._ended.set()


class Background:
    """Does work in threads; an interrupt ends the waiting, and never the work."""

    def __init__(self) -> None:
        self._works: list[Work] = []

    def run(self, do: Callable[[], None]) -> None:
        """Do the work and wait for its end; raise what it raises."""
        self.start(do).wait()

    def start(self, do: Callable[[], None]) -> Work:
        """Start the work."""
        with interrupts.counted() as received:  # work that has begun and is in no list could not be waited for
            work = Work(do)
            self._works = [*self.others(), work]
        for number in received:
            signal.raise_signal(number)
        return work

    def others(self) -> list[Work]:
        """Return all work that is under way, that of the calling thread excepted."""
        own = threading.current_thread()
        return [work for work in self._works if work.is_under_way() and work.thread is not own]
