"""SLURM's job states and what each means for a job that has left no result.

Pure, and one table: every state of `man squeue` and `man sacct` (JOB STATE CODES) up to SLURM 25.11. An unknown state
counts as alive, so that a newer SLURM's word for "still busy" never fails a job; the job's result or its disappearance
ends it.
"""

from enum import Enum


class Meaning(Enum):
    """What a state says about a job, and the states that say it."""

    WAITING = (  # in the queue
        "CONFIGURING EXPEDITING PENDING POWER_UP_NODE REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT"
    )
    RUNNING = (  # or about to end
        "COMPLETING RESIZING RUNNING SIGNALING STAGE_OUT STOPPED SUSPENDED UPDATE_DB"
    )
    COMPLETED = "COMPLETED"  # ended with exit status 0
    FAILED = "CANCELLED DEADLINE FAILED OUT_OF_MEMORY TIMEOUT"  # ended, and SLURM will not run it again
    INTERRUPTED = (  # stopped through no fault of its own; SLURM may run it again
        "BOOT_FAIL LAUNCH_FAILED NODE_FAIL PREEMPTED RECONFIG_FAIL REVOKED"
    )


STATES: dict[str, Meaning] = {state: meaning for meaning in Meaning for state in meaning.value.split()}


def bare(state: str) -> str:
    """Return the state's name alone: sacct writes 'CANCELLED by 1000', and 'CANCELLED+' where a column is narrow."""
    words = state.split()
    return words[0].rstrip("+").upper() if words else ""


def meaning(state: str) -> Meaning:
    """Return what a state, as squeue or sacct writes it, means."""
    return STATES.get(bare(state), Meaning.RUNNING)


def is_alive(state: str) -> bool:
    """Return whether a job in this state is waiting or running; '' is the state of a job that SLURM does not know."""
    return bool(state) and meaning(state) in (Meaning.WAITING, Meaning.RUNNING)
