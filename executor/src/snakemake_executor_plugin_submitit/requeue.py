"""Puts the job that this process runs back into the queue, and reads SLURM's record of it."""

import subprocess
import time

from snakemake_executor_plugin_submitit.messages import write_to_job_log

POLL_S = 5.0


def requeue(cluster: str, give_up_s: float) -> None:
    """Put this job back into the queue, unless SLURM is doing that already or has cancelled it.

    The check of the state matters: `scontrol requeue` revives a job that its user has just cancelled.
    """
    import submitit

    environment = submitit.JobEnvironment()
    if cluster != "slurm":
        environment._requeue(0)  # leaves the process with submitit's local status for "again"
        return
    deadline = time.monotonic() + give_up_s
    while time.monotonic() < deadline:
        state = own_state(own_record())
        if state == "RUNNING":
            try:
                environment._requeue(0)
                return
            except (OSError, subprocess.SubprocessError) as error:
                write_to_job_log(f"scontrol requeue failed ({error}); trying again")
        elif state:
            write_to_job_log(f"SLURM says {state}: it is up to SLURM whether this job runs again")
            return
        time.sleep(POLL_S)


def seconds_left() -> float | None:
    """Return how long SLURM lets this job run, None if it does not answer.

    A cancelled job has not reached its limit (∞), though SLURM says that its time is up.
    """
    record = own_record()
    if (end := own_end(record)) is None:
        return None
    return end - time.time() if own_state(record) in ("RUNNING", "COMPLETING", "TIMEOUT") else float("inf")


def own_record() -> str:
    """Return slurmctld's record of this job, '' if it does not answer."""
    import submitit

    try:
        command = ["scontrol", "--oneliner", "show", "job", submitit.JobEnvironment().job_id]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError, RuntimeError):
        return ""


def own_state(record: str) -> str:
    """Return the job's state from its record, '' without one."""
    return _value(record, "JobState")


def own_end(record: str) -> float | None:
    """Return when the job's time is up, None if its record does not say."""
    try:
        return time.mktime(time.strptime(_value(record, "EndTime"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _value(record: str, key: str) -> str:
    return next((word.partition("=")[2] for word in record.split() if word.startswith(f"{key}=")), "")
