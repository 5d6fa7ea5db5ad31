"""The head's commands to SLURM: squeue, sacct, scancel and scontrol, each with a time limit.

One query answers for all jobs. squeue asks slurmctld, which knows best. sacct is asked about jobs that squeue no longer
knows, and about everything while squeue fails. Nothing is concluded from a query that fails.
"""

import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.processes import kill_group

DEFAULT_MAX_ARRAY_SIZE = 1000  # SLURM's own default is 1001, for indices from 0 to 1000
IDS_A_CALL = 500  # keeps command lines short
UNKNOWN_ID = "invalid job id"
NO_ACCOUNTING = "accounting storage is disabled"


class SlurmUnavailable(Exception):
    """A command of SLURM failed or hung; its answer is unknown."""


@dataclass
class Answer:
    """States of jobs by id; a job that is missing is gone, if `complete`, and unknown otherwise."""

    states: dict[str, str] = field(default_factory=dict)
    complete: bool = False


class Commands:
    """Runs SLURM's commands; each outage of a command is reported once."""

    def __init__(self, timeout_s: int, messages: Messages) -> None:
        self._timeout_s, self._messages = timeout_s, messages
        self._down: set[str] = set()  # commands in an outage that has been reported

    def run(self, *command: str) -> str:
        """Return what a command prints; raise SlurmUnavailable if it fails or hangs."""
        try:
            status, output, errors = _call(command, self._timeout_s)
        except subprocess.TimeoutExpired:
            raise self._unavailable(command[0], f"no answer within {self._timeout_s} s") from None
        except OSError as error:
            raise self._unavailable(command[0], str(error)) from None
        if status != 0:
            raise self._unavailable(command[0], errors.strip() or f"exit status {status}")
        if command[0] in self._down:
            self._down.discard(command[0])
            self._messages.info(f"{command[0]} answers again")
        return output

    def _unavailable(self, program: str, reason: str) -> SlurmUnavailable:
        expected = any(known in reason.lower() for known in (UNKNOWN_ID, NO_ACCOUNTING))
        if program not in self._down and not expected:
            self._down.add(program)
            first = next((line.strip() for line in reason.splitlines() if line.strip()), reason)
            self._messages.warning(f"{program} failed ({first}); jobs run on, and it will be asked again")
        return SlurmUnavailable(reason)


def _call(command: Sequence[str], timeout_s: int) -> tuple[int, str, str]:
    """Return status, output and errors of a command; one that hangs is killed with all that it has started.

    Many sites have a script in place of squeue. Killed alone, it would leave the real one behind.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for Snakemake, not for a query
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except BaseException:
            kill_group(process.pid)
            raise
        return process.returncode, output, errors


class Slurm:
    """The cluster, seen from the head."""

    def __init__(self, commands: Commands) -> None:
        self._run = commands.run
        self._accounting = True
        self._max_array_size: int | None = None

    def states(self, ids: Sequence[str], since: float) -> Answer:
        """Return the states of jobs that were submitted after the time `since`."""
        try:
            answer = Answer(self._squeue(ids), complete=True)
        except SlurmUnavailable:
            answer = Answer()
        missing = [one for one in ids if one not in answer.states]
        if missing and self._accounting:
            try:
                recorded = self._sacct(missing, since)
                answer.states |= {one: state for one, state in recorded.items() if one in set(missing)}
            except SlurmUnavailable as error:
                self._accounting = NO_ACCOUNTING not in str(error).lower()
        return answer

    def find(self, job_name: str) -> str | None:
        """Return the id of the job, or array, of this name; None if there is none. Raises SlurmUnavailable."""
        text = self._run("squeue", "--noheader", "--states=all", "--format=%A|%F", f"--name={job_name}")
        ids = {line.split("|")[1].strip() for line in text.splitlines() if "|" in line}
        return min(ids) if ids else None

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs, arrays or tasks; ids of ended jobs do no harm. Raises SlurmUnavailable."""
        for part in _parts(ids):
            self._run_or_unknown("scancel", *part)

    def cancel_by_name(self, job_name: str) -> None:
        """Cancel what was submitted under this name, if anything was. Raises SlurmUnavailable."""
        self._run("scancel", f"--name={job_name}")

    def max_array_size(self) -> int:
        """Return how many jobs an array may have, by the cluster's configuration."""
        if self._max_array_size is None:
            try:
                self._max_array_size = int(configuration(self._run("scontrol", "show", "config"))["MaxArraySize"])
            except (SlurmUnavailable, KeyError, ValueError):
                return DEFAULT_MAX_ARRAY_SIZE
        return self._max_array_size

    def _run_or_unknown(self, *command: str) -> str:
        """Return what a command prints, '' if SLURM does not know the only job in question."""
        try:
            return self._run(*command)
        except SlurmUnavailable as error:
            if UNKNOWN_ID not in str(error).lower():
                raise
            return ""

    def _squeue(self, ids: Sequence[str]) -> dict[str, str]:
        command = ("squeue", "--array", "--noheader", "--states=all", "--format=%i|%T")
        texts = (self._run_or_unknown(*command, f"--jobs={','.join(part)}") for part in _parts(whole_ids(ids)))
        return parse_states("\n".join(texts))

    def _sacct(self, ids: Sequence[str], since: float) -> dict[str, str]:
        """Ask the accounting. `since` excludes jobs of another year that had the same id."""
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
        command = (
            "sacct",
            "--allocations",
            "--noheader",
            "--parsable2",
            "--format=JobID,State",
            f"--starttime={start}",
        )
        texts = (self._run(*command, f"--jobs={','.join(part)}") for part in _parts(whole_ids(ids)))
        return parse_states("\n".join(texts))


def parse_states(text: str) -> dict[str, str]:
    """Return id → state from lines 'id|state' of squeue or sacct; '7_[2-4,6%2]' means each of its tasks."""
    states: dict[str, str] = {}
    for line in text.splitlines():
        job_id, bar, state = line.strip().partition("|")
        if bar:
            states |= dict.fromkeys(expanded(job_id), state.strip())
    return states


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


def configuration(text: str) -> dict[str, str]:
    """Return the settings that `scontrol show config` prints."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _parts(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + IDS_A_CALL]) for start in range(0, len(ids), IDS_A_CALL)]
