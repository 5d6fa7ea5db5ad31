"""Why a job that waits will never start by itself, and what helps. Pure.

squeue shows the reason as %r. Reasons that pass by waiting (Priority, Resources, ReqNodeNotAvail, …) are not here.
"""

import re

RELEASE = "it waits until it is released: scontrol release {job}"
ADMINISTRATOR = "an administrator holds it; ask for: scontrol release {job}"
# Reasons and states without spaces and capitals, as patterns, and the way out.
NEVER = {
    r"jobhelduser|jobrequeuedinheldstate|jobholdmaxrequeue|requeueheld": RELEASE,
    r"jobheldadmin|requeuehold|specialexit|resvdelhold": ADMINISTRATOR,
    r"launchfailedrequeuedheld": f"a node could not start it; {RELEASE}",
    r"partitiontimelimit": "the partition does not allow that runtime; lower runtime, or set another slurm_partition",
    r"partitionnodelimit": "the partition does not allow that many nodes; set another slurm_partition",
    r"badconstraints": "no node has all of gpu, gpu_model, mem_mb, threads and slurm_constraint; lower one of them",
    r"dependencyneversatisfied": "what it depends on has failed; change slurm_extra",
    r"invalidaccount|accountnotallowed": "this account may not be used here; set slurm_account",
    r"invalidqos|qosnotallowed": "this quality of service may not be used here; set slurm_qos",
    r"reservation(deleted|invalid)|invalidreservation": "its reservation is gone; change slurm_extra",
    r"(assoc|qos)(max|min)\w*(perjob|pernode)\w*|(assoc|qos)maxwall\w*": "it asks for more than a job may have here",
    r"(assoc|qos)grp\w*(minutes|mins)\w*": "the budget of its account is used up; set another slurm_account",
}


def advice(job_id: str, state: str, reason: str) -> str | None:
    """Return why a waiting job does not start by itself and what helps, None if waiting may be enough."""
    for text in (reason, state):
        plain = re.sub(r"[^a-z]", "", text.lower())
        for pattern, way_out in NEVER.items():
            if re.fullmatch(pattern, plain):
                return f"{text}: {way_out.format(job=job_id)}"
    return None
