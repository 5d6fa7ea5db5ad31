"""Cancels tasks on the cluster, names those that survive, and says how to cancel what could not be.

Each task is either confirmed to be cancelled, or named with the command that cancels it.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.records import Handle
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import Answer, SlurmUnavailable
from snakemake_executor_plugin_submitit.states import is_alive
from snakemake_executor_plugin_submitit.task import Task

SURVIVORS_S = 15.0  # for which cancelled jobs are watched
UNHEARD_S = 20.0  # for which the effect of an sbatch without an answer may take to show up
PAUSE_S = 1.0


class Canceller:
    """Cancels tasks by their ids, whole arrays at once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._cancelled: list[Task] = []
        self._unconfirmed: dict[str, None] = {}  # commands that cancel what is not confirmed to be cancelled

    def cancel(self, tasks: Sequence[Task]) -> None:
        """Cancel tasks by id."""
        if not tasks:
            return
        command = f"{self._run.cluster.cancel_command} {' '.join(cancel_ids(tasks))}"
        self._unconfirmed[command] = None
        self._run.messages.info(f"cancelling {len(tasks)} jobs: {' '.join(cancel_ids(tasks))}")
        try:
            self._run.cluster.cancel([task.handle for task in tasks])
        except SlurmUnavailable as error:
            self._run.messages.warning(f"cancelling failed ({error}); by hand: {command}")
            return
        for task in tasks:
            self._run.journal.cancelled(task.assignment, [task.index])
        self._cancelled += tasks
        self._unconfirmed.pop(command)

    def cancel_unheard(self, submissions: Iterable[Submission]) -> None:
        """Cancel by name the submissions that the cluster may have taken without an answer, or may take yet."""
        waiting = list(submissions)
        for one in waiting:
            self._unconfirmed[by_name(one)] = None
            self._run.journal.cancelled(one, [task.index for task in one.tasks])
            # A job that begins all the same finds nothing to run.
            folders.remove_unsent(Path(one.folder), one.token, len(one.tasks))
        deadline = time.monotonic() + UNHEARD_S
        while waiting and time.monotonic() < deadline:
            waiting = [one for one in waiting if not self._is_cancelled_by_name(one)]
            if waiting:
                time.sleep(PAUSE_S)
        for one in waiting:
            self._run.messages.warning(f"sbatch did not answer; if jobs of {one.rule} show up, by hand: {by_name(one)}")

    def report_survivors(self) -> None:
        """Wait until cancelled jobs have ended, since a job may save its state first, and name those that still run."""
        if not self._cancelled:
            return
        handles = [task.handle for task in self._cancelled]
        since = min(task.assignment.time for task in self._cancelled)
        deadline, answer = time.monotonic() + SURVIVORS_S, Answer()
        while handles and time.monotonic() < deadline:
            answer = self._run.cluster.states(handles, since)
            handles = [one for one in handles if not has_ended(one, answer)]
            if handles:
                time.sleep(PAUSE_S)
        ids = " ".join(one.id for one in handles)
        known = "still ending" if answer.complete else "SLURM does not say whether they have ended"
        self._run.messages.info(f"cancelled; {known}: {ids}" if handles else "all of them have ended")

    def report_unconfirmed(self, tasks: Sequence[Task], unheard: Sequence[Submission]) -> None:
        """Name what is not confirmed to be cancelled, with the command that cancels it."""
        left = [task for task in tasks if task not in self._cancelled]
        by_id = [f"{self._run.cluster.cancel_command} {' '.join(cancel_ids(left))}"] if left else []
        commands = dict.fromkeys([*by_id, *self._unconfirmed, *map(by_name, unheard)])
        if commands:
            self._run.messages.warning(f"not confirmed to be cancelled; by hand: {'; '.join(commands)}")

    def _is_cancelled_by_name(self, submission: Submission) -> bool:
        try:
            if self._run.cluster.find(submission.name) is None:
                return False
            self._run.cluster.cancel_by_name(submission.name)
        except SlurmUnavailable:
            return False
        self._unconfirmed.pop(by_name(submission), None)
        self._run.messages.info(f"cancelled {submission.name}, which sbatch had submitted without an answer")
        return True


def has_ended(handle: Handle, answer: Answer) -> bool:
    """Return whether a job is known to have ended."""
    state = answer.states.get(handle.id, "" if answer.complete else None)
    return state is not None and not is_alive(state)


def by_name(submission: Submission) -> str:
    """Return the command that cancels a submission whose id is unknown."""
    return f"scancel --me --name={submission.name}"


def cancel_ids(tasks: Sequence[Task]) -> list[str]:
    """Return the ids to cancel: an array by one id, if all its open tasks are among `tasks`."""
    ids: dict[str, None] = {}
    own = {(task.assignment.token, task.index) for task in tasks}
    for task in tasks:
        whole = all((task.assignment.token, known.index) in own for known in task.assignment.live)
        ids[str(task.assignment.job_id) if whole else task.job_id] = None
    return list(ids)
