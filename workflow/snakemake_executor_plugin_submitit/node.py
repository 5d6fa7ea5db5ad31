"""What runs on the node: one Snakemake job as submitit's callable, with its signals, requeues and ends.

    slurmstepd → srun's task (this) → guard → bash → inner Snakemake → bash → the training

SLURM signals all of them, at the time limit with SIGUSR2, at a preemption with SIGUSR2 or SIGTERM. This process only
notes the signal, waits until the job has saved and ended, and has SLURM put it back into the queue. That it ended "by
being told to" is known from the signal, not from an exit status, which the inner Snakemake turns into 1.

Nothing of a job's state is kept in the pickle: a node that dies gives no chance to write one (attempts.py).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from snakemake_executor_plugin_submitit import attempts, processes
from snakemake_executor_plugin_submitit.attempts import Entry

TICK_S = 0.1
REPEAT_S = 2.0  # a training that is still importing torch ignores SIGUSR2, so it is told again
LATE_SIGNAL_S = 1.5  # a child may die of a signal before this process gets its own
FENCE_S = 10.0  # how often an attempt looks whether another one of the same job has begun
CLOCK_S = 5.0  # slack when the time limit is compared with our own clock
GIVE_UP_S = 1800.0  # for a full disk or a silent slurmctld
TAIL_LINES = 40
ROOM_BYTES = 1 << 14
INTERRUPTED_STATUS = 75  # "temporary failure" of sysexits.h


class JobFailed(Exception):
    """The command failed; the message ends with the last lines that it wrote."""


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

    def __call__(self) -> str:
        """Run the job and return how often it was interrupted, in words."""
        return Attempt(self).run()

    def checkpoint(self) -> Any:
        """Let submitit requeue the job as it is, for a signal that comes before our own handlers stand."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Attempt:
    """One run of the job on one node."""

    def __init__(self, job: NodeJob) -> None:
        self.job = job
        self.log = Path(job.attempts_file)
        self.began, self.began_at = time.monotonic(), time.time()
        self.name = f"{os.getpid()}-{self.began_at:.6f}"
        self.told: set[int] = set()
        self.passed_on: set[int] = set()
        self.tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self.group = 0
        self.output_ended = threading.Event()

    def run(self) -> str:
        """Run the command; return if it succeeded, raise if it failed, leave the process if it was interrupted."""
        before = attempts.read(self.log)
        if attempts.finished(before):
            say("an earlier attempt has done this job; nothing is run again")
            return self._summary()
        self._end_former(before)
        with self._listening():
            status = self._execute()
            if status != 0 and not self.told:
                time.sleep(LATE_SIGNAL_S)
        if status == 0:
            noted = self._note(attempts.DONE)
            self._wait_for_room()
            if not noted:
                self._note(attempts.DONE)
            return self._summary()
        reason = f"exit status {status}"
        if self.told:
            left_s = self._seconds_left()
            if signal.SIGTERM in self.told and left_s <= CLOCK_S:
                reason = "reached its time limit; it did not stop when told to by SIGUSR2"
            else:
                self._go_on_later(left_s)
                reason = (
                    f"told to stop at its time limit once more, and none of {self.job.max_timeouts} requeues is left"
                )
        self._note(attempts.FAILED)
        raise JobFailed(f"{reason}; its last lines:\n" + b"".join(self.tail).decode(errors="replace"))

    def _execute(self) -> int:
        reading, writing = os.pipe()
        try:
            process = self._start(reading)
            os.close(reading)
            self.group = process.pid
            self._note(attempts.START)
            threading.Thread(target=self._copy_output, args=(process,), daemon=True).start()
            status = self._wait(process)
            self.output_ended.wait(LATE_SIGNAL_S)
            return status
        except KeyboardInterrupt:  # submitit's local executor cancels with SIGINT and kills a second later
            self._tell(signal.SIGTERM)
            time.sleep(0.6)
            raise
        finally:
            if self.group:
                processes.kill_group(self.group)
            os.close(writing)

    def _start(self, pipe: int) -> subprocess.Popen[bytes]:
        guard = Path(__file__).with_name("guard.py")
        shell = shutil.which("bash") or "/bin/sh"
        command = [sys.executable, "-I", "-S", str(guard), str(pipe), shell, "-c", f"trap : TERM; {self.job.command}"]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
        try:
            return subprocess.Popen(
                command,
                cwd=self.job.workdir,
                pass_fds=[pipe],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _copy_output(self, process: subprocess.Popen[bytes]) -> None:
        """Copy the job's output to the log; a full disk costs lines, not the job."""
        assert process.stdout is not None
        for line in process.stdout:
            self.tail.append(line)
            with contextlib.suppress(OSError):
                os.write(2, line)
        self.output_ended.set()

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the command and, after a signal, for all that it started: something may still be saving."""
        next_told, next_fence, ended_at = 0.0, time.monotonic() + FENCE_S, None
        while True:
            now, status = time.monotonic(), process.poll()
            if status is not None:
                ended_at = ended_at or now
                patient = self.told and now - ended_at < self.job.signal_delay_s
                if not patient or not processes.group_members(self.group):
                    return status
            if self.told and now >= next_told:
                self._pass_on()
                next_told = now + REPEAT_S
            if now >= next_fence:
                self._fence()
                next_fence = now + FENCE_S
            if self.output_ended.is_set():
                time.sleep(TICK_S / 10)  # what closed its output is about to end
            else:
                self.output_ended.wait(TICK_S)

    def _pass_on(self) -> None:
        """Signal the whole group: without SLURM nobody else does. SIGTERM once, SIGUSR2 again and again."""
        for number in self.told - self.passed_on:
            self._tell(number)
        self.passed_on = self.told - {signal.SIGUSR2}

    def _tell(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, number)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Note SIGUSR2 and SIGTERM in place of submitit, which would requeue from within a signal handler."""
        if threading.current_thread() is not threading.main_thread() or self.job.cluster == "debug":
            yield
            return
        previous = {number: signal.signal(number, self._note_signal) for number in (signal.SIGUSR2, signal.SIGTERM)}
        try:
            yield
        finally:
            if self.told:  # more may come while the job is put back, and must not end it before
                previous = dict.fromkeys(previous, signal.SIG_IGN)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self.told.add(number)

    def _seconds_left(self) -> float:
        """Return how long the job may still run: by SLURM, where a limit may have been changed, else by our clock.

        A job that was cancelled has not reached its limit, though SLURM says that its time is up.
        """
        record = own_record() if self.job.cluster == "slurm" else ""
        if (end := own_end(record)) is None:
            return 60 * self.job.minutes - (time.monotonic() - self.began)
        return end - time.time() if own_state(record) in ("RUNNING", "COMPLETING", "TIMEOUT") else float("inf")

    def _go_on_later(self, left_s: float) -> None:
        """Have the job put back into the queue and leave this process; return if it timed out too often.

        SLURM may send the signal up to a minute early, never earlier: what comes before was a preemption.
        """
        early = 60 if self.job.cluster == "slurm" else 0
        timed_out = left_s <= self.job.signal_delay_s + early + CLOCK_S and signal.SIGUSR2 in self.told
        noted = self._note(attempts.TIMEOUT if timed_out else attempts.PREEMPTED)
        used = attempts.count(attempts.read(self.log), attempts.TIMEOUT) + self.job.timeouts_before
        if not noted:  # a full disk; SLURM's own count of restarts bounds them
            used = max(used, int(os.environ.get("SLURM_RESTART_COUNT", 0))) + 1
        if timed_out:
            if used > self.job.max_timeouts:
                return
            say(f"stopped at its time limit, state saved: requeue {used} of {self.job.max_timeouts}")
        else:
            say("stopped by a preemption or a cancellation")
        requeue(self.job.cluster)
        os._exit(INTERRUPTED_STATUS)

    def _end_former(self, before: list[Entry]) -> None:
        """See to it that no former attempt still runs: kill it here, or wait for one elsewhere to notice us."""
        former = attempts.last_start(before)
        if former is None or attempts.stopped(before, former.attempt):
            return
        if former.host != socket.gethostname():
            say(f"the former attempt on {former.host} did not say that it ended; waiting until it would have noticed")
            self._note(attempts.START)
            time.sleep(2.5 * FENCE_S)
        elif former.leader_started and processes.started(former.leader) == former.leader_started:
            say("ending what is left of the former attempt")
            processes.kill_group(former.leader)

    def _fence(self) -> None:
        """End this attempt if a newer one has begun, say because SLURM took this node for dead."""
        last = attempts.last_start(attempts.read(self.log))
        if last is not None and last.attempt != self.name and last.time > self.began_at:
            say(f"another attempt of this job has begun on {last.host}; this one ends")
            processes.kill_group(self.group)
            os._exit(INTERRUPTED_STATUS)

    def _note(self, event: str) -> bool:
        """Write down what happened and return whether that worked."""
        leader_started = processes.started(self.group) if self.group else ""
        job_id = os.environ.get("SLURM_JOB_ID", "")
        host = socket.gethostname()
        entry = Entry(event, self.name, time.time(), host, self.group, leader_started, job_id)
        if attempts.append(self.log, entry):
            return True
        say(f"cannot write {self.log}; the job goes on")
        return False

    def _wait_for_room(self) -> None:
        """Wait until the result can be written; after that long, let the exit status alone say that all went well."""
        probe = self.log.with_suffix(".room")
        deadline, said = time.monotonic() + GIVE_UP_S, False
        while True:
            try:
                with probe.open("wb") as file:
                    file.write(bytes(ROOM_BYTES))
                    os.fsync(file.fileno())
                return
            except OSError as error:
                if not said:
                    say(
                        f"the job is done, but {self.log.parent} cannot be written ({error.strerror}); waiting for room"
                    )
                    said = True
            finally:
                with contextlib.suppress(OSError):
                    probe.unlink(missing_ok=True)
            if time.monotonic() > deadline:
                os._exit(0)  # SLURM's COMPLETED is then the result
            time.sleep(5)

    def _summary(self) -> str:
        return attempts.summary(attempts.read(self.log), self.job.max_timeouts, self.job.timeouts_before)


def requeue(cluster: str) -> None:
    """Put this job back into the queue, unless SLURM is doing that already or has cancelled it.

    Asking first matters: `scontrol requeue` revives a job that its user has just cancelled.
    """
    import submitit

    environment = submitit.JobEnvironment()
    if cluster != "slurm":
        environment._requeue(0)  # leaves the process with submitit's local status for "again"
        return
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        state = own_state(own_record())
        if state == "RUNNING":
            try:
                environment._requeue(0)
                return
            except (OSError, subprocess.SubprocessError) as error:
                say(f"scontrol requeue failed ({error}); trying again")
        elif state:
            say(f"SLURM says {state}: it is up to SLURM whether this job runs again")
            return
        time.sleep(5)


def own_record() -> str:
    """Return what slurmctld knows of this job, '' if it does not answer."""
    import submitit

    try:
        command = ["scontrol", "--oneliner", "show", "job", submitit.JobEnvironment().job_id]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError, RuntimeError):
        return ""


def own_state(record: str) -> str:
    """Return the job's state from its record, '' without one."""
    return _value(record, "JobState")


def own_end(record: str) -> float | None:
    """Return when the job's time is up, None if its record does not say."""
    try:
        return time.mktime(time.strptime(_value(record, "EndTime"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _value(record: str, key: str) -> str:
    return next((word.partition("=")[2] for word in record.split() if word.startswith(f"{key}=")), "")


def say(text: str) -> None:
    """Write a line to the job's log; a full disk must not end the job."""
    with contextlib.suppress(OSError):
        os.write(2, f"submitit executor: {text}\n".encode())
