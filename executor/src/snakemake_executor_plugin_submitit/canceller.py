"""Cancels tasks on the cluster and names those that survive."""

import time
from collections.abc import Sequence

from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.states import is_alive
from snakemake_executor_plugin_submitit.task import Task

SURVIVORS_S = 15.0  # for which cancelled jobs are watched


class Canceller:
    """Cancels tasks by their ids, whole arrays at once."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def cancel(self, tasks: Sequence[Task], unacknowledged: Sequence[Submission] = ()) -> None:
        """Cancel tasks by id, and by name the submissions that the cluster may have taken without an answer."""
        ids = cancel_ids(tasks)
        if tasks:
            self._run.messages.info(f"cancelling {len(tasks)} jobs: {' '.join(ids)}")
        try:
            for submission in unacknowledged:
                self._run.cluster.cancel_by_name(submission.name)
            self._run.cluster.cancel([task.handle for task in tasks])
        except SlurmUnavailable as error:
            by_hand = [*ids, *(f"--name={submission.name}" for submission in unacknowledged)]
            self._run.messages.warning(f"cancelling failed ({error}); by hand: scancel {' '.join(by_hand)}")
            return
        for task in tasks:
            self._run.journal.cancelled(task.assignment, [task.index])
        if tasks:
            self._report_survivors(tasks)

    def _report_survivors(self, tasks: Sequence[Task]) -> None:
        """Wait until cancelled jobs have ended, since a job may save its state first, and name those that still run."""
        deadline = time.monotonic() + SURVIVORS_S
        handles = [task.handle for task in tasks]
        while handles and time.monotonic() < deadline:
            answer = self._run.cluster.states(handles, min(task.assignment.time for task in tasks))
            handles = [one for one in handles if is_alive(answer.states.get(one.id, "COMPLETED"))]
            if handles:
                time.sleep(1)
        still = f"cancelled, and still ending: {' '.join(one.id for one in handles)}"
        self._run.messages.info(still if handles else "all of them have ended")


def cancel_ids(tasks: Sequence[Task]) -> list[str]:
    """Return the ids to cancel: an array by one id, if all its open tasks are among `tasks`."""
    ids: dict[str, None] = {}
    own = {(task.assignment.token, task.index) for task in tasks}
    for task in tasks:
        whole = all((task.assignment.token, known.index) in own for known in task.assignment.live)
        ids[str(task.assignment.job_id) if whole else task.job_id] = None
    return list(ids)
