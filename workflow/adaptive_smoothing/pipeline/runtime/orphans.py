"""No job outlives its Snakemake: it notices that the process is gone, saves and ends.

A killed Snakemake tells nobody, and the jobs of it would run on beside those of the next one. The Snakefile therefore
names its process to all jobs, and each job's script looks once a second whether that process lives.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

VARIABLE = "ADAPTIVE_SMOOTHING_SNAKEMAKE"  # the process id of the Snakemake that started a job, and when it began
POLL_S = 1.0


def offer_process() -> None:
    """Name this process, a Snakemake, to all jobs that it starts."""
    os.environ[VARIABLE] = f"{_space()} {os.getpid()} {_started(os.getpid())}"


def end_with_snakemake() -> None:
    """Send SIGTERM to this process once the Snakemake that started it is gone: a training then saves its state."""
    named = os.environ.get(VARIABLE)
    if named is None or threading.current_thread() is not threading.main_thread():
        return
    space, pid, started = named.split(" ")
    if space == _space():  # a container with process ids of its own cannot see Snakemake's
        threading.Thread(target=_watch, args=(int(pid), started, threading.get_ident()), daemon=True).start()


def _watch(pid: int, started: str, main: int) -> None:
    while _started(pid) == started:
        time.sleep(POLL_S)
    with contextlib.suppress(OSError):  # its terminal may be gone as well
        print("error: Snakemake is gone, so this job saves its state and ends", file=sys.stderr, flush=True)
    signal.pthread_kill(main, signal.SIGTERM)


def _space() -> str:
    """Return a name of the set of processes in which ids are unique; without /proc there is one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; "" if it is dead. Without /proc: whether it is there.

    `core.processes` knows as much through psutil, whose import would take half as long as all else of a script's start.
    """
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"
