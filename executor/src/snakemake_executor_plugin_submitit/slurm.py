"""The head's commands to SLURM: squeue, sacct, scancel and scontrol, each with a time limit.

One query answers for all jobs. squeue asks slurmctld, which knows best. sacct is asked about jobs that squeue no longer
knows, and about everything while squeue fails. Nothing is concluded from a query that fails.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from snakemake_executor_plugin_submitit.environment import cleaned
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.processes import kill_group
from snakemake_executor_plugin_submitit.records import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    Handle,
    Record,
    parse_records,
    whole_ids,
)
from snakemake_executor_plugin_submitit.states import is_alive

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
    records: dict[str, Record] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)  # ids that SLURM has given to other jobs


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
        errors="replace",  # a site's banner may be in any encoding
        env=cleaned(os.environ),
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

    cancel_command = "scancel"

    def __init__(self, commands: Commands) -> None:
        self._run = commands.run
        self._accounting = True
        self._configuration: dict[str, str] = {}

    def states(self, handles: Sequence[Handle], since: float) -> Answer:
        """Return the states of jobs that were submitted after the time `since`.

        A job of the same id that this plugin did not submit is not in the answer.
        """
        answer = Answer()
        try:
            confirm(answer, handles, self._squeue([one.id for one in handles]))
            answer.complete = True
        except SlurmUnavailable:
            pass
        missing = [one for one in handles if one.id not in answer.states]
        if missing and self._accounting:
            try:
                confirm(answer, missing, self._sacct([one.id for one in missing], since))
            except SlurmUnavailable as error:
                self._accounting = NO_ACCOUNTING not in str(error).lower()
        return answer

    def find(self, job_name: str) -> str | None:
        """Return the id of this user's job, or array, of this name; None if there is none. Raises SlurmUnavailable."""
        text = self._run("squeue", "--noheader", "--states=all", "--format=%F|%U", f"--name={job_name}")
        pairs = (line.strip().partition("|") for line in text.splitlines())
        ids = {job_id.strip() for job_id, bar, uid in pairs if bar and uid.strip() == str(os.getuid())}
        return min(ids) if ids else None

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Cancel jobs that SLURM confirms to be these; ids of ended jobs do no harm. Raises SlurmUnavailable."""
        if not handles:
            return
        try:
            records = self._squeue([one.id for one in handles])
        except SlurmUnavailable:
            self.cancel_unseen(handles)
            return
        for part in _parts(ids_to_cancel(handles, records, os.getuid())):
            self._run_or_unknown("scancel", *part)

    def cancel_by_name(self, job_name: str) -> None:
        """Cancel what this user submitted under this name, if anything was. Raises SlurmUnavailable."""
        self._run("scancel", "--me", f"--name={job_name}")

    def site(self) -> str:
        """Return the cluster's name, '' while it does not answer."""
        return self._setting("ClusterName")

    def max_array_size(self) -> int:
        """Return how many jobs an array may have, by the cluster's configuration."""
        try:
            return int(self._setting("MaxArraySize"))
        except ValueError:
            return DEFAULT_MAX_ARRAY_SIZE

    def _setting(self, name: str) -> str:
        if not self._configuration:
            with contextlib.suppress(SlurmUnavailable):
                self._configuration = configuration(self._run("scontrol", "show", "config"))
        return self._configuration.get(name, "")

    def cancel_unseen(self, handles: Sequence[Handle]) -> None:
        """Cancel jobs that squeue does not show; scancel compares names and user. Raises SlurmUnavailable."""
        ids: dict[str, list[str]] = {}
        for one in handles:
            ids.setdefault(one.name, []).append(one.id)
        for name, group in ids.items():
            for part in _parts(group):
                self._run_or_unknown("scancel", "--me", f"--name={name}", *part)

    def _run_or_unknown(self, *command: str) -> str:
        """Return what a command prints, '' if SLURM does not know the only job in question."""
        try:
            return self._run(*command)
        except SlurmUnavailable as error:
            if UNKNOWN_ID not in str(error).lower():
                raise
            return ""

    def _squeue(self, ids: Sequence[str]) -> dict[str, Record]:
        command = ("squeue", "--array", "--noheader", "--states=all", f"--format={SQUEUE_FORMAT}")
        texts = (self._run_or_unknown(*command, f"--jobs={','.join(part)}") for part in _parts(whole_ids(ids)))
        return parse_records("\n".join(texts))

    def _sacct(self, ids: Sequence[str], since: float) -> dict[str, Record]:
        """Ask the accounting. `since` excludes jobs of another year that had the same id."""
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
        command = ("sacct", "--allocations", "--noheader", "--parsable2", f"--format={SACCT_FORMAT}")
        parts = _parts(whole_ids(ids))
        texts = (self._run(*command, f"--starttime={start}", f"--jobs={','.join(part)}") for part in parts)
        return parse_records("\n".join(texts))


def confirm(answer: Answer, handles: Sequence[Handle], records: Mapping[str, Record]) -> None:
    """Add the records of these very jobs to an answer, and the ids that belong to other jobs to its strangers."""
    uid = os.getuid()
    for handle in handles:
        record = records.get(handle.id)
        if record is not None and record.is_of(handle, uid):
            answer.records[handle.id], answer.states[handle.id] = record, record.state
            answer.strangers.discard(handle.id)
        elif record is not None:
            answer.strangers.add(handle.id)


def ids_to_cancel(handles: Sequence[Handle], records: Mapping[str, Record], uid: int) -> list[str]:
    """Return the ids of confirmed jobs that live: an array by one id, if all of it that lives is among them."""
    own = [one for one in handles if (record := records.get(one.id)) is not None and record.is_of(one, uid)]
    ids = {one.id for one in own if is_alive(records[one.id].state)}
    partly = {
        whole
        for one, record in records.items()
        if is_alive(record.state) and one not in ids
        for whole in whole_ids([one])
    }
    return list(dict.fromkeys(one if whole in partly else whole for one in sorted(ids) for whole in whole_ids([one])))


def configuration(text: str) -> dict[str, str]:
    """Return the settings that `scontrol show config` prints."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _parts(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + IDS_A_CALL]) for start in range(0, len(ids), IDS_A_CALL)]
