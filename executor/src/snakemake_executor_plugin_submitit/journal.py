"""The journal: which job was submitted as what, so that a restarted Snakemake finds the jobs of one that died.

Snakemake's own marker of an external job id is overwritten when the job starts, so the plugin keeps its own. Each event
is a line of JSON, of four kinds: `submit` before sbatch is called, `id` after it, `cancel` and `end` of jobs. A
submission without an id may or may not have reached SLURM; squeue finds it by its job name, which holds the token.

A journal may be copied with its folder, and one home may serve two clusters. So each submission names its own folder,
the folder in which sbatch ran, and the cluster; whoever reads the journal compares them with its own.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from snakemake_executor_plugin_submitit.names import attempts_name
from snakemake_executor_plugin_submitit.records import Handle, is_same_folder


@dataclass(frozen=True)
class JournalTask:
    """A task as the journal records it."""

    key: str  # identity of the Snakemake job (identity.py)
    outputs: tuple[str, ...]
    index: int
    timeouts_before: int = 0
    wildcards: str = ""  # in words
    newest_input: float | None = None  # when an input had changed last; None in journals of older versions


@dataclass
class Submission:
    """One call of sbatch, or one job of the local cluster."""

    token: str
    name: str  # of the SLURM job
    rule: str
    folder: str
    cluster: str
    time: float
    tasks: list[JournalTask]
    job_id: str | None = None
    ended: set[int] = field(default_factory=set)
    cancelled: set[int] = field(default_factory=set)
    workdir: str = ""  # where sbatch ran; like `site` '' in journals of older versions
    site: str = ""  # the SLURM cluster's name, or the machine's

    def external_id(self, index: int) -> str:
        """Return the id of a task as squeue, sacct and submitit write it; an array of one is no array."""
        if self.job_id is None:
            raise ValueError(f"submission {self.token} has no job id yet")
        return f"{self.job_id}_{index}" if len(self.tasks) > 1 else self.job_id

    def handle(self, index: int) -> Handle:
        """Return what identifies a task on the cluster."""
        return Handle(self.external_id(index), self.name, self.workdir, self.folder)

    def is_below(self, base: Path) -> bool:
        """Return whether this was submitted from the folder `base`, and not from one that `base` is a copy of."""
        own = Path(self.folder).parent.parent
        return own == base or is_same_folder(str(own), str(base))

    def attempts_file(self, index: int) -> Path:
        """Return the task's record of attempts."""
        return Path(self.folder) / attempts_name(self.token, index)

    @property
    def live(self) -> list[JournalTask]:
        """Return the tasks that have not ended."""
        return [task for task in self.tasks if task.index not in self.ended]

    def records(self) -> list[dict[str, Any]]:
        """Return the journal's records that describe this submission."""
        submit = {"do": "submit", **asdict(self)}
        del submit["job_id"], submit["ended"], submit["cancelled"]
        events = {"id": self.job_id, "cancel": sorted(self.cancelled), "end": sorted(self.ended)}
        return [submit, *(self.record(kind, value) for kind, value in events.items() if value)]

    def record(self, kind: str, value: Any) -> dict[str, Any]:
        """Return the journal's record of an event of this submission."""
        return {"do": kind, "token": self.token, "id" if kind == "id" else "index": value}


class InUse(Exception):
    """Another Snakemake keeps this journal."""


class Journal:
    """The journal's file, locked for as long as this Snakemake lives."""

    def __init__(self, path: Path) -> None:
        """Lock the journal; raise InUse if another process holds it."""
        self.path = path
        self._lock = _lock(path)
        path.touch(mode=0o600)
        self._unwritten: list[str] = []

    def live(self, oldest: float = 0) -> list[Submission]:
        """Return the submissions since `oldest` that have tasks which have not ended; drop all others."""
        text = self.path.read_text(errors="replace")
        submissions = [one for one in replay(text.splitlines()) if one.live and one.time >= oldest]
        self.keep(submissions)
        return submissions

    def keep(self, submissions: Iterable[Submission]) -> None:
        """Drop all other submissions, so that the file does not grow from run to run."""
        after = "".join(json.dumps(record) + "\n" for one in submissions for record in one.records())
        if after == self.path.read_text(errors="replace"):
            return
        copy = self.path.with_suffix(".copy")
        with copy.open("w") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        copy.replace(self.path)

    def submit(self, submission: Submission) -> None:
        """Record that a submission is about to be made. Raises OSError where it cannot be written."""
        self._unwritten.append(json.dumps(submission.records()[0]))
        try:
            self._flush()
        except OSError:
            self._unwritten.pop()
            raise

    def accepted(self, submission: Submission) -> None:
        """Record the id that SLURM gave. On a full disk this is written later; the job's name still finds it."""
        self._write_or_keep(submission.record("id", submission.job_id))

    def ended(self, submission: Submission, indices: Iterable[int]) -> None:
        """Record that tasks have ended; on a full disk this is written later."""
        submission.ended.update(indices)
        self._write_or_keep(submission.record("end", sorted(submission.ended)))

    def cancelled(self, submission: Submission, indices: Iterable[int]) -> None:
        """Record that tasks were cancelled; they may still be saving when the next Snakemake starts."""
        submission.cancelled.update(indices)
        self._write_or_keep(submission.record("cancel", sorted(submission.cancelled)))

    def close(self) -> None:
        """Unlock the journal."""
        with contextlib.suppress(OSError):
            self._flush()
        self._lock.release()

    def _write_or_keep(self, record: dict[str, Any]) -> None:
        self._unwritten.append(json.dumps(record))
        with contextlib.suppress(OSError):
            self._flush()

    def _flush(self) -> None:
        """Append what is unwritten, each line between newlines, so that a line cut short spoils no other."""
        data = "".join(f"\n{line}\n" for line in self._unwritten).encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if data and os.write(descriptor, data) != len(data):
                raise OSError("the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._unwritten.clear()


def _lock(path: Path) -> FileLock:
    """Lock the file that names the journal's owner."""
    owner = path.with_suffix(".owner")
    lock = FileLock(owner, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        who = owner.read_text().strip() or "another process"
        raise InUse(f"{path} is in use by {who}; wait for it, or set another folder with --submitit-folder") from None
    except OSError:
        pass  # a file system without locks; Snakemake's own lock has to do
    owner.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
    return lock


def replay(lines: Iterable[str]) -> list[Submission]:
    """Return the submissions that the journal's lines describe; broken lines are left out."""
    submissions: dict[str, Submission] = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            record = json.loads(line)
            kind, token = record["do"], record["token"]
            if kind == "submit":
                submissions[token] = _submission(record)
            elif kind == "id":
                submissions[token].job_id = str(record["id"])
            elif kind == "cancel":
                submissions[token].cancelled.update(map(int, record["index"]))
            elif kind == "end":
                submissions[token].ended.update(map(int, record["index"]))
    return list(submissions.values())


def _submission(record: dict[str, Any]) -> Submission:
    """Return the submission of a record; raise ValueError, KeyError or TypeError if the record is damaged."""
    token, name, rule, folder, cluster = (str(record[key]) for key in ("token", "name", "rule", "folder", "cluster"))
    tasks = [_task(**task) for task in record["tasks"]]
    workdir, site = str(record.get("workdir", "")), str(record.get("site", ""))
    return Submission(token, name, rule, folder, cluster, float(record["time"]), tasks, workdir=workdir, site=site)


def _task(
    key: str,
    outputs: Iterable[str],
    index: int,
    timeouts_before: int = 0,
    wildcards: str = "",
    newest_input: float | None = None,
    **newer: Any,
) -> JournalTask:
    """Return a task of a record; what a newer version of the plugin has added is left out."""
    files, newest = tuple(map(str, outputs)), None if newest_input is None else float(newest_input)
    return JournalTask(str(key), files, int(index), int(timeouts_before), str(wildcards), newest)
