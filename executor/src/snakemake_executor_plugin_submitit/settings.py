"""What a user may set: --submitit-… on the command line, submitit-… in a profile."""

import time
from dataclasses import dataclass, field, fields
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from snakemake_executor_plugin_submitit import names

STARTED = time.time()  # Snakemake imports its plugins before it looks at any file
CLUSTERS = ("slurm", "local", "debug")
ANSWERS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    """Return a field; Snakemake shows its help sentence in `snakemake --help`."""
    return field(default=default, metadata={"help": text, **metadata})


def _number(default: int, least: int, text: str) -> Any:
    return _setting(default, text, type=int, least=least)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]  # the interface has no types
    """Settings of the plugin."""

    cluster: str = _setting("slurm", "Where jobs run: 'slurm'; 'local' (this machine); 'debug' (this very process).")
    folder: str = _setting(
        names.FOLDER,
        "Pickles, job logs and journal; all nodes must see it. Only its owner may read it, since a pickle is code.",
    )
    signal_delay: int = _number(90, 5, "Seconds before its time limit at which a job is told to save and stop.")
    max_timeouts: int = _number(
        3, 0, "Requeues of a job that saved and stopped at its time limit, not at a preemption."
    )
    max_array_size: int = _number(0, 0, "Most jobs in one array; 0 asks the cluster for its MaxArraySize.")
    array_parallelism: int = _number(0, 0, "Most jobs of one array that run at a time; 0 leaves that to SLURM.")
    use_srun: str = _setting("true", "Whether srun starts a job ('true') or the batch script becomes it ('false').")
    job_prefix: str = _setting("smk", "SLURM job names are PREFIX-RULE-TOKEN; TOKEN tells submissions apart.")
    wckey: str | None = _setting(None, "Workload characterisation key to submit with; none by default.", type=str)
    patience: int = _number(180, 0, "Seconds after which a job without a result that SLURM does not know has failed.")
    max_query_interval: int = _number(120, 1, "Most seconds between two queries to SLURM; results need no query.")
    command_timeout: int = _number(60, 1, "Seconds after which a hanging sbatch, squeue, sacct or scancel is given up.")
    max_outage: int = _number(
        24, 0, "Hours for which sbatch may fail before the jobs that it should submit have failed."
    )
    keep_logs: bool = _setting(False, "Keep the logs of jobs that succeeded, too; by default only failures' stay.")
    keep_days: int = _number(30, 0, "Days for which logs of failed jobs are kept.")

    def __post_init__(self) -> None:
        """Refuse illegal values, naming the option."""
        if self.cluster not in CLUSTERS:
            raise WorkflowError(f"--submitit-cluster: unknown cluster '{self.cluster}'; legal: {', '.join(CLUSTERS)}")
        if self.use_srun.strip().lower() not in ANSWERS:
            raise WorkflowError(f"--submitit-use-srun: '{self.use_srun}' is neither true nor false")
        for one in fields(self):
            least, value = one.metadata.get("least"), getattr(self, one.name)
            if least is not None and value < least:
                option = f"--submitit-{one.name.replace('_', '-')}"
                raise WorkflowError(f"{option}: {value} is too small; the least is {least}")

    @property
    def with_srun(self) -> bool:
        """Return what use_srun means; a profile's YAML gives a word, not a flag."""
        return ANSWERS[self.use_srun.strip().lower()]


# Environment variables reach jobs through sbatch, which exports its own environment. On command lines everybody on the
# node could read them.
common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
)
