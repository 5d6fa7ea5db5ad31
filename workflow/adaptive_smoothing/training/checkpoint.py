"""Checkpoints: what a killed run needs to end in the same bytes as one that ran through.

A checkpoint lies beside the run's metrics and is not a Snakemake output (Snakemake deletes those before a job starts).
It holds the run's state between two steps and the identity of what made it; one that does not match, or is damaged, is
discarded with a line in the log. Signal handlers only set a flag; saving happens between steps.
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

    def __init__(self, path: Path, identity: dict[str, str], minutes: float, epochs: int = 0) -> None:
        """Keep the state in `path`, for a run of this identity, when told to stop and every so many minutes or epochs.

        Zero epochs: by minutes alone.
        """
        self.path = path
        self.identity = identity
        self.seconds = 60 * minutes
        self.epochs = epochs
        self.saved = time.monotonic()
        self.told_to_stop = False

    def restore(self) -> State | None:
        """Return the saved state; None, with a line in the log and the file removed, if it cannot serve."""
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = content["identity"], content["state"]
        except Exception as error:  # torch raises half a dozen kinds for a damaged file
            self._discard(f"damaged ({type(error).__name__})")
            return None
        if identity != self.identity:
            changed = sorted(key for key in self.identity if identity.get(key) != self.identity[key])
            self._discard(f"made by another {' and '.join(changed)}")
            return None
        restored: State = state
        return restored

    def after_step(self, state: Callable[[], State]) -> None:
        """Save if it is time; save and raise Stopped if a signal came."""
        if self.told_to_stop:
            self._save(state())
            raise Stopped(f"told to stop; saved in {self.path}, from where the run goes on when started again")
        if time.monotonic() - self.saved >= self.seconds:
            self._save(state())

    def after_epoch(self, epoch: int, state: Callable[[], State]) -> None:
        """Save if so many epochs were trained."""
        if self.epochs and epoch % self.epochs == 0:
            self._save(state())

    def remove(self) -> None:
        """Delete the file: the run has ended."""
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGTERM and SIGUSR2 ask for a save and a stop, instead of killing."""
        previous = {number: signal.signal(number, self._told) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.told_to_stop = True

    def _save(self, state: State) -> None:
        with atomic_write(self.path) as temporary:
            torch.save({"identity": self.identity, "state": state}, temporary)
        self.saved = time.monotonic()

    def _discard(self, reason: str) -> None:
        log(f"checkpoint {self.path} is {reason}; discarded, training starts anew")
        self.remove()


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
