"""Jobs of a Snakemake that died: found in the journal, reused if they are still the same job, never run twice.

A job continues without the Snakemake that submitted it. When this Snakemake wants the same files, it takes the job over
if it is the same job (identity.py) and lives, or has succeeded since this Snakemake looked at the files. If it is a
different job by now, it is cancelled, and must have ended before a new one is submitted.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import folders, identity, names
from snakemake_executor_plugin_submitit.journal import JournalTask, Submission
from snakemake_executor_plugin_submitit.messages import few
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.settings import STARTED
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.states import is_alive
from snakemake_executor_plugin_submitit.task import Task

PAUSE_S = 2.0
CLOCKS_DIFFER_S = 10.0  # between a file server and this machine


@dataclass(frozen=True, eq=False)
class Orphan:
    """A job of an earlier run."""

    submission: Submission
    task: JournalTask

    @property
    def job_id(self) -> str | None:
        """Return its id, None if the submission never reached the cluster."""
        return None if self.submission.job_id is None else self.submission.external_id(self.task.index)

    def serves(self, task: Task, states: dict[str, str]) -> bool:
        """Return whether it is this task, and lives or has succeeded while this Snakemake was looking at the files."""
        index, job_id = self.task.index, self.job_id
        if self.task.key != task.key or index in self.submission.cancelled or index in self.submission.ended:
            return False
        if job_id is None or identity.newer_than(task.job, self.submission.time):
            return False
        result = Path(self.submission.folder) / names.result_name(job_id)
        if result.exists():
            recent = result.stat().st_mtime >= STARTED - CLOCKS_DIFFER_S
            return recent and all(Path(output).exists() for output in task.outputs)
        return is_alive(states.get(job_id, ""))


class OrphanedJobs:
    """The jobs that earlier runs left in progress."""

    def __init__(self, submissions: Sequence[Submission], run: Run) -> None:
        self._run = run
        orphans = [Orphan(one, task) for one in submissions for task in one.live]
        self._by_output = {output: orphan for orphan in orphans for output in orphan.task.outputs}
        self._unnamed = [one for one in submissions if one.job_id is None]

    def take_over(self, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
        """Return the tasks that an orphan does, assigned to it, and those that are to be submitted."""
        if not self._by_output:
            return [], list(tasks)
        self._find_unnamed()
        orphans = {task: self._orphans_of(task) for task in tasks}
        states = self._states([one for group in orphans.values() for one in group])
        taken, left = [], []
        for task, group in orphans.items():
            if len(group) == 1 and group[0].serves(task, states):
                task.timeouts_before = group[0].task.timeouts_before
                self._run.assign(task, group[0].submission, group[0].task.index)
                taken.append(task)
            else:
                self._clear(task, group, states)
                left.append(task)
            for output in [output for one in group for output in one.task.outputs]:
                self._by_output.pop(output, None)
        if taken:
            ids = few(task.job_id for task in taken)
            self._run.messages.info(f"{len(taken)} jobs of an earlier run are taken over: {ids}")
        return taken, left

    def _orphans_of(self, task: Task) -> list[Orphan]:
        """Return the orphans that make any of the task's files."""
        return list(dict.fromkeys(self._by_output[output] for output in task.outputs if output in self._by_output))

    def _clear(self, task: Task, orphans: Sequence[Orphan], states: dict[str, str]) -> None:
        """Cancel the orphans that would write the same files, and wait until they have ended."""
        alive = [one for one in orphans if is_alive(states.get(one.job_id or "", ""))]
        if alive:
            ids = few(one.job_id or "" for one in alive)
            self._run.messages.info(f"{ids} of an earlier run would write {few(task.outputs)} too; cancelled first")
        while alive:
            with contextlib.suppress(SlurmUnavailable):  # the query below waits for an answer, and all is tried again
                self._run.cluster.cancel([one.job_id for one in alive if one.job_id])
            time.sleep(PAUSE_S)
            states = self._states(alive)
            alive = [one for one in alive if is_alive(states.get(one.job_id or "", ""))]
        for one in orphans:
            index = one.task.index
            self._run.journal.ended(one.submission, [index])
            if one.job_id is not None:
                folder = Path(one.submission.folder)
                folders.remove_task(folder, one.submission.token, index, one.job_id, logs=False)

    def _states(self, orphans: Sequence[Orphan]) -> dict[str, str]:
        """Return SLURM's states of orphans. Wait for an answer: without one a job might be started twice."""
        ids = [one.job_id for one in orphans if one.job_id is not None]
        while ids:
            since = min(one.submission.time for one in orphans if one.job_id is not None)
            answer = self._run.cluster.states(ids, since)
            if answer.complete or all(job_id in answer.states for job_id in ids):
                return answer.states
            time.sleep(PAUSE_S)
        return {}

    def _find_unnamed(self) -> None:
        """Look for submissions whose id is unknown, by the name of their jobs."""
        while self._unnamed:
            submission = self._unnamed[0]
            try:
                submission.job_id = self._run.cluster.find(submission.name)
            except SlurmUnavailable:
                time.sleep(PAUSE_S)
                continue
            self._unnamed.pop(0)
            if submission.job_id is None:
                self._run.journal.ended(submission, [task.index for task in submission.tasks])
            else:
                self._run.journal.accepted(submission)
