"""The end of a task: what is reported of it, and what is removed."""

import contextlib

from snakemake_executor_plugin_submitit import attempts, folders
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import SlurmUnavailable
from snakemake_executor_plugin_submitit.states import Meaning, bare, meaning
from snakemake_executor_plugin_submitit.task import Task

REPORTED_BY_NODE = ("FAILED", "OUT_OF_MEMORY")  # others are said of a node that does not answer, too
LOG_LINES = 15  # of a failed job, in Snakemake's message


class Endings:
    """Reports how tasks ended, and removes their files and records."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def succeed(self, task: Task) -> None:
        """Report the interruptions that a task survived, and remove what it leaves."""
        result = folders.read_result(task.result_file)
        if result is not None and result[1]:
            self._run.messages.info(f"job {task.job_id} ({task.rule}) came through, after {result[1]}")
        self._open_fences(task)
        self._remove(task, logs=not self._run.settings.keep_logs)

    def _record_end(self, task: Task) -> None:
        """Spare the next attempt the wait for one that was killed, if the node itself has reported its end."""
        if bare(task.state or "") in REPORTED_BY_NODE:
            for fence in self._run.fences(task):
                attempts.record_end(fence, task.assignment.token)

    def _open_fences(self, task: Task) -> None:
        """Remove the fences of a task that has succeeded, unless an attempt elsewhere may have to see them yet."""
        for fence in self._run.fences(task):
            with contextlib.suppress(OSError):
                if not attempts.unstopped(attempts.read(fence)):
                    fence.unlink(missing_ok=True)

    def fail(self, task: Task) -> str:
        """Remove what a failed task leaves, its logs excepted; return why it failed, where its log is, and its end."""
        result = folders.read_result(task.result_file)
        reason = failure_reason(result[1]) if result else reason_without_result(task.state, task.where)
        tail = folders.last_lines(task.log, LOG_LINES)
        log = (
            f"log: {task.log}" if task.log.exists() else f"no log, so that the node could not write into {task.folder}"
        )
        text = f"job {task.job_id} of {task.rule}: {reason}; {log}\n"
        self._record_end(task)
        self._remove(task, logs=False)
        return f"{text}Its last lines:\n{tail}\n" if tail else text

    def is_over(self, task: Task) -> bool:
        """Make sure that a task which is given up cannot go on beside another; return whether that is certain.

        SLURM may have hidden it, or run it again later.
        """
        if task.state is not None and meaning(task.state) in (Meaning.COMPLETED, Meaning.FAILED):
            return True
        try:
            self._run.cluster.cancel_unseen([task.handle])
        except SlurmUnavailable:
            return False
        return True

    def interrupt(self, task: Task) -> None:
        """Prepare another submission of a task that was interrupted and that SLURM does not requeue."""
        task.timeouts_before += attempts.count(task.read_attempts(), attempts.TIMEOUT)
        self._run.messages.info(
            f"job {task.job_id} ({task.rule}) was interrupted ({task.state or 'gone'}) and is submitted again"
        )
        self._record_end(task)
        self._remove(task, logs=False)
        task.unassign()

    def _remove(self, task: Task, logs: bool) -> None:
        self._run.journal.ended(task.assignment, [task.index])
        self._run.gpus.give_back(task.assignment.token)
        folders.remove_task(task.folder, task.assignment.token, task.index, task.job_id, logs)
        self._run.tasks.pop(task.job_id, None)


def reason_without_result(state: str | None, where: str = "") -> str:
    """Return why a job without a result has failed."""
    if bare(state or "") == "COMPLETED":
        return "it ended with exit status 0, but left no result, so nothing proves that it ran"
    return f"no result; SLURM says {state or 'that it does not know it'}{f' ({where})' if where else ''}"


def failure_reason(trace: str) -> str:
    """Return the first line of the message at the end of a traceback that submitit wrote."""
    lines = [line for line in trace.splitlines() if line and not line.startswith((" ", "Traceback"))]
    first = next((line for line in lines if "JobFailed: " in line), lines[-1] if lines else "no message")
    return first.partition("JobFailed: ")[2].removesuffix("; its last lines:") or first
