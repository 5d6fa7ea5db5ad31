"""What SLURM says about a job, and whether it is the job that this plugin submitted. Pure.

SLURM gives an id to another job after a wipe of its state, after the last id, and on another cluster. So an id alone
proves nothing: a record counts only if its name, its user and its working folder are those of the submission. The name
ends with the submission's random token.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

# The free texts come last: they may hold the separator.
SQUEUE_FORMAT = "%i|%T|%U|%r|%N|%j|%Z"
SACCT_FORMAT = "JobID,State,UID,ExitCode,NodeList,JobName,WorkDir"
FIELDS_BEFORE_TEXTS = 5


@dataclass(frozen=True)
class Handle:
    """A job as the plugin knows it."""

    id: str
    name: str
    workdir: str = ""  # the folder in which sbatch ran; '' in journals of older versions
    folder: str = ""  # of its pickles


@dataclass(frozen=True)
class Record:
    """A job as squeue or sacct describes it."""

    state: str
    uid: str
    detail: str  # squeue: the reason why it waits or how it ended; sacct: its exit code
    nodes: str
    texts: str  # its name and its working folder

    def is_of(self, handle: Handle, uid: int) -> bool:
        """Return whether this is the job that this user submitted."""
        if self.uid != str(uid) or not self.texts.startswith(f"{handle.name}|"):
            return False
        workdir = self.texts.removeprefix(f"{handle.name}|")
        return handle.workdir in ("", workdir) or is_same_folder(workdir, handle.workdir)


def parse_records(text: str) -> dict[str, Record]:
    """Return id → record from the lines of squeue or sacct; '7_[2-4,6%2]' means each of its tasks."""
    records: dict[str, Record] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.strip().split("|", FIELDS_BEFORE_TEXTS)]
        if len(fields) > FIELDS_BEFORE_TEXTS:
            records |= dict.fromkeys(expanded(fields[0]), Record(*fields[1:]))
    return records


def expanded(job_id: str) -> list[str]:
    """Return the ids of all tasks that an id of SLURM's stands for."""
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", job_id)
    if match is None:
        return [job_id]
    ids = []
    for piece in match[2].split(","):
        first, _, last = piece.partition("-")
        ids += [f"{match[1]}_{index}" for index in range(int(first), int(last or first) + 1)]
    return ids


def whole_ids(ids: Iterable[str]) -> list[str]:
    """Return each array, or job, once: asking for an array answers for all its tasks."""
    return list(dict.fromkeys(one.partition("_")[0] for one in ids))


def is_same_folder(one: str, other: str) -> bool:
    """Return whether two paths lead to the same folder, as two names of one mount do."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
