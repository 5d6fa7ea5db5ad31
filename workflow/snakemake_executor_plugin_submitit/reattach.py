"""Jobs of a Snakemake that died: found in the journal, waited for if they are still the same job, never run beside.

A job that the former Snakemake submitted goes on without it. When this one wants the same files made, the former job is
taken over if it is the same job (identity.py) and lives, or has ended well since this Snakemake looked at the files.
If it is another job by now, it is cancelled, and its end awaited, before a new one is submitted.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import folders, identity
from snakemake_executor_plugin_submitit.journal import Journal, Known, Submission
from snakemake_executor_plugin_submitit.local import Local
from snakemake_executor_plugin_submitit.settings import STARTED
from snakemake_executor_plugin_submitit.slurm import Silent, Slurm
from snakemake_executor_plugin_submitit.states import ALIVE, meaning
from snakemake_executor_plugin_submitit.task import Task

PAUSE_S = 2.0
CLOCKS_DIFFER_S = 10.0  # between a file server and this machine

Found = tuple[Submission, Known]


class Former:
    """What earlier runs left under way."""

    def __init__(
        self, submissions: Sequence[Submission], journal: Journal, cluster: Slurm | Local, say: Callable[[str], None]
    ) -> None:
        self._journal, self._cluster, self._say = journal, cluster, say
        self._of_output: dict[str, Found] = {
            output: (one, task) for one in submissions for task in one.live for output in task.outputs
        }
        self._unnamed = [one for one in submissions if one.job_id is None]

    def take_over(self, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
        """Return the tasks that a former job does, placed on it, and those that are to be submitted."""
        if not self._of_output:
            return [], list(tasks)
        self._find_unnamed()
        found = {task: self._found(task) for task in tasks}
        states = self._states([one for group in found.values() for one in group])
        taken, left = [], []
        for task in tasks:
            if self._serves(task, found[task], states):
                submission, known = found[task][0]
                task.timeouts_before = known.timeouts_before
                task.place(submission, known.index)
                taken.append(task)
            else:
                self._clear(task, found[task], states)
                left.append(task)
            self._forget(found[task])
        if taken:
            self._say(f"{len(taken)} jobs of an earlier run are taken over: {_some(task.job_id for task in taken)}")
        return taken, left

    def _found(self, task: Task) -> list[Found]:
        found = (self._of_output.get(output) for output in task.outputs)
        return list({(one[0].token, one[1].index): one for one in found if one is not None}.values())

    def _forget(self, found: Sequence[Found]) -> None:
        for _, known in found:
            for output in known.outputs:
                self._of_output.pop(output, None)

    def _serves(self, task: Task, found: Sequence[Found], states: dict[str, str]) -> bool:
        """Return whether a former job is this task, and lives or has done it while Snakemake was looking."""
        if len(found) != 1:
            return False
        submission, known = found[0]
        if known.key != task.key or known.index in submission.cancelled or known.index in submission.ended:
            return False
        if identity.newer_than(task.job, submission.time):
            return False
        job_id = submission.external_id(known.index)
        result = Path(submission.folder) / f"{job_id}_0_result.pkl"
        if result.exists():
            recent = result.stat().st_mtime >= STARTED - CLOCKS_DIFFER_S
            return recent and all(Path(output).exists() for output in task.outputs)
        return _lives(states.get(job_id, ""))

    def _clear(self, task: Task, found: Sequence[Found], states: dict[str, str]) -> None:
        """Cancel what would write the same files, and wait until it is gone."""
        ids = [submission.external_id(known.index) for submission, known in found if submission.job_id is not None]
        alive = [one for one in ids if _lives(states.get(one, ""))]
        if alive:
            self._say(f"{_some(alive)} of an earlier run would write {_some(task.outputs)} too; cancelled first")
        while alive:
            with contextlib.suppress(
                Silent
            ):  # told by the cluster; the question below fails too, and all is tried again
                self._cluster.cancel(alive)
            time.sleep(PAUSE_S)
            states = self._states([one for one in found if one[0].external_id(one[1].index) in alive])
            alive = [one for one in alive if _lives(states.get(one, ""))]
        for submission, known in found:
            self._journal.ended(submission, [known.index])
            if submission.job_id is not None:
                job_id = submission.external_id(known.index)
                folders.remove_task(Path(submission.folder), submission.token, known.index, job_id, logs=False)

    def _states(self, found: Sequence[Found]) -> dict[str, str]:
        """Return what SLURM says of former jobs; wait for an answer, since starting one twice is no way out."""
        asked = [(one, known) for one, known in found if one.job_id is not None]
        if not asked:
            return {}
        ids = [one.external_id(known.index) for one, known in asked]
        while True:
            answer = self._cluster.states(ids, min(one.time for one, _ in asked))
            if answer.complete or all(job_id in answer.states for job_id in ids):
                return answer.states
            time.sleep(PAUSE_S)

    def _find_unnamed(self) -> None:
        """Look for submissions whose id was never heard, by the name of their jobs."""
        while self._unnamed:
            submission = self._unnamed[0]
            try:
                submission.job_id = self._cluster.find(submission.name)
            except Silent:
                time.sleep(PAUSE_S)
                continue
            self._unnamed.pop(0)
            if submission.job_id is None:
                self._journal.ended(submission, [task.index for task in submission.tasks])
            else:
                self._journal.accepted(submission)


def _lives(state: str) -> bool:
    return bool(state) and (meaning(state) in ALIVE)


def _some(items: Iterable[str], most: int = 3) -> str:
    """Return a few of the items in words."""
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
