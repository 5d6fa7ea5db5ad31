"""Submits batches of tasks, and tries again later what the cluster cannot take now."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.messages import describe
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.sbatch_errors import Deferred, Rejected, TooMany
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.task import Batch, Task

FIRST_RETRY_S, SOON_S, LONGEST_RETRY_S = 5.0, 10.0, 60.0

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
        self._limit_reported = False

    def send(self, batch: Batch) -> bool:
        """Submit a batch; defer it if the cluster cannot take it now, refuse it if the cluster never will.

        Return False where the cluster takes no more jobs for now.
        """
        if self._run.cancelling:
            return False
        try:
            self._submit(batch)
        except Rejected as error:
            self._on_refused(batch.tasks, f"the cluster rejects it: {error}")
        except TooMany as error:
            return self._send_less(batch, str(error))
        except (Deferred, SlurmUnavailable) as error:
            self._defer(batch, str(error))
        except OSError as error:
            self._defer(batch, f"{self._run.folder.parent}: {error.strerror or error}")
        except Exception as error:
            self._on_refused(batch.tasks, f"it cannot be submitted: {describe(error)}")
        return True

    def send_due(self) -> None:
        """Submit the deferred batches whose time has come, until the cluster takes no more jobs."""
        now = time.monotonic()
        with self._lock:
            due = [batch for batch in self._deferred if batch.due <= now]
            self._deferred = [batch for batch in self._deferred if batch.due > now]
        while due and self.send(due[0]):
            due.pop(0)
        for batch in due[1:]:
            batch.due = time.monotonic() + SOON_S
        with self._lock:
            self._deferred += due[1:]

    def refuse_deferred(self) -> None:
        """Refuse the deferred batches, because Snakemake was told to end; but what the cluster took is waited for."""
        with self._lock:
            batches, self._deferred = self._deferred, []
        for batch in batches:
            try:
                if not self._accept_earlier_try(batch):
                    self._on_refused(batch.tasks, "Snakemake was told to end before the cluster took it")
            except SlurmUnavailable:
                with self._lock:
                    self._deferred.append(batch)

    def give_up(self) -> list[Submission]:
        """Forget the deferred batches; return the submissions that the cluster may have taken without an answer."""
        with self._lock:
            self._deferred = []
        return list(self._unacknowledged.copy().values())

    def _send_less(self, batch: Batch, reason: str) -> bool:
        """Send the halves of a batch that is more than the cluster takes at once; defer what is over the limit."""
        if not self._limit_reported:
            self._limit_reported = True
            self._run.messages.warning(
                f"the cluster does not take {len(batch.tasks)} jobs of {batch.tasks[0].rule} at once ({reason}); fewer "
                "are tried, others follow as jobs end; --submitit-max-array-size sets how many go up at once"
            )
        if len(batch.tasks) == 1:
            if self._run.tasks:
                batch.failing_since = None  # it waits for jobs to end, which is no outage
            self._put_off(batch)
            return False
        middle = len(batch.tasks) // 2
        first, second = Batch(batch.tasks[:middle]), Batch(batch.tasks[middle:])
        if self.send(first):
            return self.send(second)
        self._put_off(second)
        return False

    def _defer(self, batch: Batch, reason: str) -> None:
        hours = self._run.settings.max_outage
        if batch.failing_since is not None and time.monotonic() - batch.failing_since > 3600 * hours:
            self._on_refused(batch.tasks, f"sbatch has failed for {hours} hours (--submitit-max-outage): {reason}")
            return
        self._put_off(batch)
        if not self._outage_reported:
            self._outage_reported = True
            self._run.messages.warning(
                f"jobs cannot be submitted now ({reason}); trying again until they can, for at most {hours} hours "
                "(--submitit-max-outage)"
            )

    def _put_off(self, batch: Batch) -> None:
        now = time.monotonic()
        batch.failing_since = batch.failing_since or now
        batch.due = now + min(FIRST_RETRY_S * 1.5 ** max(0, batch.tries - 1), LONGEST_RETRY_S)
        with self._lock:
            self._deferred.append(batch)

    def _submit(self, batch: Batch) -> None:
        """Submit a batch, or find that an earlier try had succeeded without an answer."""
        batch.tries += 1
        if self._accept_earlier_try(batch):
            return
        if self._run.settings.cluster == "slurm":
            self._submit_to_slurm(batch)
        else:
            for task in batch.tasks:
                self._start_here(task)

    def _accept_earlier_try(self, batch: Batch) -> bool:
        """Return whether an earlier try had succeeded without an answer. Raises SlurmUnavailable."""
        if batch.submission is None:
            return False
        if (job_id := self._run.cluster.find(batch.submission.name)) is not None:
            self._accept(batch.tasks, batch.submission, job_id)
            return True
        self._withdraw(batch.submission)
        batch.submission = None
        return False

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
        except (Rejected, TooMany):
            self._withdraw(submission)
            batch.submission = None
            raise
        self._accept(batch.tasks, submission, job_id)

    def _start_here(self, task: Task) -> None:
        from snakemake_executor_plugin_submitit.submitit_backend import to_this_machine

        self._run.gpus.check(task.request.gpu)
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
