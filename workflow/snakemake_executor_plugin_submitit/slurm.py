"""What the head asks of SLURM and tells it: squeue, sacct, scancel and scontrol, each with a time limit.

One query answers for all jobs. squeue asks slurmctld, which knows best; sacct is asked about jobs that squeue no longer
knows, and for everything while squeue fails. A question that fails is no answer: nothing is concluded from it.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

DEFAULT_MAX_ARRAY_SIZE = 1000  # SLURM's own default is 1001, for indices from 0 to 1000
IDS_A_CALL = 500  # keeps command lines short
UNKNOWN_ID = "invalid job id"
NO_ACCOUNTING = "accounting storage is disabled"


class Silent(Exception):
    """A command of SLURM failed or hung; its answer is unknown."""


@dataclass
class Answer:
    """States of jobs by id; a job that is missing is gone, if `complete`, and unknown otherwise."""

    states: dict[str, str] = field(default_factory=dict)
    complete: bool = False


class Slurm:
    """The cluster, seen from the head."""

    def __init__(self, timeout_s: int, warn: Callable[[str], None], say: Callable[[str], None]) -> None:
        self.timeout_s = timeout_s
        self._warn, self._say = warn, say
        self._down: set[str] = set()  # commands in an outage that the user was told of
        self._accounting = True
        self._max_array_size: int | None = None

    def states(self, ids: Sequence[str], since: float) -> Answer:
        """Return the states of jobs that were submitted after the time `since`."""
        try:
            answer = Answer(self._squeue(ids), complete=True)
        except Silent:
            answer = Answer()
        missing = [one for one in ids if one not in answer.states]
        if missing and self._accounting:
            try:
                recorded = self._sacct(missing, since)
                answer.states |= {one: state for one, state in recorded.items() if one in set(missing)}
            except Silent:
                pass
        return answer

    def find(self, job_name: str) -> str | None:
        """Return the id of the job, or array, of this name; None if there is none. Raises Silent."""
        text = self.call("squeue", "--noheader", "--states=all", "--format=%A|%F", f"--name={job_name}")
        ids = {line.split("|")[1].strip() for line in text.splitlines() if "|" in line}
        return min(ids) if ids else None

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs, arrays or tasks; ids that are over do no harm. Raises Silent."""
        for part in _parts(ids):
            try:
                self.call("scancel", *part)
            except Silent as error:
                if UNKNOWN_ID not in str(error).lower():
                    raise

    def cancel_by_name(self, job_name: str) -> None:
        """Cancel what was submitted under this name, if anything was. Raises Silent."""
        self.call("scancel", f"--name={job_name}")

    def max_array_size(self) -> int:
        """Return how many jobs an array may have, by the cluster's configuration."""
        if self._max_array_size is None:
            try:
                self._max_array_size = int(configuration(self.call("scontrol", "show", "config"))["MaxArraySize"])
            except (Silent, KeyError, ValueError):
                return DEFAULT_MAX_ARRAY_SIZE
        return self._max_array_size

    def call(self, *command: str) -> str:
        """Return what a command prints; raise Silent, and warn once an outage, if it fails or hangs."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for Snakemake, not for a query
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._silent(command[0], f"no answer within {self.timeout_s} s") from None
        except OSError as error:
            raise self._silent(command[0], str(error)) from None
        if done.returncode != 0:
            raise self._silent(command[0], done.stderr.strip() or f"exit status {done.returncode}")
        if command[0] in self._down:
            self._down.discard(command[0])
            self._say(f"{command[0]} answers again")
        return done.stdout

    def _silent(self, program: str, reason: str) -> Silent:
        if program not in self._down and not any(known in reason.lower() for known in (UNKNOWN_ID, NO_ACCOUNTING)):
            self._down.add(program)
            self._warn(f"{program} failed ({_one_line(reason)}); jobs run on, and it will be asked again")
        return Silent(reason)

    def _squeue(self, ids: Sequence[str]) -> dict[str, str]:
        states: dict[str, str] = {}
        for part in _parts(whole_ids(ids)):
            try:
                text = self.call(
                    "squeue", "--array", "--noheader", "--states=all", "--format=%i|%T", f"--jobs={','.join(part)}"
                )
            except Silent as error:
                if UNKNOWN_ID not in str(error).lower():
                    raise
                text = ""  # the only job that was asked about is gone
            states |= parse_states(text)
        return states

    def _sacct(self, ids: Sequence[str], since: float) -> dict[str, str]:
        """Ask the accounting. `since` keeps out jobs of another year that had the same id."""
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
        states: dict[str, str] = {}
        for part in _parts(whole_ids(ids)):
            try:
                text = self.call(
                    "sacct",
                    "--allocations",
                    "--noheader",
                    "--parsable2",
                    "--format=JobID,State",
                    f"--starttime={start}",
                    f"--jobs={','.join(part)}",
                )
            except Silent as error:
                self._accounting = NO_ACCOUNTING not in str(error).lower()
                raise
            states |= parse_states(text)
        return states


def parse_states(text: str) -> dict[str, str]:
    """Return id → state from lines 'id|state' of squeue or sacct; '7_[2-4,6%2]' stands for each of its tasks."""
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


def _one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0].strip() if lines else text
