"""A Snakemake job on its way: waiting to be submitted, or submitted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from snakemake_executor_plugin_submitit import attempts, names
from snakemake_executor_plugin_submitit.journal import JournalTask, Submission
from snakemake_executor_plugin_submitit.records import Handle
from snakemake_executor_plugin_submitit.request import Request

T = TypeVar("T")


@dataclass(eq=False)
class Task:
    """One Snakemake job and, once it was submitted, its place in a submission."""

    job: Any
    rule: str
    key: str
    outputs: tuple[str, ...]
    request: Request
    command: str
    wildcards: str = ""
    newest_input: float = 0.0  # when an input had changed last
    fenced: tuple[str, ...] = ()  # one output of each job that it runs
    timeouts_before: int = 0
    submission: Submission | None = None
    index: int = 0
    info: Any = None  # Snakemake's SubmittedJobInfo
    # The last observation:
    result: str | None = None
    state: str | None = None
    where: str = ""  # SLURM's reason or exit code, and the nodes
    since: float = field(default_factory=time.monotonic)  # when result and state became these
    was_running: bool = False
    finished: bool = False  # reported to Snakemake as failed, though it was never, or not again, submitted

    @property
    def array_key(self) -> tuple[str, Request]:
        """Return what jobs of one array have in common."""
        return self.rule, self.request

    @property
    def assignment(self) -> Submission:
        """Return the submission of a task that has one."""
        assert self.submission is not None
        return self.submission

    @property
    def job_id(self) -> str:
        """Return the id as squeue writes it."""
        return self.assignment.external_id(self.index)

    @property
    def handle(self) -> Handle:
        """Return what identifies it on the cluster."""
        return self.assignment.handle(self.index)

    @property
    def folder(self) -> Path:
        """Return the folder of its pickles and logs."""
        return Path(self.assignment.folder)

    @property
    def result_file(self) -> Path:
        """Return the file with its result."""
        return self.folder / names.result_name(self.job_id)

    @property
    def log(self) -> Path:
        """Return the file with its output."""
        return self.folder / names.log_names(self.job_id)[0]

    def read_attempts(self) -> list[attempts.Entry]:
        """Return the record of its attempts."""
        return attempts.read(self.assignment.attempts_file(self.index))

    def journal_task(self, index: int) -> JournalTask:
        """Return what the journal records of it."""
        return JournalTask(self.key, self.outputs, index, self.timeouts_before, self.wildcards, self.newest_input)

    def assign(self, submission: Submission, index: int) -> None:
        """Record which task of which submission it is; nothing has been observed yet."""
        self.index, self.submission = index, submission  # in this order: with a submission it counts as assigned
        self.observe(None, None)
        self.was_running = False

    def unassign(self) -> None:
        """Record that it is to be submitted again."""
        self.submission = None

    def observe(self, result: str | None, state: str | None) -> float:
        """Record an observation and return for how many seconds it has been the same."""
        now = time.monotonic()
        if (result, state) != (self.result, self.state):
            self.result, self.state, self.since = result, state, now
        return now - self.since


@dataclass(eq=False)
class Batch:
    """Tasks that are submitted together, until the cluster has taken them."""

    tasks: list[Task]
    tries: int = 0
    failing_since: float | None = None
    due: float = 0.0
    submission: Submission | None = None  # of a try whose outcome is unknown


def grouped(jobs: Sequence[T], key: Callable[[T], tuple[str, Request]], size: int) -> list[list[T]]:
    """Return all jobs, grouped by array key in the order of their arrival, in pieces of at most `size`."""
    groups: dict[tuple[str, Request], list[T]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]
