"""Locks between processes, also on file systems that have none.

The operating system drops the lock of a process that ends, however it ends. Where the file system has no locks, the
existence of the file is the lock; a later process on the same host removes it if the one that made it is gone.
"""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

from adaptive_smoothing.core.log import log

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, 524}  # 524: the kernel's own ENOTSUPP


def acquire(path: Path, timeout: float = -1, mode: int = -1) -> BaseFileLock:
    """Return the lock `path`, held; raise filelock.Timeout if it is not free within `timeout` seconds (-1: wait).

    `mode`: the file's, if it is made (-1: as the umask says).
    """
    hard = FileLock(path, timeout=timeout, fallback_to_soft=False, mode=mode)
    try:
        hard.acquire()
        return hard
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    marker = path.with_name(f"{path.name}-soft")
    log(f"{path}: this file system has no locks; {marker} serves as one, and may be deleted if nothing runs")
    soft = SoftFileLock(marker, timeout=timeout, mode=mode)
    soft.acquire()
    return soft
