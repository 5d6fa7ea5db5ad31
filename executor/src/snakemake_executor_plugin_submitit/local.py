"""The cluster that is this machine: submitit's local executor behind the same interface as SLURM."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import processes
from snakemake_executor_plugin_submitit.records import Handle
from snakemake_executor_plugin_submitit.sbatch_errors import Rejected
from snakemake_executor_plugin_submitit.slurm import Answer

CONTROLLER = b"submitit.local._local"


class Local:
    """Jobs on this machine; a job's id is the process id of its controller, which outlives a killed Snakemake."""

    cancel_command = "kill -INT"

    def states(self, handles: Sequence[Handle], since: float) -> Answer:
        """Return RUNNING or FAILED; a controller that is gone has ended."""
        return Answer({one.id: "RUNNING" if is_controller(one) else "FAILED" for one in handles}, complete=True)

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Interrupt jobs; submitit's controller kills what does not end within a second."""
        for one in handles:
            if is_controller(one):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(one.id), signal.SIGINT)

    def cancel_unseen(self, handles: Sequence[Handle]) -> None:
        """Interrupt jobs."""
        self.cancel(handles)

    def cancel_by_name(self, job_name: str) -> None:
        """Do nothing: a local job has its id at once."""

    def find(self, job_name: str) -> str | None:
        """Return None: a local job has its id at once."""
        return None

    def site(self) -> str:
        """Return this machine's name: a process id means nothing on another one."""
        return socket.gethostname()

    def max_array_size(self) -> int:
        """Return 1: there are no arrays."""
        return 1


def is_controller(job: Handle) -> bool:
    """Return whether the job's controller of submitit's is alive, and not a later process with its number."""
    pid = int(job.id)
    with contextlib.suppress(OSError):  # reaps the controller if it is a child of ours that has ended
        os.waitpid(pid, os.WNOHANG)
    if not Path("/proc/self").exists():  # macOS
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return bool(processes.started(pid)) and CONTROLLER in words and os.fsencode(job.folder) in words
    except OSError:
        return False


class Gpus:
    """This machine's GPUs, shared out among local jobs: submitit would give GPU 0 to each."""

    def __init__(self) -> None:
        self._users: dict[str, set[str]] = {name: set() for name in visible_gpus()}

    def check(self, count: int) -> None:
        """Raise Rejected if a job asks for more GPUs than there are: it would run on fewer, or on the CPU."""
        if count > len(self._users):
            raise Rejected(
                f"it asks for {count} GPU(s) (resource gpu), but {len(self._users)} are there "
                f"({', '.join(self._users) or 'none'}); ask for fewer, as with --set-resources RULE:gpu=0"
            )

    def take(self, count: int, token: str) -> tuple[str, ...]:
        """Return the GPUs for a job, the least used ones first."""
        places = {name: place for place, name in enumerate(self._users)}
        chosen = sorted(self._users, key=lambda name: (len(self._users[name]), places[name]))[:count]
        for name in chosen:
            self._users[name].add(token)
        return tuple(sorted(chosen, key=places.__getitem__))

    def give_back(self, token: str) -> None:
        """Note that a job has ended."""
        for users in self._users.values():
            users.discard(token)


def visible_gpus() -> list[str]:
    """Return the names (numbers, UUIDs or MIG names) of the GPUs that this process may use.

    Those of CUDA_VISIBLE_DEVICES if it is set, as CUDA reads it: up to the first -1; else all of this machine.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
        return list(dict.fromkeys(names[:end]))
    numbers = [path.name[6:] for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return sorted(numbers, key=int)
