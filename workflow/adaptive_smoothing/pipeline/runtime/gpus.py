"""GPUs of a workstation: each job takes free ones for itself, so that no two jobs share one. No torch.

A device is taken by a lock on a file that is named after it, in one folder for all of a user's processes on the
machine. The kernel drops the locks of a process that ends, however it ends.
"""

import contextlib
import fcntl
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from adaptive_smoothing.core.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"
LIST_DEVICES = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
LIST_TIMEOUT_S = 60  # a driver that has to wake up first takes some seconds
PATIENCE_S = 30.0  # a stopped training holds its device until its state is saved
POLL_S = 0.2
Locks = dict[str, int]  # device → descriptor of its locked file


def devices() -> list[str]:
    """Return the names (numbers, UUIDs or MIG names) of the GPUs that jobs may use, [] where there is none.

    Those of CUDA_VISIBLE_DEVICES if it is set, as CUDA reads it: up to the first -1; else all that nvidia-smi lists.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
        return list(dict.fromkeys(names[:end]))
    try:
        listed = subprocess.run(LIST_DEVICES, capture_output=True, text=True, timeout=LIST_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


@contextlib.contextmanager
def taken(number: int, patience_s: float = PATIENCE_S) -> Iterator[list[str]]:
    """Take `number` free GPUs and let this process see them only (0: none at all); yield their names.

    CUDA must not have been used in this process yet, and a process may do this once at a time. Raises UserError where
    there are too few GPUs, or where too few have become free after `patience_s` seconds. Devices are told apart by
    name, so all runs on a machine should name them alike: by number, or by UUID.
    """
    there = devices() if number else []
    if number > len(there):
        raise UserError(
            f"a job needs {number} GPU(s), but {len(there)} are there ({', '.join(there) or 'none'}); "
            "--resources gpu=N must be at most that"
        )
    locks = _locked(there, number, patience_s)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ",".join(locks)
    try:
        yield list(locks)
    finally:
        _release(locks)
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _locked(there: list[str], number: int, patience_s: float) -> Locks:
    """Lock `number` devices out of those that are there, as soon as so many are free."""
    deadline = time.monotonic() + patience_s
    while len(locks := _lock_free_ones(there, number)) < number:
        _release(locks)
        if time.monotonic() >= deadline:
            raise UserError(
                f"a job needs {number} GPU(s), but of the {len(there)} there only {len(locks)} are free; "
                "--resources gpu=N must be at most the number of free ones"
            )
        time.sleep(POLL_S)
    return locks


def _lock_free_ones(there: list[str], number: int) -> Locks:
    """Lock up to `number` free devices.

    One process at a time looks: of two that looked together, each might take what the other needs, or find busy what
    is freed and taken again while it looks, although there is a device for everyone.
    """
    if not number:
        return {}
    folder = _folder()
    locks: Locks = {}
    with open(folder / "choosing", "w") as choosing:
        fcntl.lockf(choosing, fcntl.LOCK_EX)
        for name in there:
            if len(locks) < number and (lock := _lock(folder / f"{quote(name, safe='')}.lock")) is not None:
                locks[name] = lock
    return locks


def _lock(path: Path) -> int | None:
    """Lock a file, write this process's id into it and return its descriptor; None if another process holds it.

    A record lock, unlike one of flock(2), is not handed on to forks: a killed training's data loaders hold no device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two a held lock raises depends on the system
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _release(locks: Locks) -> None:
    for descriptor in locks.values():
        os.close(descriptor)


def _folder() -> Path:
    """Return the folder of this user's locks; raise UserError if it is another user's."""
    folder = Path(tempfile.gettempdir()) / f"adaptive-smoothing-gpus-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"cannot make {folder}, which keeps jobs from sharing a GPU: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{folder} is not a folder of this user; remove it, or set TMPDIR to another folder")
    return folder
