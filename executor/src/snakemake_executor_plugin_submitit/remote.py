"""Snakemake's remote executor with changes that need no knowledge of the cluster."""

import asyncio
import contextlib
import shlex
import time
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

NAP_S = 0.2


class InterruptibleExecutor(RemoteExecutor):  # type: ignore[misc]  # the interface has no types
    """A remote executor that ends at once when Snakemake does, and whose jobs survive signals."""

    def get_python_executable(self) -> str:
        """Return the command that runs this plugin's module in front of Snakemake on the node."""
        python = shlex.quote(super().get_python_executable())
        return f"{python} -m snakemake_executor_plugin_submitit.node_snakemake"

    def get_job_args(self, job: JobExecutorInterface) -> str:
        """Give the jobs of a group the cores that it requests; with all of the node's they would all start at once."""
        arguments = str(super().get_job_args(job))
        return f"{arguments} --cores {max(1, job.threads)}" if job.is_group() else arguments  # the last one counts

    def additional_general_args(self) -> str:
        """Keep a rule's `retries` from being counted on the node as well as here: a retry may ask for more memory."""
        return "--preemptible-rules --preemptible-retries 0"

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **arguments: Any) -> None:
        """Report a failure; log a group's message here, because Snakemake 9.27 drops it."""
        if job_info.job.is_group():
            self.logger.error(f"submitit executor: {msg}")
        super().report_job_error(job_info, msg=msg, **arguments)

    def report_unsubmitted(self, job: JobExecutorInterface, message: str) -> None:
        """Report that a job failed before it was submitted."""
        with contextlib.suppress(Exception):
            self.report_job_error(SubmittedJobInfo(job), msg=f"{message}\n")

    def remove_list_of_inputs(self, job: JobExecutorInterface) -> None:
        """Remove the base class's list of a job's input files, which exists if they are many."""
        with contextlib.suppress(OSError):
            Path(f"{self.get_jobscript(job)}.waitforfilesfile.txt").unlink()

    def stop_watching(self) -> None:
        """End the wait thread."""
        with self.lock:
            self.wait = False
        self.wait_thread.join()

    async def sleep(self) -> None:
        """Sleep until the next round, but not when Snakemake wants to end."""
        end = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and time.monotonic() < end:
            await asyncio.sleep(min(NAP_S, max(0.01, end - time.monotonic())))
