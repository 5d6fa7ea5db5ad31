"""Files that are written whole or not at all, and the sha256 of a file."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from adaptive_smoothing.core.errors import UserError, cannot_write

# What file systems answer that have no fsync: some network shares, FUSE.
NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def atomic_write(path: str | Path, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path` (fsync, rename), on failure it vanishes.

    `check` is called last and may forbid the rename by an error. Raises UserError where the disk is full or read-only.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(target)
        yield temporary
        _fsync(temporary)
        if check is not None:
            check()
        temporary.replace(target)
        _fsync_folder(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # the error above says more
                temporary.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy where the file system has no hard links.

    It is replaced as a whole. Raises OSError.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)  # a rename of one link over another of the same file leaves both


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file's bytes in hex digits; raise UserError if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _new_file(target: Path) -> Path:
    """Make an empty file beside `target`, with the mode that the user's umask gives; no chmod is needed later."""
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}{target.suffix}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    return path


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    """Make a rename survive a power cut where the file system can; the file itself is whole either way."""
    with contextlib.suppress(OSError):
        _fsync(folder)
