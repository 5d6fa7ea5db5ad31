"""The executor as Snakemake sees it: takes jobs, reports their ends, cancels what is left.

Two threads call it. Snakemake's scheduler submits jobs (`run_jobs`) and cancels them (`cancel`); the wait thread asks
for news (`check_active_jobs`). No exception may leave either way: in the first it would cancel the whole run, in the
second orphan it.
"""

import asyncio
import contextlib
import os
import traceback
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from snakemake_executor_plugin_submitit import folders, identity, interrupts, names, reattach
from snakemake_executor_plugin_submitit.background import Background
from snakemake_executor_plugin_submitit.canceller import Canceller
from snakemake_executor_plugin_submitit.decide import Outcome
from snakemake_executor_plugin_submitit.endings import Endings
from snakemake_executor_plugin_submitit.journal import InUse, Journal
from snakemake_executor_plugin_submitit.messages import Messages, describe
from snakemake_executor_plugin_submitit.remote import InterruptibleExecutor
from snakemake_executor_plugin_submitit.request import BadRequest, request_of
from snakemake_executor_plugin_submitit.run import Cancelled, Run, open_cluster
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.submitter import Submitter
from snakemake_executor_plugin_submitit.task import Batch, Task, grouped
from snakemake_executor_plugin_submitit.watch import Watch

ENOUGH_INTERRUPTS = 2  # after the one that began the cancelling


class Executor(InterruptibleExecutor):
    """Runs jobs through submitit."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        # All before the base class's part, which starts the wait thread.
        self.interrupt_guard = interrupts.InterruptGuard()
        interrupts.survive_sigterm()
        self.run, self.orphans = open_run(workflow, logger)
        self.watch = Watch(self.run)
        self.submitter = Submitter(self.run, self._report_assigned, self._refuse)
        self.endings = Endings(self.run)
        self.canceller = Canceller(self.run)
        self.background = Background()
        super().__init__(workflow, logger)

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit all these jobs now, similar ones as one array."""
        for job in jobs:
            self.run_job_pre(job)
        self._run_jobs(jobs)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self._run_jobs([job])

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report jobs that have ended, and yield the others."""
        infos = [info for info in active_jobs if info.aux]
        if self.run.cancelling:  # a cancelled job is no failure to report
            for info in infos:
                yield info
            return
        self.interrupt_guard.repeat_if_lost()
        try:
            told_to_end = getattr(self.workflow.scheduler, "_user_kill", None)  # by SIGTERM
            await asyncio.to_thread(self.submitter.refuse_deferred if told_to_end else self.submitter.send_due)
            tasks = [task for info in infos if (task := info.aux["task"]).submission is not None]
            outcomes = await asyncio.to_thread(self.watch.round, tasks) if tasks else {}
        except Exception:
            self.logger.warning(f"submitit executor: looking at jobs failed; they run on.\n{traceback.format_exc()}")
            outcomes = {}
        for info in infos:
            task = info.aux["task"]
            try:
                outcome = Outcome.WAIT if self.run.cancelling else outcomes.get(task, Outcome.WAIT)
                ended = task.finished or self._settle(task, outcome)
            except Exception:
                ended = False
                self.logger.warning(f"submitit executor: job {info.external_jobid}:\n{traceback.format_exc()}")
            if not ended:
                yield info

    def cancel(self) -> None:
        """Cancel this run's jobs. More interrupts end the waiting; what is not confirmed by then is named."""
        self.run.cancelling = True
        with interrupts.counted() as received:
            cancelling, announced = self.background.start(self._cancel_all), False
            while cancelling.is_under_way() and len(received) < ENOUGH_INTERRUPTS:
                cancelling.wait(0.1)
                if received and not announced:
                    announced = True
                    self.run.messages.info("cancelling goes on; one more interrupt ends the waiting")
        if cancelling.is_under_way():
            self.canceller.report_unconfirmed(list(self.run.tasks.values()), self.submitter.give_up())
        else:
            self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all jobs of this run that are not cancelled yet, also those that Snakemake does not list now."""
        tasks = list(self.run.tasks.copy().values())
        self.canceller.cancel([task for task in tasks if task.index not in task.assignment.cancelled])

    def _cancel_all(self) -> None:
        """Cancel what is known, then, once nothing can be submitted any more, what was submitted in the meantime."""
        try:
            self.cancel_jobs([])
            if others := self.background.others():
                self.run.messages.info("waiting for sbatch to answer, so that its jobs can be cancelled, too")
            for work in others:
                with contextlib.suppress(Exception):
                    work.wait()
            self.stop_watching()
            self.cancel_jobs([])
            self.canceller.cancel_unheard(self.submitter.give_up())
            self.canceller.report_survivors()
        except Exception:
            self.logger.warning(f"submitit executor: cancelling failed.\n{traceback.format_exc()}")
            self.canceller.report_unconfirmed(list(self.run.tasks.values()), self.submitter.give_up())

    def shutdown(self) -> None:
        """Stop watching. Unlike the base class's, this leaves folders alone that waiting jobs may need."""
        self.stop_watching()
        folders.tidy(self.run.folder)
        self.run.journal.close()

    @property
    def tmpdir(self) -> str:
        """Return a folder that outlives this Snakemake: waiting jobs look for it."""
        return str(folders.private(self.run.folder))

    def _run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        tasks = [task for job in jobs if (task := self._task(job)) is not None]
        if self.run.settings.cluster == "debug":
            for task in tasks:
                self._run_in_this_process(task)
        else:
            self.background.run(lambda: self._submit(tasks))

    def _task(self, job: JobExecutorInterface) -> Task | None:
        rule = identity.name(job)
        try:
            request = request_of(dict(job.resources.items()), job.threads, self.run.settings.signal_delay)
            command = str(self.format_job_exec(job))
            key, outputs, wildcards = identity.identity(job), identity.outputs(job), identity.wildcards(job)
            newest, fenced = identity.newest_input(job), identity.fenced(job)
            return Task(job, rule, key, outputs, request, command, wildcards, newest, fenced)
        except BadRequest as error:
            self.report_unsubmitted(job, f"rule {rule}: {error}.")
        except Exception as error:
            self.report_unsubmitted(job, f"this job cannot be submitted: {describe(error)}.")
        return None

    def _submit(self, tasks: Sequence[Task]) -> None:
        """Assign tasks to jobs of an earlier run that do the same, and submit the others."""
        try:
            taken, left = self.orphans.take_over(tasks)
            size = self.run.array_size()
        except Cancelled:
            return
        except Exception as error:
            self._refuse(tasks, f"looking for jobs of an earlier run failed: {describe(error)}")
            return
        if taken:
            self._report_assigned(taken)
        for similar in grouped(left, lambda task: task.array_key, size):
            self.submitter.send(Batch(similar))

    def _run_in_this_process(self, task: Task) -> None:
        """Run a job in this process, for looking at it with a debugger."""
        submission = self.run.new_submission([task])
        submission.job_id = f"debug{os.getpid()}"
        info = SubmittedJobInfo(task.job, external_jobid=submission.job_id)
        self.report_job_submission(info)
        try:
            self.run.node_job(task, submission, 0)()
        except Exception as error:
            self.report_job_error(info, msg=f"{error}\n")
        else:
            self.report_job_success(info)

    def _settle(self, task: Task, outcome: Outcome) -> bool:
        """Report an end, or submit an interrupted job again; return whether it was an end."""
        if outcome is Outcome.WAIT or (outcome is not Outcome.SUCCESS and not self.endings.is_over(task)):
            return False
        if outcome is Outcome.AGAIN:
            self.endings.interrupt(task)
            self.submitter.send(Batch([task]))
            return False
        self.remove_list_of_inputs(task.job)
        job_id, log = task.job_id, task.log
        if outcome is Outcome.SUCCESS:
            self.endings.succeed(task)
            self.report_job_success(task.info)
        else:
            self.report_job_error(task.info, msg=self.endings.fail(task), aux_logs=[str(log)])
        self.logger.debug(f"submitit executor: {job_id} {outcome.value}")
        return True

    def _report_assigned(self, tasks: Sequence[Task]) -> None:
        self.watch.hurry()
        for task in tasks:
            columns = (task.job_id, task.rule, task.wildcards, " ".join(task.outputs), str(task.log))
            folders.note_job(self.run.folder, columns)
            if task.info is None:
                task.info = SubmittedJobInfo(task.job, external_jobid=task.job_id, aux={"task": task})
                self.report_job_submission(task.info)
            else:  # submitted a second time; for Snakemake it is the same job
                task.info.external_jobid = task.job_id

    def _refuse(self, tasks: Sequence[Task], reason: str) -> None:
        for task in tasks:
            task.finished = True
            self.report_unsubmitted(task.job, f"rule {task.rule}: {reason}.")


def open_run(workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> tuple[Run, reattach.OrphanedJobs]:
    """Return this run and the jobs that earlier ones left; raise WorkflowError for what the user has to change."""
    settings: ExecutorSettings = workflow.executor_settings or ExecutorSettings()
    messages = Messages(logger)
    cluster = open_cluster(settings, messages)
    base = Path(settings.folder).expanduser().absolute()
    if settings.cluster == "slurm" and "%" in str(base):
        raise WorkflowError(f"--submitit-folder: {base} has a %, which sbatch would replace; set a folder without one")
    try:
        journal = Journal(folders.own(base) / names.JOURNAL)
    except (folders.BadFolder, InUse) as error:
        raise WorkflowError(str(error)) from None
    earlier = journal.live()
    folders.prune(base, settings.keep_days, [Path(one.folder) for one in earlier])
    folders.prune_fences(base)
    earlier = reattach.without_copied(earlier, journal, messages)
    run = Run(settings, cluster, journal, base / folders.run_name(), str(workflow.workdir_init), messages)
    limit = getattr(getattr(workflow, "scheduling_settings", None), "max_jobs_per_timespan", None)
    if settings.cluster == "slurm" and getattr(limit, "max_jobs", 1000) <= 100:
        messages.warning(f"--max-jobs-per-timespan {limit} cuts arrays to that many jobs; 5000/1s does not")
    return run, reattach.OrphanedJobs(earlier, run)
