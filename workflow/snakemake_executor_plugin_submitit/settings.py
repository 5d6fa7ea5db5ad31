"""What a user may set: --submitit-… on the command line, submitit-… in a profile."""

import time
from dataclasses import dataclass, field

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

STARTED = time.time()  # Snakemake imports its plugins before it looks at any file
CLUSTERS = ("slurm", "local", "debug")
ANSWERS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]  # the interface has no types
    """Settings of the plugin; Snakemake shows the help sentences in `snakemake --help`."""

    cluster: str = field(
        default="slurm",
        metadata={
            "help": "Where jobs run: 'slurm'; 'local', the same code on this machine; 'debug', one after the other in "
            "this very process.",
        },
    )
    folder: str = field(
        default=".snakemake/submitit",
        metadata={
            "help": "Folder of pickles, job logs and the journal; on a cluster it must be seen by all nodes. It is "
            "made readable for its owner only, since a pickle is code."
        },
    )
    signal_delay: int = field(
        default=90,
        metadata={"help": "Seconds before its time limit at which a job is told to save and stop.", "type": int},
    )
    max_timeouts: int = field(
        default=3,
        metadata={
            "help": "How often a job that was told to stop, and did, at its time limit is put back in the queue; "
            "preemptions are not counted.",
            "type": int,
        },
    )
    max_array_size: int = field(
        default=0,
        metadata={"help": "Most jobs in one array; 0 asks the cluster for its MaxArraySize.", "type": int},
    )
    array_parallelism: int = field(
        default=0,
        metadata={"help": "Most jobs of one array that run at a time; 0 leaves that to SLURM.", "type": int},
    )
    use_srun: str = field(
        default="true",
        metadata={
            "help": "Whether a job is started by srun ('true') or by the batch script itself ('false', for clusters "
            "where srun misbehaves)."
        },
    )
    job_prefix: str = field(
        default="smk", metadata={"help": "SLURM job names are PREFIX-RULE-TOKEN; TOKEN tells submissions apart."}
    )
    wckey: str | None = field(
        default=None, metadata={"help": "Workload characterisation key to submit with; none by default.", "type": str}
    )
    patience: int = field(
        default=180,
        metadata={
            "help": "Seconds for which a job may be unknown to SLURM, with no result, before it counts as failed.",
            "type": int,
        },
    )
    max_query_interval: int = field(
        default=120,
        metadata={
            "help": "SLURM is asked for states at growing intervals of at most so many seconds; results are noticed "
            "without asking it.",
            "type": int,
        },
    )
    command_timeout: int = field(
        default=60,
        metadata={"help": "Seconds after which a hanging sbatch, squeue, sacct or scancel is given up.", "type": int},
    )
    keep_logs: bool = field(
        default=False, metadata={"help": "Keep the logs of jobs that succeeded, too; by default only failures' stay."}
    )
    keep_days: int = field(
        default=30,
        metadata={"help": "Days for which logs of failed jobs are kept; older ones go at the next start.", "type": int},
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, naming it."""
        if self.cluster not in CLUSTERS:
            raise WorkflowError(f"--submitit-cluster: unknown cluster '{self.cluster}'; legal: {', '.join(CLUSTERS)}")
        if self.use_srun.strip().lower() not in ANSWERS:
            raise WorkflowError(f"--submitit-use-srun: '{self.use_srun}' is neither true nor false")
        lowest = {
            "signal_delay": 5,
            "max_timeouts": 0,
            "max_array_size": 0,
            "array_parallelism": 0,
            "patience": 0,
            "max_query_interval": 1,
            "command_timeout": 1,
            "keep_days": 0,
        }
        for name, least in lowest.items():
            if getattr(self, name) < least:
                option = f"--submitit-{name.replace('_', '-')}"
                raise WorkflowError(f"{option}: {getattr(self, name)} is too small; the least is {least}")

    @property
    def with_srun(self) -> bool:
        """Return what use_srun means; a profile's YAML gives a word, not a flag."""
        return ANSWERS[self.use_srun.strip().lower()]


# Environment variables reach jobs through sbatch, which exports its own environment; on command lines everybody on the
# node could read them.
common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
)
