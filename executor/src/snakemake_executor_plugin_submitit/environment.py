"""The environment of SLURM's commands: without the variables that would change what they do or print. Pure.

SBATCH_JOB_NAME beats the name in the batch script, and SQUEUE_PARTITION hides jobs that were asked about by their ids.
A user's SBATCH_ACCOUNT and the like stay in use as defaults for what no resource sets. In a job they are that job's
own, and count for nothing.
"""

import re
from collections.abc import Mapping

REMOVED = re.compile(r"(SLURM|SLURMD|SBATCH|SQUEUE|SACCT|SCANCEL|SCONTROL|SINFO|SRUN|SALLOC|SUBMITIT)_\w+")
KEPT = re.compile(r"SLURM_CONF\w*|SLURM_JWT|SLURM_SACK\w*|SLURMRESTD_\w+")  # how to reach the cluster
DEFAULTS = ("account", "partition", "qos", "constraint", "reservation")


def removed(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that no command of SLURM's may see."""
    return sorted(name for name in environment if REMOVED.fullmatch(name) and not KEPT.fullmatch(name))


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without them."""
    out = set(removed(environment))
    return {name: value for name, value in environment.items() if name not in out}


def sbatch_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options of sbatch that the user has set by variables, outside of jobs."""
    if "SLURM_JOB_ID" in environment:
        return {}
    values = {option: environment.get(f"SBATCH_{option.upper()}", "") for option in DEFAULTS}
    return {option: value for option, value in values.items() if value}
