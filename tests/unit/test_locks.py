"""Locks where the file system has none: what each refusal looks like, and that a dead process holds nothing."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest
from filelock import Timeout

from adaptive_smoothing.core import locks

HOLDER = """
import fcntl, sys, time
def flock(descriptor, operation):
    raise OSError(int(sys.argv[2]), "no locks")
fcntl.flock = flock
from pathlib import Path
from adaptive_smoothing.core import locks
lock = locks.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, 524, errno.ENOSYS])
def test_the_existence_of_a_file_is_the_lock_and_a_dead_process_holds_none(tmp_path, monkeypatch, number):
    def flock(descriptor, operation):
        raise OSError(number, "no locks")

    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(number)], stdout=subprocess.PIPE, text=True)
    monkeypatch.setattr(fcntl, "flock", flock)
    try:
        while holder.stdout.readline() != "held\n":
            assert holder.poll() is None
        with pytest.raises(Timeout):
            locks.acquire(path, timeout=0.2)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    locks.acquire(path, timeout=60).release()


def test_a_disk_that_refuses_the_file_is_an_error_as_ever(tmp_path, monkeypatch):
    def refused(path, flags, mode=0o777, **_):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Read-only"):
        patch.setattr(os, "open", refused)
        locks.acquire(tmp_path / "lock", timeout=0)
