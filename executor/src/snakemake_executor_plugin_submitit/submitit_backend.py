"""Submits jobs through submitit: one sbatch call a batch, or a process on this machine.

The head imports submitit only here, and this module only when it submits.
"""

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.core import Job
from submitit.core.utils import DelayedSubmission

from snakemake_executor_plugin_submitit.environment import cleaned, sbatch_defaults
from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.names import pickle_name, sent_script_name, unsent_script_name
from snakemake_executor_plugin_submitit.node import NodeJob
from snakemake_executor_plugin_submitit.request import Request, slurm_options
from snakemake_executor_plugin_submitit.sbatch_errors import Deferred, classify
from snakemake_executor_plugin_submitit.settings import ExecutorSettings


class ArrayExecutor(submitit.SlurmExecutor):
    """submitit's SLURM executor with its pickles in place before sbatch is called, and a time limit for sbatch.

    submitit's own array path makes a copy of its base class, so this replaces it, for arrays and single jobs alike.
    """

    def __init__(self, folder: Path, token: str, timeout_s: int) -> None:
        super().__init__(folder)
        self.token, self.timeout_s = token, timeout_s

    @property
    def _submitit_command_str(self) -> str:
        module = "snakemake_executor_plugin_submitit.node_main"
        command = f"{self.python} -u -m {module} {shlex.quote(str(self.folder))} {self.token}"
        # Without srun the batch shell gets the signals: it has to become the job.
        return command if self.parameters["use_srun"] else f"exec {command}"

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        count = len(delayed_submissions)
        for index, delayed in enumerate(delayed_submissions):
            delayed.set_timeout(self.parameters["time"], 0)
            delayed.dump(self.folder / pickle_name(self.token, index))
        if count > 1:
            self.parameters["map_count"] = count
        job_id = self._call_sbatch()
        ids = [f"{job_id}_{index}" for index in range(count)] if count > 1 else [job_id]
        return [submitit.SlurmJob(folder=self.folder, job_id=one) for one in ids]

    def _call_sbatch(self) -> str:
        """Submit a batch script and return the id; raise Rejected, TooMany or Deferred."""
        script = self.folder / unsent_script_name(self.token)
        script.write_text(self._make_submission_file_text(self._submitit_command_str, self.token))
        done = subprocess.run(
            ["timeout", "--kill-after=5", str(self.timeout_s), "sbatch", str(script)],
            capture_output=True,
            text=True,
            errors="replace",  # a site's banner may be in any encoding
            stdin=subprocess.DEVNULL,
            env=cleaned(os.environ),
            start_new_session=True,  # out of Ctrl-C's reach
            check=False,
        )
        if done.returncode != 0:
            script.unlink(missing_ok=True)
            raise classify(done.stderr)
        job_id = printed_id(done.stdout)
        with contextlib.suppress(OSError):
            script.replace(self.folder / sent_script_name(job_id))
        return job_id


def printed_id(text: str) -> str:
    """Return the id that sbatch printed, the last one: a site's banner may mention a 'job 5' too."""
    if match := re.findall(r"Submitted batch job (\d+)", text):
        return str(match[-1])
    raise Deferred(f"sbatch printed no job id: {text.strip()!r}")


def to_slurm(jobs: Sequence[NodeJob], submission: Submission, request: Request, settings: ExecutorSettings) -> str:
    """Submit jobs with equal requests by one call of sbatch and return the id; raise Rejected, TooMany or Deferred."""
    # A new executor each time: parameters would leak.
    executor = ArrayExecutor(Path(submission.folder), submission.token, settings.command_timeout)
    executor.update_parameters(
        job_name=submission.name,
        time=request.runtime,
        array_parallelism=settings.array_parallelism or len(jobs),
        wckey=settings.wckey,
        use_srun=settings.with_srun,
        # Since SLURM 22.05 srun does not inherit --cpus-per-task from the job.
        srun_args=[f"--cpus-per-task={request.threads}"],
        additional_parameters=sbatch_defaults(os.environ)
        | slurm_options(request, settings.signal_delay, settings.with_srun),
    )
    return executor.submit_array([*jobs])[0].job_id.partition("_")[0]


def to_this_machine(job: NodeJob, folder: Path, gpus: Sequence[str]) -> str:
    """Start a job on this machine and return its id."""
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(timeout_min=job.minutes, signal_delay_s=job.signal_delay_s, gpus_per_node=len(gpus))
    executor.parameters["visible_gpus"] = tuple(gpus)  # update_parameters refuses UUIDs and MIG names
    return executor.submit(job).job_id
