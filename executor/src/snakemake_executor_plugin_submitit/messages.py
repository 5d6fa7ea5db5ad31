"""The plugin's messages: to Snakemake's log on the head, to the job's log on a node."""

import contextlib
import os
from collections.abc import Iterable
from typing import Any


class Messages:
    """Snakemake's log, with the plugin's name in front of every line."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def info(self, text: str) -> None:
        """Report an event."""
        self._log.info(f"submitit executor: {text}.")

    def warning(self, text: str) -> None:
        """Report a problem."""
        self._log.warning(f"submitit executor: {text}.")


def few(items: Iterable[str], most: int = 3) -> str:
    """Return the first items, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def describe(error: BaseException) -> str:
    """Return an unexpected error in words."""
    return f"{type(error).__name__}: {error}"


def write_to_job_log(text: str) -> None:
    """Write a line to the job's log; a full disk must not end the job."""
    with contextlib.suppress(OSError):
        os.write(2, f"submitit executor: {text}\n".encode())
