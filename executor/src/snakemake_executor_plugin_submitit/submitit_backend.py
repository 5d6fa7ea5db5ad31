"""Submits jobs through submitit: one sbatch call a batch, or a process on this machine.

The head imports submitit only here, and this module only when it submits.
"""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.core import Job
from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError

from snakemake_executor_plugin_submitit.environment import removed, sbatch_defaults
from snakemake_executor_plugin_submitit.journal import Submission
from snakemake_executor_plugin_submitit.names import pickle_name
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

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        # timeout puts sbatch into a process group of its own, out of Ctrl-C's reach.
        unset = [word for name in removed(os.environ) for word in ("-u", name)]
        return ["env", *unset, "timeout", "--kill-after=5", str(self.timeout_s), "sbatch", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        """Return the id that sbatch printed; a site's banner may mention a 'job 5' too."""
        text = string if isinstance(string, str) else string.decode()
        if match := re.findall(r"Submitted batch job (\d+)", text):
            return str(match[-1])
        raise FailedSubmissionError(f"sbatch printed no job id: {text!r}")

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        count = len(delayed_submissions)
        for index, delayed in enumerate(delayed_submissions):
            delayed.set_timeout(self.parameters["time"], 0)
            delayed.dump(self.folder / pickle_name(self.token, index))
        if count > 1:
            self.parameters["map_count"] = count
        first: Job[Any] = self._submit_command(self._submitit_command_str)
        ids = [f"{first.job_id}_{index}" for index in range(count)] if count > 1 else [first.job_id]
        return [submitit.SlurmJob(folder=self.folder, job_id=one) for one in ids]


def to_slurm(jobs: Sequence[NodeJob], submission: Submission, request: Request, settings: ExecutorSettings) -> str:
    """Submit jobs with equal requests by one call of sbatch and return the id; raise Rejected or Deferred."""
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
    try:
        return executor.submit_array([*jobs])[0].job_id.partition("_")[0]
    except FailedSubmissionError as error:
        raise Deferred(str(error)) from error
    except (FailedJobError, OSError) as error:
        raise classify(error) from error


def to_this_machine(job: NodeJob, folder: Path, gpus: Sequence[int]) -> str:
    """Start a job on this machine and return its id."""
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(
        timeout_min=job.minutes, signal_delay_s=job.signal_delay_s, gpus_per_node=len(gpus), visible_gpus=tuple(gpus)
    )
    return executor.submit(job).job_id
