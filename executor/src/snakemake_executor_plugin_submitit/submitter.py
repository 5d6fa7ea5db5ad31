"""Submits batches of tasks, and tries again later what the cluster cannot take now."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.messages import describe
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.sbatch_errors import Deferred, Rejected
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.task import Batch, Task

FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 60.0
UNEXPECTED_FAILURES = 5  # of sbatch, that are not known to be an outage, before the jobs count as failed

OnAccepted = Callable[[Sequence[Task]], None]
OnRefused = Callable[[Sequence[Task], str], None]


class Submitter:
    """Submits batches; reports tasks that the cluster has accepted, and tasks that it will never take."""

    def __init__(self, run: Run, on_accepted: OnAccepted, on_refused: OnRefused) -> None:
        self._run, self._on_accepted, self._on_refused = run, on_accepted, on_refused
        self._lock = threading.RLock()
        self._deferred: list[Batch] = []
        self._unacknowledged: dict[str, Submission] = {}  # by token: sbatch was called, its effect is unknown
        self._outage_reported = False

    def send(self, batch: Batch) -> None:
        """Submit a batch; defer it if the cluster cannot take it now, refuse it if the cluster never will."""
        if self._run.cancelling:
            return
        try:
            self._submit(batch)
        except Rejected as error:
            self._on_refused(batch.tasks, f"the cluster rejects it: {error}")
        except Deferred as error:
            self._defer(batch, str(error), error.outage)
        except SlurmUnavailable as error:
            self._defer(batch, str(error), outage=True)
        except OSError as error:
            self._defer(batch, f"{self._run.folder.parent}: {error.strerror or error}", outage=True)
        except Exception as error:
            self._on_refused(batch.tasks, f"it cannot be submitted: {describe(error)}")

    def send_due(self) -> None:
        """Submit the deferred batches whose time has come."""
        now = time.monotonic()
        with self._lock:
            due = [batch for batch in self._deferred if batch.due <= now]
            self._deferred = [batch for batch in self._deferred if batch.due > now]
        for batch in due:
            self.send(batch)

    def give_up(self) -> list[Submission]:
        """Forget the deferred batches; return the submissions that the cluster may have taken without an answer."""
        with self._lock:
            self._deferred = []
        return list(self._unacknowledged.copy().values())

    def _defer(self, batch: Batch, reason: str, outage: bool) -> None:
        batch.unexpected_failures += not outage
        if batch.unexpected_failures >= UNEXPECTED_FAILURES:
            self._on_refused(batch.tasks, f"sbatch failed {batch.tries} times: {reason}")
            return
        batch.due = time.monotonic() + min(FIRST_RETRY_S * 1.5 ** (batch.tries - 1), LONGEST_RETRY_S)
        with self._lock:
            self._deferred.append(batch)
        if not self._outage_reported:
            self._outage_reported = True
            self._run.messages.warning(f"jobs cannot be submitted now ({reason}); trying again until they can")

    def _submit(self, batch: Batch) -> None:
        """Submit a batch, or find that an earlier try had succeeded without an answer."""
        batch.tries += 1
        if batch.submission is not None:
            if (job_id := self._run.cluster.find(batch.submission.name)) is not None:
                self._accept(batch.tasks, batch.submission, job_id)
                return
            self._withdraw(batch.submission)
            batch.submission = None
        if self._run.settings.cluster == "slurm":
            self._submit_to_slurm(batch)
        else:
            for task in batch.tasks:
                self._start_here(task)

    def _submit_to_slurm(self, batch: Batch) -> None:
        from snakemake_executor_plugin_submitit.submitit_backend import to_slurm

        submission = self._run.new_submission(batch.tasks)
        jobs = [self._run.node_job(task, submission, index) for index, task in enumerate(batch.tasks)]
        self._run.claim(batch.tasks, submission)
        self._run.journal.submit(submission)
        batch.submission = submission
        self._unacknowledged[submission.token] = submission
        try:
            job_id = to_slurm(jobs, submission, batch.tasks[0].request, self._run.settings)
        except Rejected:
            self._withdraw(submission)
            raise
        self._accept(batch.tasks, submission, job_id)

    def _start_here(self, task: Task) -> None:
        from snakemake_executor_plugin_submitit.submitit_backend import to_this_machine

        submission = self._run.new_submission([task])
        job = self._run.node_job(task, submission, 0)
        self._run.claim([task], submission)
        self._run.journal.submit(submission)
        gpus = self._run.gpus.take(task.request.gpu, submission.token)
        self._accept([task], submission, to_this_machine(job, Path(submission.folder), gpus))

    def _accept(self, tasks: Sequence[Task], submission: Submission, job_id: str) -> None:
        submission.job_id = job_id
        for index, task in enumerate(tasks):
            self._run.assign(task, submission, index)
        self._unacknowledged.pop(submission.token, None)
        if self._outage_reported:
            self._outage_reported = False
            self._run.messages.info("jobs can be submitted again")
        self._run.journal.accepted(submission)
        self._on_accepted(tasks)
        what = f"array {job_id} with {len(tasks)} jobs" if len(tasks) > 1 else f"job {job_id}"
        self._run.messages.info(f"submitted {what} of {submission.rule}")

    def _withdraw(self, submission: Submission) -> None:
        """Record that the cluster did not take a submission."""
        self._run.journal.ended(submission, [task.index for task in submission.tasks])
        self._unacknowledged.pop(submission.token, None)
        folders.remove_unsent(Path(submission.folder), submission.token, len(submission.tasks))
