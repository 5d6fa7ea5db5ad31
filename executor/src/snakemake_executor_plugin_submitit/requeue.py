"""Puts the job that this process runs back into the queue, and reads SLURM's record of it."""

import re
import subprocess
import time

from snakemake_executor_plugin_submitit.messages import write_to_job_log

POLL_S = 5.0
DISABLED = ("disabled", "denied", "not permitted")  # by the site: trying again would hold the node for nothing


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
        record = own_record()
        if (state := own_state(record)) not in ("RUNNING", ""):
            write_to_job_log(f"SLURM says {state}: it is up to SLURM whether this job runs again")
            return
        if state and _requeued_or_hopeless(environment.job_id, record):
            return
        time.sleep(POLL_S)


def _requeued_or_hopeless(job_id: str, record: str) -> bool:
    """Ask for the requeue; return whether asking again is of no use. Snakemake submits the job again if it failed."""
    if _value(record, "Requeue") == "0":
        write_to_job_log("jobs may not be requeued here; Snakemake submits it again")
        return True
    try:
        done = _scontrol("requeue", job_id)
    except (OSError, subprocess.SubprocessError) as error:
        write_to_job_log(f"scontrol requeue failed ({error}); trying again")
        return False
    text = " ".join(f"{done.stdout} {done.stderr}".split())
    hopeless = any(word in text.lower() for word in DISABLED)
    if done.returncode != 0:
        write_to_job_log(f"scontrol requeue failed ({text}); {'Snakemake submits it again' if hopeless else 'again'}")
    return done.returncode == 0 or hopeless


def seconds_left(record: str) -> float | None:
    """Return how long the time limit lets this job run, None if the record does not say.

    EndTime is no help: SLURM sets it to now for a job that it ends for any other reason.
    """
    limit, ran = _value(record, "TimeLimit"), _seconds(_value(record, "RunTime"))
    if ran is None:
        return None
    if limit == "UNLIMITED":
        return float("inf")
    seconds = _seconds(limit)
    return None if seconds is None else seconds - ran


def own_record() -> str:
    """Return slurmctld's record of this job, '' if it does not answer."""
    import submitit

    try:
        done = _scontrol("--oneliner", "show", "job", submitit.JobEnvironment().job_id)
    except (OSError, subprocess.SubprocessError, RuntimeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def own_state(record: str) -> str:
    """Return the job's state from its record, '' without one."""
    return _value(record, "JobState")


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["scontrol", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)


def _seconds(text: str) -> float | None:
    """Return the seconds that SLURM writes as [days-]hours:minutes:seconds."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _value(record: str, key: str) -> str:
    return next((word.partition("=")[2] for word in record.split() if word.startswith(f"{key}=")), "")
