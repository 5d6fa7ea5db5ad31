"""The executor as Snakemake sees it: takes jobs, reports what became of them, cancels what is left.

Two threads meet here: Snakemake's scheduler hands jobs over (`run_jobs`) and cancels (`cancel`), the wait thread asks
for news (`check_active_jobs`). No exception leaves either way: in the first it would cancel the whole run, in the
second orphan it.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import threading
import time
import traceback
import uuid
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from snakemake_executor_plugin_submitit import attempts, folders, grouping, identity, interrupts
from snakemake_executor_plugin_submitit.former import Former
from snakemake_executor_plugin_submitit.journal import InUse, Journal, Submission
from snakemake_executor_plugin_submitit.local import Gpus, Local
from snakemake_executor_plugin_submitit.node import NodeJob
from snakemake_executor_plugin_submitit.outcome import Verdict
from snakemake_executor_plugin_submitit.request import BadRequest, request_of
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.slurm import Silent, Slurm
from snakemake_executor_plugin_submitit.states import ALIVE, meaning
from snakemake_executor_plugin_submitit.task import Batch, Task
from snakemake_executor_plugin_submitit.watch import Watch

FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 60.0
STRANGE_FAILURES = 5  # of sbatch, that nobody knows to be an outage, before the jobs count as failed
NAP_S = 0.2
SURVIVORS_S = 15.0  # for which cancelled jobs are watched
LOG_LINES = 15  # of a failed job, in Snakemake's message


class Executor(RemoteExecutor):  # type: ignore[misc]  # the interface has no types
    """Runs jobs through submitit."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        # All before the base class's part, which starts the wait thread.
        self.settings: ExecutorSettings = workflow.executor_settings or ExecutorSettings()
        self.log = logger
        self.tasks: dict[str, Task] = {}  # under way, by id
        self.at_hand: list[Task] = []  # being handed over, perhaps placed already: Ctrl-C may come in between
        self.unsent: list[Batch] = []
        self.sending: Submission | None = None
        self.registry = threading.RLock()
        self.gpus = Gpus()
        self.sbatch_trouble = False
        self.cancelling = False
        self.insistence = interrupts.Insistence()
        interrupts.survive_sigterm()
        self.cluster = self._open_cluster()
        self.watch = Watch(self.cluster, self.settings, self._say)
        self.base = folders.private(Path(self.settings.folder).expanduser().absolute())
        self.run_folder = self.base / folders.run_name()
        try:
            self.journal = Journal(self.base / "journal.jsonl")
        except InUse as error:
            raise WorkflowError(str(error)) from None
        former = self.journal.live(time.time() - 86400 * self.settings.keep_days)
        folders.prune(self.base, self.settings.keep_days, [Path(one.folder) for one in former])
        self.former = Former(
            [one for one in former if one.cluster == self.settings.cluster], self.journal, self.cluster, self._say
        )
        self._warn_of_small_arrays(workflow)
        super().__init__(workflow, logger)

    # Jobs come in

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit all these jobs now, those alike as one array."""
        for job in jobs:
            self.run_job_pre(job)
        self._hand_over(jobs)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self._hand_over([job])

    def _hand_over(self, jobs: Sequence[JobExecutorInterface]) -> None:
        self.at_hand = tasks = [task for job in jobs if (task := self._task(job)) is not None]
        if self.settings.cluster == "debug":
            for task in tasks:
                self._run_here(task)
        else:
            self._place(tasks)
        self.at_hand = []

    def _place(self, tasks: Sequence[Task]) -> None:
        """Put tasks onto jobs of an earlier run that do the same, and submit the others."""
        try:
            taken, left = self.former.take_over(tasks)
            size = self._batch_size()
        except Exception as error:
            self._refuse(tasks, f"looking for jobs of an earlier run failed: {_words(error)}")
            return
        for task in taken:
            self._report_placed(task)
        for tasks_alike in grouping.batches(left, lambda task: task.kind, size):
            self._send(Batch(tasks_alike))

    def _task(self, job: JobExecutorInterface) -> Task | None:
        try:
            request = request_of(dict(job.resources.items()), job.threads, self.settings.signal_delay)
            return Task(
                job, identity.name(job), identity.identity(job), identity.outputs(job), request, self._command(job)
            )
        except BadRequest as error:
            self._error(job, f"rule {identity.name(job)}: {error}.")
        except Exception as error:
            self._error(job, f"this job cannot be submitted: {_words(error)}.")
        return None

    def _command(self, job: JobExecutorInterface) -> str:
        return str(self.format_job_exec(job))

    def _batch_size(self) -> int:
        if self.settings.max_array_size:
            return min(self.settings.max_array_size, self.cluster.max_array_size())
        return self.cluster.max_array_size()

    # Jobs go out

    def _send(self, batch: Batch) -> None:
        """Submit a batch; keep it for later if the cluster cannot take it now, fail its jobs if it never will."""
        from snakemake_executor_plugin_submitit.submit import Deferred, Rejected

        if self.cancelling:
            return
        try:
            self._submit(batch)
        except Rejected as error:
            self._refuse(batch.tasks, f"the cluster rejects it: {error}")
        except Deferred as error:
            self._defer(batch, str(error), error.outage)
        except Silent as error:
            self._defer(batch, str(error), outage=True)
        except OSError as error:
            self._defer(batch, f"{self.base}: {error.strerror or error}", outage=True)
        except Exception as error:
            self._refuse(batch.tasks, f"it cannot be submitted: {_words(error)}")

    def _defer(self, batch: Batch, reason: str, outage: bool) -> None:
        batch.strange += not outage
        if batch.strange >= STRANGE_FAILURES:
            self._refuse(batch.tasks, f"sbatch failed {batch.tries} times: {reason}")
            return
        batch.due = time.monotonic() + min(FIRST_RETRY_S * 1.5 ** (batch.tries - 1), LONGEST_RETRY_S)
        with self.registry:
            self.unsent.append(batch)
            told, self.sbatch_trouble = self.sbatch_trouble, True
        if not told:
            self.log.warning(
                f"submitit executor: jobs cannot be submitted now ({reason}); trying again until they can."
            )

    def _submit(self, batch: Batch) -> None:
        """Submit a batch, or find that an earlier try had succeeded unheard."""
        batch.tries += 1
        if batch.submission is not None and (job_id := self.cluster.find(batch.submission.name)) is not None:
            self._accepted(batch, batch.submission, job_id)
            return
        if batch.submission is not None:
            self._withdraw(batch.submission)
            batch.submission = None
        if self.settings.cluster == "slurm":
            self._submit_to_slurm(batch)
        else:
            for task in batch.tasks:
                self._start_here(task)

    def _submit_to_slurm(self, batch: Batch) -> None:
        from snakemake_executor_plugin_submitit.submit import Rejected, to_slurm

        first = batch.tasks[0]
        submission = self._new_submission(batch.tasks)
        jobs = [self._node_job(task, submission, index) for index, task in enumerate(batch.tasks)]
        self.journal.submit(submission)
        batch.submission = self.sending = submission
        try:
            folder = Path(submission.folder)
            job_id = to_slurm(jobs, folder, submission.token, submission.name, first.request, self.settings)
        except Rejected:
            self._withdraw(submission)
            raise
        self._accepted(batch, submission, job_id)
        self.sending = None

    def _withdraw(self, submission: Submission) -> None:
        """Note that the cluster did not take a submission."""
        self.journal.ended(submission, [task.index for task in submission.tasks])
        folders.remove_unsent(Path(submission.folder), submission.token, len(submission.tasks))

    def _start_here(self, task: Task) -> None:
        from snakemake_executor_plugin_submitit.submit import to_this_machine

        submission = self._new_submission([task])
        job = self._node_job(task, submission, 0)
        self.journal.submit(submission)
        gpus = self.gpus.take(task.request.gpu, submission.token)
        with interrupts.held_back():  # a process whose id nobody noted could not be ended
            self._accepted(Batch([task]), submission, to_this_machine(job, Path(submission.folder), gpus))

    def _new_submission(self, tasks: Sequence[Task]) -> Submission:
        token, rule = uuid.uuid4().hex[:10], tasks[0].rule
        known = [task.known(index) for index, task in enumerate(tasks)]
        name = f"{self.settings.job_prefix}-{rule}-{token}"
        folder = folders.rule_folder(folders.private(self.run_folder), rule)
        return Submission(token, name, rule, str(folder), self.settings.cluster, time.time(), known)

    def _node_job(self, task: Task, submission: Submission, index: int) -> NodeJob:
        return NodeJob(
            command=task.command,
            workdir=str(self.workflow.workdir_init),
            attempts_file=str(submission.attempts_file(index)),
            minutes=task.request.runtime,
            signal_delay_s=self.settings.signal_delay,
            max_timeouts=self.settings.max_timeouts,
            timeouts_before=task.timeouts_before,
            cluster=self.settings.cluster,
        )

    def _accepted(self, batch: Batch, submission: Submission, job_id: str) -> None:
        submission.job_id = job_id
        if self.sbatch_trouble:
            self.sbatch_trouble = False
            self._say("jobs can be submitted again")
        with self.registry:
            for index, task in enumerate(batch.tasks):
                task.place(submission, index)
                self.tasks[task.job_id] = task
        self.journal.accepted(submission)
        self.watch.hurry()
        for task in batch.tasks:
            self._report_placed(task)
        count = len(batch.tasks)
        what = f"array {job_id} with {count} jobs" if count > 1 else f"job {job_id}"
        self._say(f"submitted {what} of {submission.rule}")

    def _report_placed(self, task: Task) -> None:
        columns = (task.job_id, task.rule, identity.wildcards(task.job), " ".join(task.outputs), str(task.log))
        folders.note_job(folders.private(self.run_folder), columns)
        with self.registry:
            self.tasks[task.job_id] = task
        if task.info is None:
            task.info = SubmittedJobInfo(task.job, external_jobid=task.job_id, aux={"task": task})
            self.report_job_submission(task.info)
        else:  # submitted a second time; for Snakemake it is the same job
            task.info.external_jobid = task.job_id

    def _run_here(self, task: Task) -> None:
        """Run a job in this process, for looking at it with a debugger."""
        submission = self._new_submission([task])
        submission.job_id = f"debug{os.getpid()}"
        info = SubmittedJobInfo(task.job, external_jobid=submission.job_id)
        self.report_job_submission(info)
        try:
            self._node_job(task, submission, 0)()
        except Exception as error:
            self.report_job_error(info, msg=f"{error}\n")
        else:
            self.report_job_success(info)

    # News

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report what has ended, and yield what has not."""
        infos = [info for info in active_jobs if info.aux]
        if not self.cancelling:
            self.insistence.repeat_if_lost()
        try:
            await asyncio.to_thread(self._send_unsent)
            tasks = [task for info in infos if (task := info.aux["task"]).submission is not None]
            verdicts = dict(await asyncio.to_thread(self.watch.round, tasks)) if tasks else {}
        except Exception:
            self.log.warning(f"submitit executor: looking at jobs failed; they run on.\n{traceback.format_exc()}")
            verdicts = {}
        for info in infos:
            task = info.aux["task"]
            try:
                over = task.over or self._deal_with(task, verdicts.get(task, Verdict.WAIT))
            except Exception:
                over = False
                self.log.warning(f"submitit executor: job {info.external_jobid}:\n{traceback.format_exc()}")
            if not over:
                yield info

    def _send_unsent(self) -> None:
        now = time.monotonic()
        with self.registry:
            due = [batch for batch in self.unsent if batch.due <= now]
            self.unsent = [batch for batch in self.unsent if batch.due > now]
        for batch in due:
            self._send(batch)

    def _deal_with(self, task: Task, verdict: Verdict) -> bool:
        """Report an end and return whether it was one."""
        if verdict is Verdict.WAIT:
            return False
        if verdict is Verdict.AGAIN:
            self._again(task)
            return False
        job_id = task.job_id
        if verdict is Verdict.SUCCESS:
            self._note_interruptions(task)
            self._forget(task, logs=not self.settings.keep_logs)
            self.report_job_success(task.info)
        else:
            message, log = self._failure(task), task.log
            self._forget(task, logs=False)
            self.report_job_error(task.info, msg=message, aux_logs=[str(log)])
        self.log.debug(f"submitit executor: {job_id} {verdict.value}")
        return True

    def _again(self, task: Task) -> None:
        """Submit a job once more that was interrupted and that SLURM does not bring back."""
        entries = attempts.read(task.placed.attempts_file(task.index))
        task.timeouts_before += attempts.count(entries, attempts.TIMEOUT)
        self._say(f"job {task.job_id} ({task.rule}) was interrupted ({task.state or 'gone'}) and is submitted again")
        self._forget(task, logs=False)
        task.displace()
        self._send(Batch([task]))

    def _note_interruptions(self, task: Task) -> None:
        from snakemake_executor_plugin_submitit.submit import read_result

        result = read_result(task.folder / task.result_name)
        if result is not None and result[1]:
            self._say(f"job {task.job_id} ({task.rule}) came through, after {result[1]}")

    def _failure(self, task: Task) -> str:
        """Return why a job failed, the end of its log, and where that is."""
        from snakemake_executor_plugin_submitit.submit import read_result

        result = read_result(task.folder / task.result_name)
        reason = _reason(result[1]) if result else f"no result; SLURM says {task.state or 'that it does not know it'}"
        tail = folders.last_lines(task.log, LOG_LINES)
        text = f"job {task.job_id} of {task.rule}: {reason}; log: {task.log}\n"
        return f"{text}Its last lines:\n{tail}\n" if tail else text

    def _forget(self, task: Task, logs: bool) -> None:
        self.journal.ended(task.placed, [task.index])
        self.gpus.give_back(task.placed.token)
        folders.remove_task(task.folder, task.placed.token, task.index, task.job_id, logs)
        with contextlib.suppress(OSError):  # the base class's list of a job's input files, if they are many
            Path(f"{self.get_jobscript(task.job)}.waitforfilesfile.txt").unlink()
        with self.registry:
            self.tasks.pop(task.job_id, None)

    # Ends

    def cancel(self) -> None:
        """Cancel this run's jobs, then, once nothing can be submitted any more, those that slipped in meanwhile."""
        self.cancelling = True
        self.cancel_jobs([])
        self._stop_watching()
        with self.registry:
            late = [task for task in self.tasks.values() if task.index not in task.placed.cancelled]
        if late:
            self._cancel(late, [])
        self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all jobs of this run, also those that Snakemake does not list at this moment."""
        with self.registry:
            placed = (task for task in self.at_hand if task.submission is not None)
            tasks = list(dict.fromkeys([*self.tasks.values(), *placed]))
            unsent, self.unsent = self.unsent, []
        unheard = [one for one in (self.sending, *(batch.submission for batch in unsent)) if one and one.job_id is None]
        self._cancel(tasks, unheard)

    def _cancel(self, tasks: Sequence[Task], unheard: Sequence[Submission]) -> None:
        """Cancel tasks by their ids, whole arrays at once, and by name what SLURM may have taken unheard."""
        ids = _cancel_ids(tasks)
        if tasks:
            self._say(f"cancelling {len(tasks)} jobs: {' '.join(ids)}")
        try:
            for name in dict.fromkeys(submission.name for submission in unheard):
                self.cluster.cancel_by_name(name)
            self.cluster.cancel(ids)
        except Silent as error:
            names = " ".join(f"--name={submission.name}" for submission in unheard)
            self._warn(f"cancelling failed ({error}); by hand: scancel {' '.join(ids)} {names}".rstrip())
            return
        for task in tasks:
            self.journal.cancelled(task.placed, [task.index])
        if tasks:
            self._say_survivors(tasks)

    def _say_survivors(self, tasks: Sequence[Task]) -> None:
        """Watch cancelled jobs end, a training saves its state first, and name those that still run."""
        deadline = time.monotonic() + SURVIVORS_S
        ids = [task.job_id for task in tasks]
        while ids and time.monotonic() < deadline:
            answer = self.cluster.states(ids, min(task.placed.time for task in tasks))
            ids = [one for one in ids if meaning(answer.states.get(one, "COMPLETED")) in ALIVE]
            if ids:
                time.sleep(1)
        self._say(f"cancelled, and still ending: {' '.join(ids)}" if ids else "all of them have ended")

    def shutdown(self) -> None:
        """Stop watching. Unlike the base class's, this leaves folders alone that waiting jobs may need."""
        self._stop_watching()
        folders.tidy(self.run_folder)
        self.journal.close()

    def _stop_watching(self) -> None:
        with self.lock:
            self.wait = False
        self.wait_thread.join()

    async def sleep(self) -> None:
        """Sleep until the next round, but not when Snakemake wants to end."""
        end = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and time.monotonic() < end:
            await asyncio.sleep(min(NAP_S, max(0.01, end - time.monotonic())))

    # What the base class asks for

    @property
    def tmpdir(self) -> str:
        """Return a folder that outlives this Snakemake: waiting jobs look for it."""
        return str(folders.private(self.run_folder))

    def get_python_executable(self) -> str:
        """Return the command that runs this plugin's module in front of Snakemake on the node (inner.py)."""
        python = shlex.quote(super().get_python_executable())
        return f"{python} -m snakemake_executor_plugin_submitit.inner"

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **given: Any) -> None:
        """Report a failure; say why here if it is a group's, of which Snakemake 9.27 drops the message."""
        if job_info.job.is_group():
            self.log.error(f"submitit executor: {msg}")
        super().report_job_error(job_info, msg=msg, **given)

    def get_job_args(self, job: JobExecutorInterface) -> str:
        """Give the jobs of a group the cores that it asks for; with all of the node's they would all start at once."""
        arguments = str(super().get_job_args(job))
        return f"{arguments} --cores {max(1, job.threads)}" if job.is_group() else arguments  # the last one counts

    def additional_general_args(self) -> str:
        """Keep a rule's `retries` from being counted on the node as well as here: a retry may ask for more memory."""
        return "--preemptible-rules --preemptible-retries 0"

    # Words

    def _open_cluster(self) -> Slurm | Local:
        if self.settings.cluster != "slurm":
            return Local()
        needed = ["sbatch", "squeue", "scancel", "srun"]
        if missing := [program for program in needed if shutil.which(program) is None]:
            raise WorkflowError(
                f"{', '.join(missing)} not found: is this a machine of a SLURM cluster? "
                "--submitit-cluster local runs the same jobs on this machine"
            )
        return Slurm(self.settings.command_timeout, self._warn, self._say)

    def _warn_of_small_arrays(self, workflow: WorkflowExecutorInterface) -> None:
        limit = getattr(getattr(workflow, "scheduling_settings", None), "max_jobs_per_timespan", None)
        if self.settings.cluster == "slurm" and getattr(limit, "max_jobs", 1000) <= 100:
            self._warn(f"--max-jobs-per-timespan {limit} cuts arrays to that many jobs; 5000/1s does not")

    def _say(self, text: str) -> None:
        self.log.info(f"submitit executor: {text}.")

    def _warn(self, text: str) -> None:
        self.log.warning(f"submitit executor: {text}.")

    def _refuse(self, tasks: Sequence[Task], reason: str) -> None:
        for task in tasks:
            task.over = True
            self._error(task.job, f"rule {task.rule}: {reason}.")

    def _error(self, job: JobExecutorInterface, message: str) -> None:
        with contextlib.suppress(Exception):
            self.report_job_error(SubmittedJobInfo(job), msg=f"{message}\n")


def _cancel_ids(tasks: Sequence[Task]) -> list[str]:
    """Return what to cancel: an array by one id, if all its open tasks are this run's."""
    ids: dict[str, None] = {}
    mine = {(task.placed.token, task.index) for task in tasks}
    for task in tasks:
        whole = all((task.placed.token, known.index) in mine for known in task.placed.live)
        ids[str(task.placed.job_id) if whole else task.job_id] = None
    return list(ids)


def _reason(trace: str) -> str:
    """Return the first line of the message at the end of a traceback that submitit wrote."""
    lines = [line for line in trace.splitlines() if line and not line.startswith((" ", "Traceback"))]
    first = next((line for line in lines if "JobFailed: " in line), lines[-1] if lines else "no message")
    return first.partition("JobFailed: ")[2].removesuffix("; its last lines:") or first


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
