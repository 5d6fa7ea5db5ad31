"""GPUs of a workstation: each job takes free ones for itself, so that no two jobs share one. No torch.

A device is taken by a lock on a file that is named after it, in one folder for all of a user's processes on the
machine. The kernel drops the locks of a process that ends, however it ends. filelock closes a lock in forks of the
process that holds it: the data loaders of a killed training hold no device.
"""

import contextlib
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from filelock import BaseFileLock, Timeout

from adaptive_smoothing.core import locks
from adaptive_smoothing.core.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"
LIST_DEVICES = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
LIST_TIMEOUT_S = 60  # a driver that has to wake up first takes some seconds
PATIENCE_S = 30.0  # a stopped training holds its device until its state is saved
POLL_S = 0.2
Locks = dict[str, BaseFileLock]  # by device


def devices() -> list[str]:
    """Return the names (numbers, UUIDs or MIG names) of the GPUs that jobs may use, [] where there is none.

    Those of CUDA_VISIBLE_DEVICES if it is set, as CUDA reads it: up to the first -1; else all that nvidia-smi lists.
    """
    visible = os.environ.get(VARIABLE)
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
        return list(dict.fromkeys(names[:end]))
    try:
        listed = subprocess.run(LIST_DEVICES, capture_output=True, text=True, timeout=LIST_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


def check_enough(needed: int, limit: int) -> None:
    """Raise UserError if there are too few GPUs for a job that needs so many, or for `--resources gpu=limit`."""
    if not needed:
        return
    existing = devices()
    if needed > len(existing):
        raise _too_few(needed, existing)
    if limit > len(existing):
        raise UserError(
            f"--resources gpu={limit}: but {len(existing)} GPU(s) are there ({', '.join(existing)}); "
            "N of gpu=N must be at most that"
        )


def _too_few(number: int, existing: list[str]) -> UserError:
    return UserError(
        f"a job needs {number} GPU(s), but {len(existing)} are there ({', '.join(existing) or 'none'}); "
        "--resources gpu=N must be at most that"
        + ("" if existing else ", and --config device=cpu trains without a GPU")
    )


@contextlib.contextmanager
def taken(number: int, patience_s: float = PATIENCE_S) -> Iterator[list[str]]:
    """Take `number` free GPUs and let this process see them only (0: none at all); yield their names.

    CUDA must not have been used in this process yet, and a process may do this once at a time. Raises UserError where
    there are too few GPUs, or where too few have become free after `patience_s` seconds. Devices are distinguished by
    name, so all runs on a machine should use the same kind of name: numbers, or UUIDs.
    """
    existing = devices() if number else []
    if number > len(existing):
        raise _too_few(number, existing)
    held = _lock_when_free(existing, number, patience_s)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ",".join(held)
    try:
        yield list(held)
    finally:
        _release(held)
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _lock_when_free(existing: list[str], number: int, patience_s: float) -> Locks:
    """Lock `number` of the existing devices as soon as that many are free."""
    deadline = time.monotonic() + patience_s
    while len(held := _lock_free_ones(existing, number)) < number:
        _release(held)
        if time.monotonic() >= deadline:
            raise UserError(
                f"a job needs {number} GPU(s), but of the {len(existing)} there only {len(held)} are free; "
                "--resources gpu=N must be at most the number of free ones"
            )
        time.sleep(POLL_S)
    return held


def _lock_free_ones(existing: list[str], number: int) -> Locks:
    """Lock up to `number` free devices.

    One process at a time looks. If two looked together, each might take what the other needs, or find a device busy
    that is freed and taken again meanwhile, although there is a device for everyone.
    """
    held: Locks = {}
    if not number:
        return held
    folder = _folder()
    choosing = locks.acquire(folder / "choosing", mode=0o600)
    try:
        for name in existing:
            if len(held) < number:
                with contextlib.suppress(Timeout):
                    held[name] = locks.acquire(folder / f"{quote(name, safe='')}.lock", timeout=0, mode=0o600)
        return held
    finally:
        choosing.release()


def _release(held: Locks) -> None:
    for lock in held.values():
        lock.release()


def _folder() -> Path:
    """Return the folder of this user's locks; raise UserError if it is another user's."""
    folder = Path(f"adaptive-smoothing-gpus-{os.getuid()}")
    try:
        folder = tempfile.gettempdir() / folder
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}), and keeps jobs from sharing a GPU; set TMPDIR to a folder "
            "that can be written"
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UserError(f"{folder} is not a folder of this user; remove it, or set TMPDIR to another folder")
    return folder
