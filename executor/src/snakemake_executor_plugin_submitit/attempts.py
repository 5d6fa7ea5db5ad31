"""A job's attempts, written by the node and read by the head: a line of JSON for each start and stop.

The file is next to the job's pickle, outlives a requeue, and answers three questions: has the job finished already
(then it is not run again), how often did it time out, and is another attempt of it running?
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import processes

START = "start"
# How an attempt ended:
DONE = "done"
FAILED = "failed"
TIMEOUT = "timeout"  # stopped by a signal at its time limit
PREEMPTED = "preempted"  # stopped by a signal before that
STOPS = (DONE, FAILED, TIMEOUT, PREEMPTED)


@dataclass(frozen=True)
class Entry:
    """A start or a stop of an attempt."""

    event: str
    attempt: str  # "<pid>-<time>" of the process that writes, unique
    time: float
    host: str = ""
    leader: int = 0  # process group of what the attempt started
    leader_started: str = ""  # by /proc, since process ids are reused
    job_id: str = ""


def read(path: Path) -> list[Entry]:
    """Return all entries; a line that was cut short by a crash or a full disk is left out."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            entries.append(Entry(**json.loads(line)))
    return entries


def append(path: Path, entry: Entry) -> bool:
    """Add an entry and return whether that worked; a full disk must not end the job."""
    try:
        with path.open("a") as file:
            file.write("\n" + json.dumps(asdict(entry)) + "\n")  # the first newline ends a line that was cut short
            file.flush()
            os.fsync(file.fileno())
        return True
    except OSError:
        return False


def count(entries: Sequence[Entry], event: str) -> int:
    """Return how often an event happened."""
    return sum(entry.event == event for entry in entries)


def last_start(entries: Sequence[Entry]) -> Entry | None:
    """Return the latest start, None before the first."""
    return next((entry for entry in reversed(entries) if entry.event == START), None)


def stopped(entries: Sequence[Entry], attempt: str) -> bool:
    """Return whether this attempt has recorded its end."""
    return any(entry.event in STOPS and entry.attempt == attempt for entry in entries)


def wants_restart(entries: Sequence[Entry]) -> bool:
    """Return whether the last entry says that the job saved its state and wants to be started again."""
    return bool(entries) and entries[-1].event in (TIMEOUT, PREEMPTED)


def summary(entries: Sequence[Entry], max_timeouts: int, timeouts_before: int = 0) -> str:
    """Return in words how often the job was interrupted, '' if it was not."""
    timeouts = count(entries, TIMEOUT) + timeouts_before
    started = len({entry.attempt for entry in entries if entry.event == START})
    others = max(0, started - 1 - count(entries, TIMEOUT))
    parts = []
    if timeouts:
        parts.append(f"{min(timeouts, max_timeouts)} of {max_timeouts} requeues after its time limit")
    if others:
        parts.append(f"{others} requeue{'s' if others > 1 else ''} after a preemption or a lost node")
    return " and ".join(parts)


class AttemptLog:
    """A job's record of attempts, as the attempt of this process reads and writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.time()
        self._attempt = f"{os.getpid()}-{self._began:.6f}"

    def record(self, event: str, group: int = 0) -> bool:
        """Record an event of this attempt, whose process group is `group`; return whether that worked."""
        started = processes.started(group) if group else ""
        job_id = os.environ.get("SLURM_JOB_ID", "")
        return append(self.path, Entry(event, self._attempt, time.time(), socket.gethostname(), group, started, job_id))

    def newer_attempt(self) -> Entry | None:
        """Return the start of an attempt that began after this one, None if there is none."""
        last = last_start(read(self.path))
        newer = last is not None and last.attempt != self._attempt and last.time > self._began
        return last if newer else None
