"""The request of a job: from Snakemake's resources to sbatch's options.

Pure: nothing here talks to SLURM. Jobs with equal requests may share an array. README.md has the table.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Options of sbatch that slurm_extra must not set, because the plugin sets them or relies on them.
RESERVED = (
    *("account", "array", "chdir", "constraint", "cpus-per-task", "error", "export", "gres", "job-name", "mem"),
    *("no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "partition", "qos"),
    *("quiet", "requeue", "signal", "test-only", "time", "wait", "wrap"),
)
# "The signal may be sent up to 60 seconds earlier" (man sbatch); less than a minute of work is no job.
EARLY_SIGNAL_S = 60
LEAST_WORK_S = 60


class BadRequest(Exception):
    """An invalid resource value, in one sentence."""


@dataclass(frozen=True)
class Request:
    """The full resources of a job."""

    runtime: int  # minutes
    threads: int
    gpu: int
    gpu_model: str | None
    mem_mb: int | None
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    extra: str | None


def request_of(resources: Mapping[str, Any], threads: int, signal_delay_s: int) -> Request:
    """Return the request that Snakemake's resources of a job make; raise BadRequest naming the wrong one.

    Resources that the plugin does not know are ignored.
    """
    request = Request(
        runtime=_runtime(resources, signal_delay_s),
        threads=max(1, threads),
        gpu=_integer(resources, "gpu", least=0) or 0,
        gpu_model=_text(resources, "gpu_model"),
        mem_mb=_integer(resources, "mem_mb", least=1),
        partition=_text(resources, "slurm_partition"),
        account=_text(resources, "slurm_account"),
        qos=_text(resources, "slurm_qos"),
        constraint=_text(resources, "slurm_constraint"),
        extra=_text(resources, "slurm_extra"),
    )
    if request.gpu_model is not None and request.gpu == 0:
        raise BadRequest(f"resource gpu_model is '{request.gpu_model}' but gpu is 0; say how many with gpu")
    if request.gpu_model is not None and not re.fullmatch(r"[\w.-]+", request.gpu_model):
        raise BadRequest(f"resource gpu_model: '{request.gpu_model}' is not the name of a GPU type")
    extra_options(request.extra)
    return request


def slurm_options(request: Request, signal_delay_s: int, use_srun: bool) -> dict[str, Any]:
    """Return the options for sbatch: name → value, True for an option without one."""
    options: dict[str, Any] = {
        "time": request.runtime,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": request.threads,
        # Without B: the batch script itself gets no signal, which is all there is without srun (man sbatch).
        "signal": f"{'' if use_srun else 'B:'}USR2@{signal_delay_s}",
        "requeue": True,
    }
    if request.mem_mb is not None:
        options["mem"] = f"{request.mem_mb}M"
    if request.gpu:
        options["gres"] = f"gpu:{request.gpu_model}:{request.gpu}" if request.gpu_model else f"gpu:{request.gpu}"
    for name in ("partition", "account", "qos", "constraint"):
        if (value := getattr(request, name)) is not None:
            options[name] = value
    return options | extra_options(request.extra)


def extra_options(extra: str | None) -> dict[str, Any]:
    """Return the options in a slurm_extra such as '--reservation=night --exclusive'; raise BadRequest for others."""
    options: dict[str, Any] = {}
    try:
        words = shlex.split(extra or "")
    except ValueError as error:
        raise BadRequest(f"resource slurm_extra: {extra!r} cannot be read ({error})") from error
    for word in words:
        match = re.fullmatch(r"--([a-z][a-z0-9-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            raise BadRequest(f"resource slurm_extra: '{word}' is not of the form --option or --option=value")
        name, value = match.groups()
        if "clusters".startswith(name) or name.startswith("cluster-"):
            raise BadRequest(
                f"resource slurm_extra: --{name} is not supported, since jobs are watched on one cluster only; "
                "start Snakemake on a login node of that cluster"
            )
        if is_reserved(name):
            raise BadRequest(f"resource slurm_extra: --{name} is set by the plugin, by another resource or a setting")
        options[name] = True if value is None else value
    return options


def is_reserved(name: str) -> bool:
    """Return whether sbatch would take this for a reserved option: it accepts the beginning of an option's name."""
    return any(option.startswith(name) for option in RESERVED)


def _runtime(resources: Mapping[str, Any], signal_delay_s: int) -> int:
    runtime = _integer(resources, "runtime", least=1)
    if runtime is None:
        raise BadRequest("resource runtime (minutes) is missing; without it SLURM would have to guess the time limit")
    least = signal_delay_s + EARLY_SIGNAL_S + LEAST_WORK_S
    if runtime * 60 <= least:
        raise BadRequest(
            f"resource runtime is {runtime} min, but with --submitit-signal-delay {signal_delay_s} SLURM may signal a "
            f"job {signal_delay_s + EARLY_SIGNAL_S} s before its end; it must be at least {least // 60 + 1} min"
        )
    return runtime


def _integer(resources: Mapping[str, Any], name: str, least: int) -> int | None:
    value = resources.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < least:
        raise BadRequest(f"resource {name}: {value!r} is not a whole number of at least {least}")
    return int(value)


def _text(resources: Mapping[str, Any], name: str) -> str | None:
    value = resources.get(name)
    if value is None or value == "":
        return None
    text = str(value)
    if "\n" in text:
        raise BadRequest(f"resource {name}: {text!r} has more than one line")
    return text
