"""Which process this is, for others that read a file of it: host, process id, start, kernel, SLURM job."""

import os
import socket
from pathlib import Path
from typing import Any

import psutil

START_TOLERANCE_S = 2.0  # two readings of when a process began differ by less; a reused process id's by more


def identity() -> dict[str, Any]:
    """Return what identifies this process: host, process id and the process's start, and where these hold."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": process_started(),
        "job": slurm_job(),
        "kernel": kernel(),
        "pids": pid_space(),
    }


def process_started() -> float:
    """Return when this process began, in seconds; 0 where the system does not say."""
    try:
        return float(psutil.Process().create_time())
    except (psutil.Error, OSError):
        return 0.0


def kernel() -> str:
    """Return a name of the running kernel: all processes that see the same one share its locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # macOS
        return socket.gethostname()


def pid_space() -> str:
    """Return a name of the set of processes in which this one's id is unique; containers have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def slurm_job() -> str | None:
    """Return the id of the SLURM job that this process belongs to, as squeue writes it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def where() -> str:
    """Return this process in words."""
    process = f"process {os.getpid()} on {socket.gethostname()}"
    job = slurm_job()
    return process if job is None else f"SLURM job {job}, {process}"


def lives(record: dict[str, Any]) -> bool:
    """Return whether the process that an `identity` names lives; it must be of this set of processes."""
    try:
        process = psutil.Process(int(record["pid"]))
        same = abs(process.create_time() - float(record["process_started"])) < START_TOLERANCE_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
