"""Names of the files in a run's folders: what the head (Snakemake), the node and submitit agree on."""

import re

FOLDER = ".snakemake/submitit"  # the default of --submitit-folder
JOURNAL = "journal.jsonl"
JOBS_TABLE = "jobs.tsv"
RESULT_ENDING = "_0_result.pkl"  # submitit's
BATCH_SCRIPT = re.compile(r"_submission\.sh$|^\.submission_file_")  # submitit's on this machine, and ours


def pickle_name(token: str, index: int) -> str:
    """Return the name of a task's pickle before the job has an id."""
    return f"{token}_{index}.pkl"


def unsent_script_name(token: str) -> str:
    """Return the name of a batch script before the job has an id."""
    return f".submission_file_{token}.sh"


def sent_script_name(job_id: str) -> str:
    """Return the name of a job's batch script."""
    return f"{job_id}_submission.sh"


def attempts_name(token: str, index: int) -> str:
    """Return the name of a task's record of attempts."""
    return f"{token}_{index}_attempts.jsonl"


def submitted_name(job_id: str) -> str:
    """Return submitit's name of a job's pickle."""
    return f"{job_id}_submitted.pkl"


def result_name(job_id: str) -> str:
    """Return submitit's name of a job's result."""
    return f"{job_id}{RESULT_ENDING}"


def log_names(job_id: str) -> tuple[str, str]:
    """Return submitit's names of a job's standard error, where everything goes, and its standard output."""
    return f"{job_id}_0_log.err", f"{job_id}_0_log.out"
