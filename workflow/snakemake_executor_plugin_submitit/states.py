"""SLURM's job states and what each means for a job that has left no result.

Pure, and one table: every state of `man squeue` and `man sacct` (JOB STATE CODES) up to SLURM 25.11. One that is not in
it counts as alive, so that a newer SLURM's word for "still busy" never fails a job; the job's result or its
disappearance ends it.
"""

from enum import Enum


class Meaning(Enum):
    """What a state says about a job."""

    WAITING = "in the queue"
    RUNNING = "running or about to end"
    COMPLETED = "ended with exit status 0"
    FAILED = "ended, and SLURM will not run it again"
    INTERRUPTED = "stopped through no fault of its own; SLURM may run it again"


STATES: dict[str, Meaning] = {
    "BOOT_FAIL": Meaning.INTERRUPTED,
    "CANCELLED": Meaning.FAILED,
    "COMPLETED": Meaning.COMPLETED,
    "COMPLETING": Meaning.RUNNING,
    "CONFIGURING": Meaning.WAITING,
    "DEADLINE": Meaning.FAILED,
    "EXPEDITING": Meaning.WAITING,
    "FAILED": Meaning.FAILED,
    "LAUNCH_FAILED": Meaning.INTERRUPTED,
    "NODE_FAIL": Meaning.INTERRUPTED,
    "OUT_OF_MEMORY": Meaning.FAILED,
    "PENDING": Meaning.WAITING,
    "POWER_UP_NODE": Meaning.WAITING,
    "PREEMPTED": Meaning.INTERRUPTED,
    "RECONFIG_FAIL": Meaning.INTERRUPTED,
    "REQUEUED": Meaning.WAITING,
    "REQUEUE_FED": Meaning.WAITING,
    "REQUEUE_HOLD": Meaning.WAITING,
    "RESIZING": Meaning.RUNNING,
    "RESV_DEL_HOLD": Meaning.WAITING,
    "REVOKED": Meaning.INTERRUPTED,
    "RUNNING": Meaning.RUNNING,
    "SIGNALING": Meaning.RUNNING,
    "SPECIAL_EXIT": Meaning.WAITING,
    "STAGE_OUT": Meaning.RUNNING,
    "STOPPED": Meaning.RUNNING,
    "SUSPENDED": Meaning.RUNNING,
    "TIMEOUT": Meaning.FAILED,
    "UPDATE_DB": Meaning.RUNNING,
}
# In the queue, but only an administrator gets them out of it; worth a word to the user.
HELD = ("REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
ALIVE = (Meaning.WAITING, Meaning.RUNNING)


def bare(state: str) -> str:
    """Return the state's name alone: sacct writes 'CANCELLED by 1000', and 'CANCELLED+' where a column is narrow."""
    words = state.split()
    return words[0].rstrip("+").upper() if words else ""


def meaning(state: str) -> Meaning:
    """Return what a state, as squeue or sacct writes it, means."""
    return STATES.get(bare(state), Meaning.RUNNING)
