"""The jobs that the executor has handed to the cluster, for programs that show them.

    from snakemake_executor_plugin_submitit.status import read_jobs

    for job in read_jobs(".snakemake/submitit"):
        print(job.rule, job.wildcards, job.job_id, job.state)

Only the journal is read: no lock is taken, nothing is written, and neither Snakemake nor SLURM is asked. So a job that
has ended counts as submitted until Snakemake has noticed its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snakemake_executor_plugin_submitit import names
from snakemake_executor_plugin_submitit.journal import JournalTask, Submission, replay

State = Literal["submitting", "submitted", "cancelled", "ended"]


@dataclass(frozen=True)
class JobStatus:
    """A job as the journal knows it."""

    rule: str  # of a group: group_NAME
    wildcards: str  # 'name=a, number=1'; '' of a rule without any
    outputs: tuple[str, ...]  # relative to Snakemake's folder
    cluster: str  # slurm or local
    job_id: str | None  # as squeue writes it; of the local cluster a process id; None while submitting
    log: Path | None  # None while submitting; the file may not exist yet, or not any more
    state: State  # submitting: the cluster has not said yet that it took the job
    since: float  # when it was submitted; as time.time() counts

    @property
    def under_way(self) -> bool:
        """Return whether the cluster has the job, or may have it."""
        return self.state in ("submitting", "submitted")


def read_jobs(folder: Path | str = names.FOLDER) -> list[JobStatus]:
    """Return the jobs of the journal in this folder (setting --submitit-folder), in the order of their submission.

    Without a journal, or if it cannot be read, there are none. Lines that are damaged or half-written are left out.
    """
    try:
        text = (Path(folder) / names.JOURNAL).read_text(errors="replace")
    except OSError:
        return []
    return [job for submission in replay(text.splitlines()) for job in _jobs(submission)]


def _jobs(submission: Submission) -> Iterator[JobStatus]:
    for task in submission.tasks:
        job_id = None if submission.job_id is None else submission.external_id(task.index)
        yield JobStatus(
            rule=submission.rule,
            wildcards=task.wildcards,
            outputs=task.outputs,
            cluster=submission.cluster,
            job_id=job_id,
            log=None if job_id is None else Path(submission.folder) / names.log_names(job_id)[0],
            state=_state(submission, task),
            since=submission.time,
        )


def _state(submission: Submission, task: JournalTask) -> State:
    if task.index in submission.ended:
        return "ended"
    if task.index in submission.cancelled:
        return "cancelled"
    return "submitting" if submission.job_id is None else "submitted"
