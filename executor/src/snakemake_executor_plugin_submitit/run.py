"""One run of Snakemake: what the parts of the executor share."""

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_submitit import attempts, folders
from snakemake_executor_plugin_submitit.journal import Journal, Submission
from snakemake_executor_plugin_submitit.local import Gpus, Local
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.node import NodeJob
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.slurm import Commands, Slurm
from snakemake_executor_plugin_submitit.task import Task

Cluster = Slurm | Local


class Cancelled(Exception):
    """The user has interrupted this run."""


@dataclass
class Run:
    """Settings, cluster, journal, folder and messages of this Snakemake, and the submissions that it makes."""

    settings: ExecutorSettings
    cluster: Cluster
    journal: Journal
    folder: Path
    workdir: str
    messages: Messages
    gpus: Gpus = field(default_factory=Gpus)
    tasks: dict[str, Task] = field(default_factory=dict)  # on the cluster, by job id
    cancelling: bool = False

    def pause(self, seconds: float) -> None:
        """Wait before the cluster is asked again; raise Cancelled once the user has interrupted this run."""
        if self.cancelling:
            raise Cancelled
        time.sleep(seconds)

    def new_submission(self, tasks: Sequence[Task]) -> Submission:
        """Return a submission of these tasks, with a new token and a folder that exists."""
        token, rule = uuid.uuid4().hex[:10], tasks[0].rule
        journal_tasks = [task.journal_task(index) for index, task in enumerate(tasks)]
        name = f"{self.settings.job_prefix}-{rule}-{token}"
        folder = folders.rule_folder(folders.private(self.folder), rule)
        return Submission(
            token,
            name,
            rule,
            str(folder),
            self.settings.cluster,
            time.time(),
            journal_tasks,
            workdir=os.getcwd(),
            site=self.cluster.site(),
        )

    def assign(self, task: Task, submission: Submission, index: int) -> None:
        """Note that a task is on the cluster, as this part of a submission."""
        task.assign(submission, index)
        self.tasks[task.job_id] = task

    def node_job(self, task: Task, submission: Submission, index: int) -> NodeJob:
        """Return what runs on the node."""
        return NodeJob(
            command=task.command,
            workdir=self.workdir,
            attempts_file=str(submission.attempts_file(index)),
            minutes=task.request.runtime,
            signal_delay_s=self.settings.signal_delay,
            max_timeouts=self.settings.max_timeouts,
            timeouts_before=task.timeouts_before,
            cluster=self.settings.cluster,
            token=submission.token,
            fences=tuple(str(fence) for fence in self.fences(task)),
        )

    def fences(self, task: Task) -> list[Path]:
        """Return the fences of a task's outputs: one file for each job that Snakemake knows."""
        return [folders.fence(self.folder.parent, os.path.abspath(output)) for output in task.fenced]

    def claim(self, tasks: Sequence[Task], submission: Submission) -> None:
        """Claim the outputs of tasks for a submission; whatever else writes them ends. Raises OSError."""
        for task in tasks:
            for fence in self.fences(task):
                attempts.claim(fence, submission.token)

    def array_size(self) -> int:
        """Return how many jobs an array may have."""
        most = max(1, self.cluster.max_array_size())  # 0 is SLURM's way to switch arrays off
        return min(self.settings.max_array_size, most) if self.settings.max_array_size else most


def reachable_clusters(run: Run) -> dict[str, Cluster]:
    """Return what can be asked from this machine about jobs of earlier runs, by the kind of cluster."""
    clusters: dict[str, Cluster] = {"local": Local()}
    if shutil.which("squeue") is not None:
        clusters["slurm"] = Slurm(Commands(run.settings.command_timeout, run.messages))
    return {**clusters, run.settings.cluster: run.cluster}


def open_cluster(settings: ExecutorSettings, messages: Messages) -> Cluster:
    """Return the cluster that the settings name; raise WorkflowError where SLURM's programs are missing."""
    if settings.cluster != "slurm":
        return Local()
    needed = ["sbatch", "squeue", "scancel", "srun"]
    if missing := [program for program in needed if shutil.which(program) is None]:
        raise WorkflowError(
            f"{', '.join(missing)} not found: is this a machine of a SLURM cluster? "
            "--submitit-cluster local runs the same jobs on this machine"
        )
    return Slurm(Commands(settings.command_timeout, messages))
