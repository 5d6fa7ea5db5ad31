"""What is looked at before a job works: no input may be newer than what the job is about to make.

Snakemake compares the times when a job has ended, and deletes outputs that are older than an input.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from adaptive_smoothing.core import finished
from adaptive_smoothing.core.errors import UserError

WAIT_S = 10.0  # clocks of machines and file servers may differ by that; it is waited until it has passed
MARGIN_S = 0.01
LISTED = 3  # files that a message names


def accept(files: Sequence[str], folder: str) -> None:
    """Look at the inputs of a job that is about to write in `folder`; raise UserError as `check_times` does.

    That Snakemake hands them to a job says that it has accepted them: what a training keeps of them is deleted.
    """
    check_times(files, Path(folder))
    for parent in dict.fromkeys(Path(file).parent for file in files):
        finished.forget(parent)


def check_times(files: Sequence[str], folder: Path) -> None:
    """Wait until no input is newer than a file that is made now in `folder`; raise UserError if that takes long."""
    newest = max(map(_modified, files), default=0.0)
    if newest < time.time() - WAIT_S:
        return
    now = _now(folder)
    late = [file for file in files if _modified(file) > now + WAIT_S]
    if late:
        command = (
            f"touch {' '.join(late)}" if len(late) <= LISTED else "find data results -newermt now -exec touch {} +"
        )
        raise UserError(
            f"{late[0]}: its modification time lies {newest - now:.0f} s in the future, so Snakemake would delete what "
            f"this job makes of it; set the clock right, or type: {command}"
        )
    if newest >= now:
        time.sleep(newest - now + MARGIN_S)


def _modified(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:  # the job itself says that it is missing
        return 0.0


def _now(folder: Path) -> float:
    """Return the time that a file of `folder` gets now: a server's clock decides on a shared file system."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()
