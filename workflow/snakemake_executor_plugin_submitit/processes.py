"""What the node knows of processes: who is in a group, whether a process is still the one it was."""

import os
import signal
from pathlib import Path


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
