"""A job's attempts, written by the node and read by the head: a line of JSON for each start and stop.

The record of a submission is next to the job's pickle, outlives a requeue, and says whether the job has finished
already (then it is not run again) and how often it timed out.

The fence of an output is a file of the same kind that all submissions for this output share. Before a submission the
head claims the output there; an attempt ends when the output is claimed for another submission, or when another
attempt has started. Only the order of the lines counts: the clocks of two machines are never compared.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import processes

CLAIM = "claim"  # by the head: another submission is to write this output
START = "start"
# How an attempt ended:
DONE = "done"
FAILED = "failed"
TIMEOUT = "timeout"  # stopped by a signal at its time limit
PREEMPTED = "preempted"  # stopped by a signal before that
STOPS = (DONE, FAILED, TIMEOUT, PREEMPTED)


@dataclass(frozen=True)
class Entry:
    """A claim, or a start or a stop of an attempt."""

    event: str
    attempt: str  # "<pid>-<time>-<host>" of the process that writes, unique
    time: float
    host: str = ""
    leader: int = 0  # process group of what the attempt started
    leader_started: str = ""  # by /proc, since process ids are reused
    job_id: str = ""
    token: str = ""  # of the submission


def read(path: Path) -> list[Entry]:
    """Return all entries; a line that was cut short by a crash or a full disk is left out."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            entries.append(Entry(**json.loads(line)))
    return entries


def read_if_possible(path: Path) -> list[Entry]:
    """Return all entries, none while the file cannot be read."""
    try:
        return read(path)
    except OSError:
        return []


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


def claim(fence: Path, token: str) -> None:
    """Claim an output for a submission. Raises OSError where that cannot be written."""
    fence.parent.mkdir(parents=True, exist_ok=True)
    entry = Entry(CLAIM, f"claim-{token}", time.time(), socket.gethostname(), token=token)
    with fence.open("a") as file:
        file.write("\n" + json.dumps(asdict(entry)) + "\n")


def record_end(fence: Path, token: str) -> None:
    """Record the end of a submission's attempts that were killed, once SLURM says that they have ended."""
    with contextlib.suppress(OSError):
        for entry in [one for one in unstopped(read(fence)) if one.token == token]:
            append(fence, Entry(FAILED, entry.attempt, time.time(), socket.gethostname(), token=token))


def count(entries: Sequence[Entry], event: str) -> int:
    """Return how often an event happened."""
    return sum(entry.event == event for entry in entries)


def unstopped(entries: Sequence[Entry]) -> list[Entry]:
    """Return the starts of attempts that have not recorded their end."""
    ended = {entry.attempt for entry in entries if entry.event in STOPS}
    return [entry for entry in entries if entry.event == START and entry.attempt not in ended]


def is_claimed_by_another(entries: Sequence[Entry], token: str) -> bool:
    """Return whether the last claim is another submission's."""
    claims = [entry.token for entry in entries if entry.event == CLAIM]
    return bool(token and claims) and claims[-1] != token


def superseding(entries: Sequence[Entry], attempt: str, token: str, known: Collection[str]) -> Entry | None:
    """Return the entry that takes the place of an attempt of submission `token`, None if there is none.

    `known` are the attempts and claims that the file held when this one began. A claim counts wherever it is: it may
    have come between that and the record of this attempt's start. A start counts if it is later than this one's, unless
    it is of a submission that has lost the output to this one.
    """
    claims = [entry for entry in entries if entry.event == CLAIM]
    for entry in reversed(claims):
        if entry.token != token and entry.attempt not in known:
            return entry
    owned = bool(token and claims) and claims[-1].token == token
    own = [index for index, entry in enumerate(entries) if entry.event == START and entry.attempt == attempt]
    later = entries[own[-1] + 1 :] if own else [entry for entry in entries if entry.attempt not in known]
    for entry in reversed(later):
        if entry.event == START and entry.attempt != attempt and not (owned and entry.token != token):
            return entry
    return None


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
    """A job's record and the fences of its outputs, as the attempt of this process reads and writes them."""

    def __init__(self, path: Path, fences: Sequence[str] = (), token: str = "") -> None:
        self.path, self._token = path, token
        self._files = [path, *map(Path, fences)]
        self.attempt = f"{os.getpid()}-{time.time():.6f}-{socket.gethostname()}"
        self._known: dict[Path, set[str]] = {}

    def read_all(self, patience_s: float) -> dict[Path, list[Entry]]:
        """Return what the record and the fences hold before this attempt starts; wait for what cannot be read."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                before = {file: read(file) for file in self._files}
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        self._known = {file: {entry.attempt for entry in entries} for file, entries in before.items()}
        return before

    def record(self, event: str, group: int = 0) -> bool:
        """Record an event of this attempt, whose process group is `group`; return whether that worked."""
        started = processes.started(group) if group else ""
        job_id = os.environ.get("SLURM_JOB_ID", "")
        place = socket.gethostname(), group, started, job_id, self._token
        entry = Entry(event, self.attempt, time.time(), *place)
        return all([append(file, entry) for file in self._files])

    def superseding(self) -> Entry | None:
        """Return what takes the place of this attempt, None if nothing does."""
        found = (superseding(read(file), self.attempt, self._token, self._known.get(file, ())) for file in self._files)
        return next((entry for entry in found if entry is not None), None)
