"""Jobs of a Snakemake that died: found in the journal, reused if they are still the same job, never run twice.

A job continues without the Snakemake that submitted it. When this Snakemake wants the same files, it takes the job over
if it is the same job (identity.py) and lives, or has succeeded since this Snakemake looked at the files. If it is a
different job by now, it is cancelled, and must have ended before a new one is submitted.

SLURM has to confirm that a job of the journal is still that job (records.py). What it does not confirm is left alone.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import folders, identity, names
from snakemake_executor_plugin_submitit.journal import Journal, JournalTask, Submission
from snakemake_executor_plugin_submitit.messages import Messages, few
from snakemake_executor_plugin_submitit.records import Handle, is_same_folder
from snakemake_executor_plugin_submitit.run import Cluster, Run, reachable_clusters
from snakemake_executor_plugin_submitit.settings import STARTED
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.states import is_alive
from snakemake_executor_plugin_submitit.task import Task

PAUSE_S = 2.0
REMIND_S = 120.0  # after which a wait for former jobs is mentioned again
OLD_DAYS = 30  # after which it is looked up whether a job still lives
CLOCKS_DIFFER_S = 10.0  # between a file server and this machine


@dataclass(frozen=True, eq=False)
class Orphan:
    """A job of an earlier run."""

    submission: Submission
    task: JournalTask

    @property
    def handle(self) -> Handle | None:
        """Return what identifies it on the cluster, None if the submission never reached the cluster."""
        return None if self.submission.job_id is None else self.submission.handle(self.task.index)

    @property
    def job_id(self) -> str:
        """Return its id, '' if the submission never reached the cluster."""
        return self.handle.id if self.handle else ""

    def serves(self, task: Task, state: str) -> bool:
        """Return whether it is this task, and lives or has succeeded while this Snakemake was looking at the files."""
        index, job_id = self.task.index, self.job_id
        if self.task.key != task.key or index in self.submission.cancelled or index in self.submission.ended:
            return False
        if not job_id or self._input_has_changed(task):
            return False
        result = Path(self.submission.folder) / names.result_name(job_id)
        if result.exists():
            recent = result.stat().st_mtime >= STARTED - CLOCKS_DIFFER_S
            return recent and all(Path(output).exists() for output in task.outputs)
        return is_alive(state)

    def _input_has_changed(self, task: Task) -> bool:
        """Compare two times of the file server; only a journal of an older version has none."""
        if self.task.newest_input is None:
            return identity.newest_input(task.job) > self.submission.time
        return abs(identity.newest_input(task.job) - self.task.newest_input) > identity.TOUCH_S


def without_copied(submissions: Sequence[Submission], journal: Journal, messages: Messages) -> list[Submission]:
    """Drop the submissions of another folder, of which this one is a copy: its jobs are not ours to cancel."""
    base = journal.path.parent
    own = [one for one in submissions if one.is_below(base)]
    if copied := [one for one in submissions if one not in own]:
        source = Path(copied[0].folder).parents[1]
        messages.info(f"{journal.path} is a copy of {source}'s, whose jobs are left alone; an own journal begins")
        journal.keep(own)
    return own


class OrphanedJobs:
    """The jobs that earlier runs left in progress."""

    def __init__(self, submissions: Sequence[Submission], run: Run) -> None:
        self._run = run
        self._submissions = list(submissions)
        self._clusters: dict[str, Cluster] = {}
        self._by_output: dict[str, Orphan] = {}

    def take_over(self, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
        """Return the tasks that an orphan does, assigned to it, and those that are to be submitted."""
        self._sort_submissions()
        if not self._by_output:
            return [], list(tasks)
        orphans = {task: self._orphans_of(task) for task in tasks}
        states = self._states([one for group in orphans.values() for one in group])
        taken = [task for task, group in orphans.items() if self._serves(task, group, states)]
        for task in taken:
            (orphan,) = orphans[task]
            task.timeouts_before = orphan.task.timeouts_before
            self._run.assign(task, orphan.submission, orphan.task.index)
        left = [task for task in tasks if task not in taken]
        self._clear([one for task in left for one in orphans[task]], states)
        for output in [output for group in orphans.values() for one in group for output in one.task.outputs]:
            self._by_output.pop(output, None)
        if taken:
            ids = few(task.job_id for task in taken)
            self._run.messages.info(f"{len(taken)} jobs of an earlier run are taken over: {ids}")
        return taken, left

    def _serves(self, task: Task, group: Sequence[Orphan], states: dict[Orphan, str]) -> bool:
        if len(group) != 1 or group[0].submission.cluster != self._run.settings.cluster:
            return False
        return group[0].serves(task, states.get(group[0], ""))

    def _sort_submissions(self) -> None:
        """Find out once which of the submissions can be asked about from here."""
        if not self._submissions:
            return
        submissions = self._submissions
        self._clusters = reachable_clusters(self._run)
        submissions = [one for one in submissions if one.workdir == "" or is_same_folder(one.workdir, os.getcwd())]
        here = [one for one in submissions if self._is_here(one)]
        self._report_elsewhere([one for one in submissions if one not in here])
        self._drop_ended([one for one in here if one.time < time.time() - OLD_DAYS * 86400])
        for submission in here:
            if submission.job_id is None:
                self._find_unnamed(submission)
        self._by_output = {output: Orphan(one, task) for one in here for task in one.live for output in task.outputs}
        self._submissions = []

    def _drop_ended(self, submissions: Sequence[Submission]) -> None:
        """Forget jobs that ended long ago, and whose outputs nobody wanted since."""
        orphans = [Orphan(one, task) for one in submissions if one.job_id is not None for task in one.live]
        states = self._states(orphans)
        for one in orphans:
            if not is_alive(states[one]):
                self._run.journal.ended(one.submission, [one.task.index])

    def _is_here(self, submission: Submission) -> bool:
        """Return whether its cluster is one of those that answer here. Wait for the cluster's name."""
        cluster = self._clusters.get(submission.cluster)
        while cluster is not None and submission.site and not cluster.site():
            self._run.pause(PAUSE_S)
        return cluster is not None and submission.site in ("", cluster.site())

    def _report_elsewhere(self, submissions: Sequence[Submission]) -> None:
        places: dict[str, list[str]] = {}
        for one in submissions:
            places.setdefault(f"{one.cluster} {one.site}".strip(), []).append(one.job_id or one.name)
        for place, ids in places.items():
            self._run.messages.warning(
                f"jobs of an earlier run are on another cluster or machine ({place}) and are left alone: {few(ids)}; "
                "a job that is submitted for the same files ends them when it begins"
            )

    def _orphans_of(self, task: Task) -> list[Orphan]:
        """Return the orphans that make any of the task's files."""
        return list(dict.fromkeys(self._by_output[output] for output in task.outputs if output in self._by_output))

    def _clear(self, orphans: Sequence[Orphan], states: dict[Orphan, str]) -> None:
        """Cancel the orphans that would write the same files, all at once, and wait until they have ended."""
        alive = [one for one in orphans if is_alive(states.get(one, ""))]
        if alive:
            files = few(output for one in alive for output in one.task.outputs)
            ids = few(one.job_id for one in alive)
            self._run.messages.info(f"{ids} of an earlier run would write {files} too; cancelled first")
        remind_at = time.monotonic() + REMIND_S
        while alive:
            self._cancel(alive)
            self._run.pause(PAUSE_S)
            states = self._states(alive)
            alive = [one for one in alive if is_alive(states.get(one, ""))]
            if alive and time.monotonic() > remind_at:
                remind_at = time.monotonic() + REMIND_S
                waiting = few(f"{one.job_id} ({states[one]})" for one in alive)
                self._run.messages.warning(f"waiting for cancelled jobs to end before others are submitted: {waiting}")
        for one in orphans:
            self._forget(one)

    def _forget(self, orphan: Orphan) -> None:
        index = orphan.task.index
        self._run.journal.ended(orphan.submission, [index])
        if orphan.job_id:
            folder = Path(orphan.submission.folder)
            folders.remove_task(folder, orphan.submission.token, index, orphan.job_id, logs=False)

    def _cancel(self, orphans: Iterable[Orphan]) -> None:
        for cluster, handles in self._by_cluster(orphans):
            with contextlib.suppress(SlurmUnavailable):  # the next query waits for an answer, and all is tried again
                cluster.cancel(handles)

    def _by_cluster(self, orphans: Iterable[Orphan]) -> list[tuple[Cluster, list[Handle]]]:
        handles: dict[str, list[Handle]] = {}
        for one in orphans:
            if one.handle is not None:
                handles.setdefault(one.submission.cluster, []).append(one.handle)
        return [(self._clusters[kind], group) for kind, group in handles.items()]

    def _states(self, orphans: Sequence[Orphan]) -> dict[Orphan, str]:
        """Return the states of orphans. Wait for an answer: without one a job might be started twice."""
        since = min((one.submission.time for one in orphans), default=0.0)
        states: dict[str, str] = {}
        for cluster, handles in self._by_cluster(orphans):
            answer = cluster.states(handles, since)
            while not answer.complete and not all(one.id in answer.states for one in handles):
                self._run.pause(PAUSE_S)
                answer = cluster.states(handles, since)
            states |= {one.name + one.id: answer.states.get(one.id, "") for one in handles}
            if answer.strangers:
                ids = few(sorted(answer.strangers))
                self._run.messages.info(
                    f"SLURM has given ids of the journal to other jobs, which are left alone: {ids}"
                )
        return {one: states[one.handle.name + one.handle.id] for one in orphans if one.handle is not None}

    def _find_unnamed(self, submission: Submission) -> None:
        """Look for a submission whose id is unknown, by the name of its jobs."""
        while True:
            try:
                submission.job_id = self._clusters[submission.cluster].find(submission.name)
                break
            except SlurmUnavailable:
                self._run.pause(PAUSE_S)
        if submission.job_id is None:
            self._run.journal.ended(submission, [task.index for task in submission.tasks])
        else:
            self._run.journal.accepted(submission)
