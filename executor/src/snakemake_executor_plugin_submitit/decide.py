"""Decide a job's outcome from its result file and SLURM's state. Pure; nothing is concluded from an unknown state.

| result file | SLURM's state | outcome |
| --- | --- | --- |
| success | any | success |
| error | unknown, or the job lives (it was requeued: the file is an old attempt's) | wait |
| error | ended or gone | failed, once that has held for a moment |
| none | unknown (no answer) | wait |
| none | waiting, running | wait |
| none | COMPLETED | failed, once the result file has had time to show up: exit status 0 alone proves nothing |
| none | ended | failed, once that has held; submitted again if the job saved its state and asked for it |
| none | interrupted (preempted, node lost) | wait for SLURM's requeue; after the patience submitted again |
| none | gone | wait; after the patience failed |
"""

from enum import Enum

from snakemake_executor_plugin_submitit.states import Meaning, bare, is_alive, meaning

CONFIRM_S = 5.0  # SLURM may requeue what it has just called failed
RESULT_LAG_S = 60.0  # of a shared file system


class Outcome(Enum):
    """What to do with a job."""

    WAIT = "wait"
    SUCCESS = "success"
    FAILED = "failed"
    AGAIN = "submit again"


def decide(result: str | None, state: str | None, held_s: float, wants_restart: bool, patience_s: float) -> Outcome:
    """Return the outcome.

    `result` is 'success', 'error' or None. `state` is SLURM's, '' for a job that SLURM does not know, None if there
    was no answer. `held_s` says for how many seconds both have been the same. `wants_restart` says whether the job's
    last entry was that it saved its state after a signal and wants to be started again.
    """
    if result == "success":
        return Outcome.SUCCESS
    if state is None or is_alive(state):
        return Outcome.WAIT
    if result == "error":
        return _after(CONFIRM_S, held_s, Outcome.FAILED)
    if state == "":
        return _after(patience_s, held_s, Outcome.AGAIN if wants_restart else Outcome.FAILED)
    if meaning(state) is Meaning.COMPLETED:
        return _after(RESULT_LAG_S, held_s, Outcome.FAILED)
    if meaning(state) is Meaning.INTERRUPTED:
        return _after(patience_s, held_s, Outcome.AGAIN)
    again = wants_restart and bare(state) != "CANCELLED"
    return _after(CONFIRM_S, held_s, Outcome.AGAIN if again else Outcome.FAILED)


def _after(wait_s: float, held_s: float, outcome: Outcome) -> Outcome:
    return outcome if held_s >= wait_s else Outcome.WAIT
