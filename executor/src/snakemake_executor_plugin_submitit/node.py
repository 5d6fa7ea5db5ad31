"""Runs one Snakemake job on the node, as submitit's callable: its signals, requeues and ends.

    slurmstepd → srun's task (this) → process_group.py → bash → inner Snakemake → bash → the job

SLURM signals all of them, at the time limit with SIGUSR2, at a preemption with SIGUSR2 or SIGTERM. This process only
records the signal, waits until the job has saved and ended, and has SLURM put it back into the queue. It knows from the
signal, not from the exit status, that the job was interrupted: the inner Snakemake turns every status into 1.

The pickle holds nothing of a job's state: a node that dies gives no chance to write one (attempts.py).
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from snakemake_executor_plugin_submitit import attempts, processes
from snakemake_executor_plugin_submitit.attempts import AttemptLog, Entry
from snakemake_executor_plugin_submitit.messages import write_to_job_log
from snakemake_executor_plugin_submitit.processes import JobProcess
from snakemake_executor_plugin_submitit.requeue import own_record, requeue, seconds_left

TICK_S = 0.1
REPEAT_S = 2.0  # a job that is still starting ignores SIGUSR2, so it is signalled again
LATE_SIGNAL_S = 1.5  # a child may die of a signal before this process gets its own
EARLY_SIGNAL_S = 60  # SLURM may signal that much before the requested moment, never earlier
ROOM_BYTES = 1 << 14
INTERRUPTED_STATUS = 75  # "temporary failure" of sysexits.h


class JobFailed(Exception):
    """The command failed; the message ends with the last lines of its output."""


@dataclass(frozen=True)
class Timing:
    """Durations of an attempt, in seconds."""

    fence_s: float = 10.0  # between two checks whether another attempt of the same job has begun
    clock_s: float = 5.0  # slack when the time limit is compared with our own clock
    give_up_s: float = 1800.0  # for a full disk or a slurmctld that does not answer
    patience_s: float = 120.0  # for records that cannot be read when the attempt begins


@dataclass
class NodeJob:
    """One Snakemake job, as it is pickled: nothing but what never changes."""

    command: str
    workdir: str
    attempts_file: str
    minutes: int
    signal_delay_s: int
    max_timeouts: int
    timeouts_before: int  # of an earlier submission that this one continues
    cluster: str
    token: str = ""  # of the submission
    fences: tuple[str, ...] = ()  # of the job's outputs

    def __call__(self) -> str:
        """Run the job and return how often it was interrupted, in words."""
        return Attempt(self).run()

    def checkpoint(self) -> Any:
        """Let submitit requeue the job as it is, for a signal that arrives before our own handlers are installed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class StopSignals:
    """SIGUSR2 and SIGTERM that this process has received."""

    def __init__(self) -> None:
        self.received: set[int] = set()
        self._forwarded: set[int] = set()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Record signals in place of submitit, which would requeue from within a signal handler."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._record) for number in (signal.SIGUSR2, signal.SIGTERM)}
        try:
            yield
        finally:
            if self.received:  # more may arrive before the job is requeued, and must not end this process
                previous = dict.fromkeys(previous, signal.SIG_IGN)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def forward(self, process: JobProcess) -> None:
        """Signal the whole group: only SLURM would do so otherwise. SIGTERM once, SIGUSR2 repeatedly."""
        received = set(self.received)  # another may arrive meanwhile
        for number in received - self._forwarded:
            process.signal(number)
        self._forwarded = received - {signal.SIGUSR2}

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received.add(number)


class Attempt:
    """One run of the job on one node."""

    def __init__(self, job: NodeJob, timing: Timing | None = None) -> None:
        self._job, self._timing = job, timing or Timing()
        self._log = AttemptLog(Path(job.attempts_file), job.fences, job.token)
        self._signals = StopSignals()
        self._began = time.monotonic()
        self._group = 0

    def run(self) -> str:
        """Run the command; return if it succeeded, raise if it failed, leave the process if it was interrupted."""
        before = self._log.read_all(self._timing.patience_s)
        if attempts.count(before[self._log.path], attempts.DONE):
            write_to_job_log("an earlier attempt has done this job; nothing is run again")
            return self._summary()
        if any(attempts.is_claimed_by_another(entries, self._job.token) for entries in before.values()):
            write_to_job_log("its output is another submission's by now; nothing is run")
            os._exit(INTERRUPTED_STATUS)
        self._end_previous_attempts([entry for entries in before.values() for entry in attempts.unstopped(entries)])
        with self._signals.recorded() if self._job.cluster != "debug" else contextlib.nullcontext():
            status, last_lines = self._execute()
            if status != 0 and not self._signals.received:
                time.sleep(LATE_SIGNAL_S)
        if status == 0:
            return self._succeed()
        reason = self._requeue_or_say_why_not() if self._signals.received else f"exit status {status}"
        self._record(attempts.FAILED)
        raise JobFailed(f"{reason}; its last lines:\n{last_lines}")

    def _execute(self) -> tuple[int, str]:
        """Run the command and return its exit status and its last lines."""
        process = JobProcess(self._job.command, self._job.workdir)
        try:
            self._group = process.group
            self._record(attempts.START)
            status = self._wait(process)
            process.output_ended.wait(LATE_SIGNAL_S)
            return status, process.last_lines()
        except KeyboardInterrupt:  # submitit's local executor cancels with SIGINT and kills a second later
            process.signal(signal.SIGTERM)
            time.sleep(0.6)
            raise
        finally:
            process.kill()

    def _wait(self, process: JobProcess) -> int:
        """Wait for the command and, after a signal, for its whole group: something may still be saving."""
        next_signal, next_fence, ended_at = 0.0, 0.0, None  # a claim may have come while the command was started
        while True:
            now, status = time.monotonic(), process.status()
            if status is not None:
                ended_at = ended_at or now
                patient = self._signals.received and now - ended_at < self._job.signal_delay_s
                if not patient or not process.has_members():
                    return status
            if self._signals.received and now >= next_signal:
                self._signals.forward(process)
                next_signal = now + REPEAT_S
            if now >= next_fence:
                self._end_if_superseded(process)
                next_fence = now + self._timing.fence_s
            if process.output_ended.is_set():
                time.sleep(TICK_S / 10)  # a process that has closed its output is about to end
            else:
                process.output_ended.wait(TICK_S)

    def _succeed(self) -> str:
        """Record the success once there is room for the result."""
        recorded = self._record(attempts.DONE)
        left_s = 60 * self._job.minutes - self._job.signal_delay_s - (time.monotonic() - self._began)
        wait_for_room(self._log.path, min(self._timing.give_up_s, left_s))
        if not recorded:
            self._record(attempts.DONE)
        return self._summary()

    def _requeue_or_say_why_not(self) -> str:
        """Have an interrupted job put back into the queue and leave this process; return why if that is not allowed."""
        # SLURM's limit may have been changed.
        left_s = seconds_left(own_record()) if self._job.cluster == "slurm" else None
        if left_s is None:
            left_s = 60 * self._job.minutes - (time.monotonic() - self._began)
        if signal.SIGTERM in self._signals.received and left_s <= self._timing.clock_s:
            return "reached its time limit; it did not stop when told to by SIGUSR2"
        early_s = EARLY_SIGNAL_S if self._job.cluster == "slurm" else 0
        at_limit = left_s <= self._job.signal_delay_s + early_s + self._timing.clock_s
        timed_out = at_limit and signal.SIGUSR2 in self._signals.received  # an earlier one announces a preemption
        used = self._record_interruption(attempts.TIMEOUT if timed_out else attempts.PREEMPTED)
        most = self._job.max_timeouts
        if timed_out and used > most:
            return f"told to stop at its time limit once more, and none of {most} requeues is left"
        stopped = f"stopped at its time limit, state saved: requeue {used} of {most}"
        write_to_job_log(stopped if timed_out else "stopped by a preemption or a cancellation")
        requeue(self._job.cluster, self._timing.give_up_s)
        os._exit(INTERRUPTED_STATUS)

    def _record_interruption(self, event: str) -> int:
        """Record why the job was interrupted and return how often it has timed out."""
        recorded = self._record(event)
        used = attempts.count(attempts.read_if_possible(self._log.path), attempts.TIMEOUT) + self._job.timeouts_before
        # On a full disk SLURM's own count of restarts is the bound.
        return used if recorded else max(used, int(os.environ.get("SLURM_RESTART_COUNT", 0))) + 1

    def _end_previous_attempts(self, previous: Sequence[Entry]) -> None:
        """Make sure that no previous attempt still runs: kill it here, or wait for one elsewhere to notice us."""
        for one in previous:
            if one.host == socket.gethostname() and one.leader_started == processes.started(one.leader) != "":
                write_to_job_log("ending what is left of the former attempt")
                processes.kill_group(one.leader)
        if hosts := sorted({one.host for one in previous} - {socket.gethostname()}):
            write_to_job_log(
                f"a former attempt on {', '.join(hosts)} did not say that it ended; waiting until it would have noticed"
            )
            self._record(attempts.START)
            time.sleep(2.5 * self._timing.fence_s)

    def _end_if_superseded(self, process: JobProcess) -> None:
        """End this attempt if another has taken its place, for example because SLURM took this node for dead."""
        try:
            newer = self._log.superseding()
        except OSError as error:  # for a while, as of an expired ticket or a file server that is away
            write_to_job_log(f"cannot read {self._log.path} ({error.strerror}); the job goes on")
            return
        if newer is not None:
            submission = newer.event == attempts.CLAIM
            what = "submission has claimed its output" if submission else "attempt of this job has begun"
            write_to_job_log(f"another {what} on {newer.host}; this one ends")
            process.kill()
            os._exit(INTERRUPTED_STATUS)

    def _record(self, event: str) -> bool:
        """Record an event and return whether that worked."""
        recorded = self._log.record(event, self._group)
        if not recorded:
            write_to_job_log(f"cannot write {self._log.path}; the job goes on")
        return recorded

    def _summary(self) -> str:
        entries = attempts.read_if_possible(self._log.path)
        return attempts.summary(entries, self._job.max_timeouts, self._job.timeouts_before)


def wait_for_room(log: Path, give_up_s: float) -> None:
    """Wait until the result can be written next to `log`; after `give_up_s` end without a result."""
    probe = log.with_suffix(".room")
    deadline, reported = time.monotonic() + give_up_s, False
    while True:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
            with probe.open("wb") as file:
                file.write(bytes(ROOM_BYTES))
                os.fsync(file.fileno())
            return
        except OSError as error:
            if not reported:
                write_to_job_log(
                    f"the job is done, but {log.parent} cannot be written ({error.strerror}); waiting for room"
                )
                reported = True
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        if time.monotonic() > deadline:
            write_to_job_log("there is still no room; the job counts as done only if its record says so")
            os._exit(0)
        time.sleep(5)
