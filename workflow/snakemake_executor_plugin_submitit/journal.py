"""The journal: which job was handed to the cluster as what, so that a Snakemake that died finds its jobs again.

Snakemake's own marker of an external job id is overwritten when the job starts, so the plugin keeps its own. A line of
JSON an event, in four kinds: `submit` before sbatch is called, `id` after it, `cancel` and `end` of jobs. A submission
without an id may or may not have reached SLURM; its job name, which holds the token, tells.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_submitit.entry import attempts_name


@dataclass(frozen=True)
class Known:
    """A task as the journal knows it."""

    key: str  # identity of the Snakemake job (identity.py)
    outputs: tuple[str, ...]
    index: int
    timeouts_before: int = 0


@dataclass
class Submission:
    """One call of sbatch, or one job of the local cluster."""

    token: str
    name: str  # of the SLURM job
    rule: str
    folder: str
    cluster: str
    time: float
    tasks: list[Known]
    job_id: str | None = None
    ended: set[int] = field(default_factory=set)
    cancelled: set[int] = field(default_factory=set)

    def external_id(self, index: int) -> str:
        """Return the id of a task as squeue, sacct and submitit write it; an array of one is no array."""
        if self.job_id is None:
            raise ValueError(f"submission {self.token} has no job id yet")
        return f"{self.job_id}_{index}" if len(self.tasks) > 1 else self.job_id

    def attempts_file(self, index: int) -> Path:
        """Return the task's record of attempts."""
        return Path(self.folder) / attempts_name(self.token, index)

    @property
    def live(self) -> list[Known]:
        """Return the tasks that are not over."""
        return [task for task in self.tasks if task.index not in self.ended]


class InUse(Exception):
    """Another Snakemake keeps this journal."""


class Journal:
    """The journal's file, kept open and locked for as long as this Snakemake lives."""

    def __init__(self, path: Path) -> None:
        """Open and lock the journal; raise InUse if another process holds it."""
        self.path = path
        self._file = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.with_suffix(".owner")
            who = owner.read_text().strip() if owner.exists() else "another process"
            raise InUse(
                f"{path} is in use by {who}; wait for it, or set another folder with --submitit-folder"
            ) from None
        except OSError:
            pass  # a file system without locks; Snakemake's own lock has to do
        path.with_suffix(".owner").write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._unwritten: list[str] = []

    def live(self, oldest: float = 0) -> list[Submission]:
        """Return the submissions since `oldest` that have tasks which are not over; drop all others."""
        self._file.seek(0)
        submissions = [one for one in replay(self._file) if one.live and one.time >= oldest]
        self._rewrite(submissions)
        return submissions

    def submit(self, submission: Submission) -> None:
        """Write that a submission is about to be made. Raises OSError where it cannot be written."""
        self._write(_submit_record(submission))

    def accepted(self, submission: Submission) -> None:
        """Write the id that SLURM gave; where the disk is full, later (the job's name still finds it)."""
        self._write_or_keep({"do": "id", "token": submission.token, "id": submission.job_id})

    def ended(self, submission: Submission, indices: Iterable[int]) -> None:
        """Write that tasks are over; where the disk is full, later."""
        submission.ended.update(indices)
        self._write_or_keep({"do": "end", "token": submission.token, "index": sorted(submission.ended)})

    def cancelled(self, submission: Submission, indices: Iterable[int]) -> None:
        """Write that tasks were cancelled; they may still be saving when the next Snakemake starts."""
        submission.cancelled.update(indices)
        self._write_or_keep({"do": "cancel", "token": submission.token, "index": sorted(submission.cancelled)})

    def close(self) -> None:
        """Unlock the journal."""
        with contextlib.suppress(OSError):
            self._flush()
        self._file.close()

    def _write_or_keep(self, record: dict[str, Any]) -> None:
        self._unwritten.append(json.dumps(record))
        with contextlib.suppress(OSError):
            self._flush()

    def _write(self, record: dict[str, Any]) -> None:
        self._unwritten.append(json.dumps(record))
        try:
            self._flush()
        except OSError:
            self._unwritten.pop()
            raise

    def _flush(self) -> None:
        """Append what is unwritten, each line between newlines, so that one cut short spoils no other."""
        text = "".join(f"\n{line}\n" for line in self._unwritten)
        descriptor = self._file.fileno()
        data = text.encode()
        if data and os.write(descriptor, data) != len(data):
            raise OSError("the disk is full")
        os.fsync(descriptor)
        self._unwritten.clear()

    def _rewrite(self, submissions: list[Submission]) -> None:
        """Leave in the file only what is live, so that it does not grow from run to run.

        In place, since the lock belongs to the file; a crash in between loses nothing that a copy does not hold.
        """
        records: list[dict[str, Any]] = []
        for one in submissions:
            records.append(_submit_record(one))
            if one.job_id is not None:
                records.append({"do": "id", "token": one.token, "id": one.job_id})
            if one.cancelled:
                records.append({"do": "cancel", "token": one.token, "index": sorted(one.cancelled)})
            if one.ended:
                records.append({"do": "end", "token": one.token, "index": sorted(one.ended)})
        text = "".join(json.dumps(record) + "\n" for record in records)
        self._file.seek(0)
        if text == self._file.read():
            return
        copy = self.path.with_suffix(".copy")
        copy.write_text(text)
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        copy.unlink()


def replay(lines: Iterable[str]) -> list[Submission]:
    """Return the submissions that the journal's lines describe; broken lines are left out."""
    submissions: dict[str, Submission] = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            if record["do"] == "submit":
                tasks = [Known(**{**task, "outputs": tuple(task["outputs"])}) for task in record["tasks"]]
                fields = {key: record[key] for key in ("token", "name", "rule", "folder", "cluster", "time")}
                submissions[record["token"]] = Submission(**fields, tasks=tasks)
            elif record["do"] == "id":
                submissions[record["token"]].job_id = record["id"]
            elif record["do"] == "cancel":
                submissions[record["token"]].cancelled.update(record["index"])
            elif record["do"] == "end":
                submissions[record["token"]].ended.update(record["index"])
    return list(submissions.values())


def _submit_record(submission: Submission) -> dict[str, Any]:
    record = asdict(submission)
    del record["job_id"], record["ended"], record["cancelled"]
    return {"do": "submit", **record}
