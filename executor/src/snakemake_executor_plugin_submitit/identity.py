"""The identity of a Snakemake job: the same after a restart, different after its inputs, params or code have changed.

Snakemake waits for a job in the journal only if its identity is the same. A different job that makes the same files is
cancelled first.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

TOUCH_S = 1.0  # by which two readings of one file's time may differ


def single_jobs(job: Any) -> list[Any]:
    """Return the jobs of a group job, or the job itself."""
    return sorted(job.jobs, key=lambda one: (one.rule.name, str(one.output))) if job.is_group() else [job]


def identity(job: Any) -> str:
    """Return a digest over rule, files, params and command of a job."""
    digest = hashlib.sha256()
    for one in single_jobs(job):
        parts = (
            one.rule.name,
            [str(file) for file in one.output],
            [str(file) for file in one.input],
            sorted(one.wildcards_dict.items()),
            list(map(str, one.rule.log)),
            [(name, value) for name, value in one.params._allitems()],
            one.rule.shellcmd,
            str(one.rule.script),
        )
        digest.update(stable(parts).encode() + b"\0")
    return digest.hexdigest()


def stable(value: Any) -> str:
    """Return a text for a value that depends neither on the addresses of objects nor on a set's order."""
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(stable, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{stable(key)}: {stable(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(stable, value)) + "]"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def outputs(job: Any) -> tuple[str, ...]:
    """Return the files that a job makes, those of all members of a group."""
    return tuple(sorted(str(file) for one in single_jobs(job) for file in one.output))


def fenced(job: Any) -> tuple[str, ...]:
    """Return one output of each job, which stands for all that this job makes."""
    return tuple(min(map(str, one.output)) for one in single_jobs(job) if one.output)


def name(job: Any) -> str:
    """Return the rule's name, or the group's."""
    return f"group_{job.groupid}" if job.is_group() else str(job.rule.name)


def wildcards(job: Any) -> str:
    """Return the wildcards in words."""
    return "; ".join(
        ", ".join(f"{key}={value}" for key, value in sorted(one.wildcards_dict.items())) for one in single_jobs(job)
    )


def newest_input(job: Any) -> float:
    """Return when an input changed last, by the file server's clock, 0 without inputs.

    What one job of a group makes for another does not count.
    """
    internal = set(outputs(job))
    inputs = (str(file) for one in single_jobs(job) for file in one.input)
    return max((_modified(file) for file in inputs if file not in internal), default=0.0)


def _modified(path: str) -> float:
    try:
        return Path(path).lstat().st_mtime
    except OSError:
        return 0.0
