"""Checkpoints: a run that was killed and resumed ends in the same bytes as an uninterrupted one.

A checkpoint lies beside the run's metrics and is not a Snakemake output (Snakemake deletes those before a job starts).
It holds the run's state between two steps and the identity of the run. A checkpoint that does not match, or is damaged,
is discarded with a line in the log. Signal handlers only set a flag; the state is saved between steps.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.interrupts import STOP_SIGNALS, Stopped
from adaptive_smoothing.core.log import log

State = dict[str, Any]


class Checkpoint:
    """One run's checkpoint file."""

    def __init__(
        self,
        path: Path,
        identity: dict[str, str],
        minutes: float,
        epochs: int = 0,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Keep the state of the run with this `identity` in `path`.

        It is saved on a stop signal, every `minutes`, and every `epochs` (0: by minutes alone). `check` forbids it by
        an error.
        """
        self.check = check
        self.path = path
        self.identity = identity
        self.seconds = 60 * minutes
        self.epochs = epochs
        self.saved = time.monotonic()
        self.stop_requested = False

    def restore(self) -> State | None:
        """Return the saved state; None, with a line in the log and the file removed, if it does not fit."""
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = content["identity"], content["state"]
        except Exception as error:  # torch raises half a dozen kinds for a damaged file
            log(f"checkpoint {self.path} is damaged ({type(error).__name__}); discarded, training starts anew")
            self.remove()
            return None
        if changed := sorted(key for key in self.identity if identity.get(key) != self.identity[key]):
            log(f"checkpoint {self.path} has another {' and '.join(changed)}; discarded, training starts anew")
            self.remove()
            return None
        restored: State = state
        return restored

    def after_step(self, state: Callable[[], State]) -> None:
        """Save if it is time; save and raise Stopped if a signal came."""
        if self.stop_requested:
            self._save(state())
            raise Stopped(f"stopped by a signal; state saved in {self.path}, rerun to resume")
        if time.monotonic() - self.saved >= self.seconds:
            self._save(state())

    def after_epoch(self, epoch: int, state: Callable[[], State]) -> None:
        """Save if `epoch`, the number of finished epochs, is a multiple of the interval."""
        if self.epochs and epoch % self.epochs == 0:
            self._save(state())

    @contextlib.contextmanager
    def kept_on_failure(self, state: Callable[[], State]) -> Iterator[None]:
        """Save the state of a finished run whose results cannot be written, whatever the reason."""
        try:
            yield
        except BaseException:
            try:
                self._save(state())
                log(f"the results could not be written; the final state is saved in {self.path}, rerun to write them")
            except Exception as error:
                log(f"the final state cannot be saved either ({error})")
            raise

    def remove(self) -> None:
        """Delete the file: the run has ended."""
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGTERM and SIGUSR2 request a save and a stop, instead of killing the process."""
        previous = {number: signal.signal(number, self._request_stop) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def _save(self, state: State) -> None:
        with atomic_write(self.path, self.check) as temporary:
            torch.save({"identity": self.identity, "state": state}, temporary)
        self.saved = time.monotonic()


def generators() -> State:
    """Return the states of torch's global generators."""
    state: State = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_generators(state: State) -> None:
    """Restore what `generators` returned."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
