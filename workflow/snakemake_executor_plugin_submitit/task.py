"""A Snakemake job on its way: waiting to be submitted, or submitted."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.journal import Known, Submission
from snakemake_executor_plugin_submitit.request import Request


@dataclass(eq=False)
class Task:
    """One Snakemake job and, once it was submitted, its place in a submission."""

    job: Any
    rule: str
    key: str
    outputs: tuple[str, ...]
    request: Request
    command: str
    timeouts_before: int = 0
    submission: Submission | None = None
    index: int = 0
    info: Any = None  # what Snakemake knows it by
    # What is known of it:
    result: str | None = None
    state: str | None = None
    since: float = field(default_factory=time.monotonic)  # result and state have been these
    was_running: bool = False
    over: bool = False  # Snakemake was told that it failed, though it was never, or not again, submitted

    @property
    def kind(self) -> tuple[str, Request]:
        """Return what jobs of one array have in common."""
        return self.rule, self.request

    @property
    def placed(self) -> Submission:
        """Return the submission of a task that has one."""
        assert self.submission is not None
        return self.submission

    @property
    def job_id(self) -> str:
        """Return the id as squeue writes it."""
        return self.placed.external_id(self.index)

    @property
    def folder(self) -> Path:
        """Return the folder of its pickles and logs."""
        return Path(self.placed.folder)

    @property
    def result_name(self) -> str:
        """Return the name of its result in that folder."""
        return f"{self.job_id}_0_result.pkl"

    @property
    def log(self) -> Path:
        """Return the file with its output."""
        return folders.log_file(self.folder, self.job_id)

    def known(self, index: int) -> Known:
        """Return what the journal writes of it."""
        return Known(self.key, self.outputs, index, self.timeouts_before)

    def place(self, submission: Submission, index: int) -> None:
        """Note which task of which submission it is; nothing is known of it yet."""
        self.index, self.submission = index, submission  # in this order: with a submission it counts as placed
        self.saw(None, None)
        self.was_running = False

    def displace(self) -> None:
        """Note that it is to be submitted again: no submission is its own."""
        self.submission = None

    def saw(self, result: str | None, state: str | None) -> float:
        """Note what was seen, and return for how many seconds it has been so."""
        now = time.monotonic()
        if (result, state) != (self.result, self.state):
            self.result, self.state, self.since = result, state, now
        return now - self.since


@dataclass(eq=False)
class Batch:
    """Tasks that go up together, until the cluster has taken them."""

    tasks: list[Task]
    tries: int = 0
    strange: int = 0  # failures that nobody knows to be an outage
    due: float = 0.0
    submission: Submission | None = None  # of a try whose outcome is unknown
