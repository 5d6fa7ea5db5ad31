"""A job's first program on a SLURM node: finds its pickle by the submission's token and hands over to submitit.

submitit itself names a pickle after the job id, which exists only after sbatch. A job that starts at once then waits
for its pickle, and one whose Snakemake dies in between never gets it. Here the pickle exists before sbatch is called.
"""

import contextlib
import os
import sys
from pathlib import Path

from snakemake_executor_plugin_submitit.messages import write_to_job_log
from snakemake_executor_plugin_submitit.names import pickle_name


def main() -> None:
    """Run the job of this array task: node_main FOLDER TOKEN."""
    from submitit.core.submission import process_job
    from submitit.core.utils import JobPaths
    from submitit.slurm.slurm import SlurmJobEnvironment

    folder, token = Path(sys.argv[1]), sys.argv[2]
    paths = JobPaths(folder, job_id=SlurmJobEnvironment().job_id, task_id=0)
    waiting = folder / pickle_name(token, int(os.environ.get("SLURM_ARRAY_TASK_ID", 0)))
    if waiting.exists():
        waiting.replace(paths.submitted_pickle)
    if not paths.submitted_pickle.exists():
        write_to_job_log(
            f"the pickle of this job is missing in {folder}: its result was taken already, it was given up, or "
            "somebody deleted it; nothing is run"
        )
        sys.exit(1)  # a 0 would read as a success
    # Left by an earlier attempt: an error that is no longer true, and a half-written file that would stop submitit.
    half_written = [path.with_name(f"{path.name}.save_tmp") for path in (paths.result_pickle, paths.submitted_pickle)]
    for path in (paths.result_pickle, *half_written):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    process_job(str(folder))


if __name__ == "__main__":
    main()
