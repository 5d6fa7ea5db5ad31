"""Processes on the node: the job's command in a process group of its own, and what /proc says of others."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

TAIL_LINES = 40


class JobProcess:
    """A running command: its output goes to the job's log, its last lines are kept."""

    def __init__(self, command: str, workdir: str) -> None:
        self.output_ended = threading.Event()
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        reading, self._lifeline = os.pipe()
        try:
            self._process = _start(command, workdir, reading)
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)
        self.group = self._process.pid
        threading.Thread(target=self._copy_output, daemon=True).start()

    def status(self) -> int | None:
        """Return the command's exit status, None while it runs."""
        return self._process.poll()

    def has_members(self) -> bool:
        """Return whether any process of the group lives."""
        return bool(group_members(self.group))

    def signal(self, number: int) -> None:
        """Signal the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, number)

    def kill(self) -> None:
        """Kill the whole group."""
        kill_group(self.group)
        os.close(self._lifeline)

    def last_lines(self) -> str:
        """Return the end of the output."""
        return b"".join(self._tail).decode(errors="replace")

    def _copy_output(self) -> None:
        """Copy the output to the log; on a full disk lines are lost, but the job continues."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._tail.append(line)
            with contextlib.suppress(OSError):
                os.write(2, line)
        self.output_ended.set()


def _start(command: str, workdir: str, pipe: int) -> subprocess.Popen[bytes]:
    leader = Path(__file__).with_name("process_group.py")
    shell = shutil.which("bash") or "/bin/sh"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(leader), str(pipe), shell, "-c", f"trap : TERM; {command}"],
            cwd=workdir,
            pass_fds=[pipe],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def group_members(group: int) -> list[int]:
    """Return the living processes of a process group; [] where there is no /proc."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields and int(fields[2]) == group and fields[0] not in "ZX":
            members.append(int(folder.name))
    return members


def started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; '' if it is gone or there is no /proc."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def kill_group(group: int) -> None:
    """Kill every process of a group; harmless if there is none."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third, the state, on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []
