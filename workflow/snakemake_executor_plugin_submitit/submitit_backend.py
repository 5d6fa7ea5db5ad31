"""Hands jobs to submitit: one sbatch call a batch, or a process on this machine. Only here submitit is imported."""

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.core import Job
from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError, pickle_load
from submitit.helpers import clean_env

from snakemake_executor_plugin_submitit.entry import pickle_name
from snakemake_executor_plugin_submitit.node import NodeJob
from snakemake_executor_plugin_submitit.request import Request, slurm_options
from snakemake_executor_plugin_submitit.settings import ExecutorSettings

# What sbatch says of a request that will never be granted; trying again would only hide it.
HOPELESS = (
    "invalid partition",
    "invalid account",
    "invalid qos",
    "invalid wckey",
    "invalid constraint",
    "invalid feature",
    "invalid generic resource",
    "invalid trackable resource",
    "invalid --",
    "invalid time limit",
    "invalid job array",
    "invalid reservation",
    "invalid node name",
    "unrecognized option",
    "requested node configuration is not available",
    "requested time limit is invalid",
    "memory specification can not be satisfied",
    "more processors requested than permitted",
    "node count specification invalid",
    "cpu count per node can not be satisfied",
    "user's group not permitted",
    "access/permission denied",
)
# What it says when it cannot, or may not yet, take the job.
TRANSIENT = (
    "timed out",
    "unable to contact",
    "connection refused",
    "connect failure",
    "connection reset",
    "communication",
    "temporarily",
    "try again",
    "maxsubmit",
    "submitjob",
    "job limit",
    "no space left",
    "quota exceeded",
    "zero bytes were transmitted",
    "slurm controller",
    "munge",
    "exit status 124",
)


class Rejected(Exception):
    """The cluster will not take these jobs."""


class Deferred(Exception):
    """The cluster did not take these jobs now, or did and could not say so."""

    def __init__(self, message: str, outage: bool) -> None:
        super().__init__(message)
        self.outage = outage  # whether it will surely pass


class ArrayExecutor(submitit.SlurmExecutor):
    """submitit's SLURM executor with its pickles in place before sbatch is called, and a time limit for sbatch.

    submitit's own array path makes a copy of its base class, so this replaces it, for arrays and single jobs alike.
    """

    def __init__(self, folder: Path, token: str, timeout_s: int) -> None:
        super().__init__(folder)
        self.token, self.timeout_s = token, timeout_s

    @property
    def _submitit_command_str(self) -> str:
        module = "snakemake_executor_plugin_submitit.entry"
        command = f"{self.python} -u -m {module} {_quoted(self.folder)} {self.token}"
        # Without srun the batch shell gets the signals: it has to become the job.
        return command if self.parameters["use_srun"] else f"exec {command}"

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        # timeout puts sbatch into a process group of its own, out of Ctrl-C's reach.
        return ["timeout", "--kill-after=5", str(self.timeout_s), "sbatch", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        """Return the id that sbatch printed; a site's banner may speak of a 'job 5' too."""
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


def to_slurm(
    jobs: Sequence[NodeJob], folder: Path, token: str, name: str, request: Request, settings: ExecutorSettings
) -> str:
    """Submit jobs with equal requests by one call of sbatch and return the id; raise Rejected or Deferred."""
    executor = ArrayExecutor(folder, token, settings.command_timeout)  # a new one: parameters would leak
    options = slurm_options(request, settings.signal_delay, settings.with_srun)
    executor.update_parameters(
        job_name=name,
        time=request.runtime,
        array_parallelism=settings.array_parallelism or len(jobs),
        wckey=settings.wckey,
        use_srun=settings.with_srun,
        # Since SLURM 22.05 srun no longer takes over --cpus-per-task of the job.
        srun_args=[f"--cpus-per-task={request.threads}"],
        additional_parameters=options,
    )
    try:
        with _outside_of_jobs():
            return executor.submit_array([*jobs])[0].job_id.partition("_")[0]
    except FailedSubmissionError as error:
        raise Deferred(str(error), outage=False) from error
    except (FailedJobError, OSError) as error:
        raise _sorted_out(error) from error


def to_this_machine(job: NodeJob, folder: Path, gpus: Sequence[int]) -> str:
    """Start a job on this machine and return its id."""
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(
        timeout_min=job.minutes,
        signal_delay_s=job.signal_delay_s,
        gpus_per_node=len(gpus),
        visible_gpus=tuple(gpus),
    )
    return executor.submit(job).job_id


def read_result(path: Path) -> tuple[str, str] | None:
    """Return what submitit wrote when the job ended, ('success' or 'error', text); None if it cannot be read yet."""
    try:
        kind, text = pickle_load(path)
    except (OSError, EOFError, ValueError):
        return None
    return str(kind), str(text)


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide this job's own SLURM variables from sbatch, if Snakemake itself runs in a job.

    Only then: on a login node SBATCH_ACCOUNT and its like are the user's wishes.
    """
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    where = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(where)  # how to reach the cluster is no setting of the job
        yield


def _sorted_out(error: Exception) -> Exception:
    """Return what a failed submission means."""
    text = " ".join(str(error).split())
    lower = text.lower()
    transient = any(sign in lower for sign in TRANSIENT)
    if any(sign in lower for sign in HOPELESS) and not transient:
        return Rejected(text)
    hung = not text  # killed by timeout, or by somebody
    return Deferred(text or "sbatch gave no answer", outage=transient or hung or isinstance(error, OSError))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
