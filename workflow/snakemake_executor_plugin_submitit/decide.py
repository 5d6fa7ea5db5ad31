"""What becomes of a job, from what is known about it. Pure; the rule that nothing unknown is ever taken for anything.

| result file | SLURM's state | verdict |
| --- | --- | --- |
| success | any | success |
| error | unknown, or the job lives (it was requeued: the file is an old attempt's) | wait |
| error | over or gone | failed, once that has held for a moment |
| none | unknown (no answer) | wait |
| none | waiting, running | wait |
| none | COMPLETED | success, once the result file has had time to show up |
| none | over | failed, once that has held; submitted again if the job saved its state and asked for it |
| none | interrupted (preempted, node lost) | wait for SLURM's requeue; after the patience submitted again |
| none | gone | wait; after the patience failed |
"""

from enum import Enum

from snakemake_executor_plugin_submitit.states import ALIVE, Meaning, bare, meaning

CONFIRM_S = 5.0  # SLURM may requeue what it has just called failed
RESULT_LAG_S = 15.0  # of a shared file system


class Verdict(Enum):
    """What to do with a job."""

    WAIT = "wait"
    SUCCESS = "success"
    FAILED = "failed"
    AGAIN = "submit again"


def judge(result: str | None, state: str | None, held_s: float, asks_to_go_on: bool, patience_s: float) -> Verdict:
    """Return the verdict.

    `result` is 'success', 'error' or None; `state` SLURM's, '' for a job that SLURM does not know, None if there was
    no answer; `held_s` for how long result and state have been these; `asks_to_go_on` whether the job's last word was
    that it was told to stop, has saved its state and wants to be started again.
    """
    if result == "success":
        return Verdict.SUCCESS
    if state is None or (state and meaning(state) in ALIVE):
        return Verdict.WAIT
    if result == "error":
        return _after(CONFIRM_S, held_s, Verdict.FAILED)
    if state == "":
        return _after(patience_s, held_s, Verdict.AGAIN if asks_to_go_on else Verdict.FAILED)
    if meaning(state) is Meaning.COMPLETED:
        return _after(RESULT_LAG_S, held_s, Verdict.SUCCESS)
    if meaning(state) is Meaning.INTERRUPTED:
        return _after(patience_s, held_s, Verdict.AGAIN)
    again = asks_to_go_on and bare(state) != "CANCELLED"
    return _after(CONFIRM_S, held_s, Verdict.AGAIN if again else Verdict.FAILED)


def _after(wanted_s: float, held_s: float, verdict: Verdict) -> Verdict:
    return verdict if held_s >= wanted_s else Verdict.WAIT
