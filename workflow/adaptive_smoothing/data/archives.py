"""A dataset's own files: found, verified, fetched where that is allowed, and unpacked.

In a folder that the user named, files are read and verified only. In the project's own folder what is absent or broken
is fetched: from mirrors first, then from the publisher, by one process at a time. Archives stay packed; `unpacked`
lends a temporary folder with their contents, so that nothing half unpacked is ever taken for whole.
"""

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import filelock

from adaptive_smoothing.core.errors import UserError, cannot_write
from adaptive_smoothing.core.log import log
from adaptive_smoothing.data.download import CHUNK, Failure, is_url, md5_of, take
from adaptive_smoothing.data.types import Source

UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError)  # what a damaged archive raises
LOOK_AGAIN = 0.2  # seconds between looks at another process's lock


@dataclass(frozen=True)
class Part:
    """A file that is packed in an archive: its path below `Source.root` once unpacked, and its md5 (None: unknown)."""

    name: str
    md5: str | None


@dataclass(frozen=True)
class File:
    """An archive (.gz of one file, or .tar.gz): path below `Source.root`, md5, the publisher's addresses, contents.

    Parts lie where the archive unpacks to in its own folder. Either the archive or all its parts serve.
    """

    name: str
    md5: str | None
    urls: tuple[str, ...]
    parts: tuple[Part, ...]


def obtain(dataset: str, files: Sequence[File], source: Source) -> None:
    """Make sure that each of `files`, or all of its parts, lies verified below `source.root`.

    Raises UserError that names each missing or broken file (where nothing may be fetched: nothing is written then), or
    what was tried and how it failed. `source.published` false: files must be there, but checksums are not asked for.
    """
    held = {file.name: _held_as(file, source) for file in files}
    lacking = [file for file in files if held[file.name] is None]
    if lacking and not source.fetch:
        faults = "; ".join(fault for file in lacking for fault in _faults(file, source))
        raise UserError(
            f"dataset {dataset}: {faults}; put the published files there, or leave data_root unset to fetch them"
        )
    if lacking:
        with _alone(source.root, dataset):
            for file in lacking:
                held[file.name] = _ensured(dataset, file, source)
    checked = "md5 good" if source.published else "md5 not asked for: other data in the same format"
    for file in files:
        log(f"{source.root / file.name}: {held[file.name]}, {checked}")


@contextlib.contextmanager
def unpacked(dataset: str, files: Sequence[File], source: Source) -> Iterator[Path]:
    """Obtain `files` and lend a temporary folder in which all their parts lie, named as below `source.root`.

    Raises UserError as `obtain` does, or if an archive cannot be unpacked.
    """
    obtain(dataset, files, source)
    with tempfile.TemporaryDirectory(prefix="adaptive-smoothing-") as name:
        folder = Path(name)
        for file in files:
            for part in file.parts:
                (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
            if (source.root / file.name).exists():
                _unpack(dataset, file, source.root, folder)
            else:
                for part in file.parts:
                    (folder / part.name).symlink_to((source.root / part.name).resolve())
        yield folder


@contextlib.contextmanager
def _alone(root: Path, dataset: str) -> Iterator[None]:
    """Wait until no other process fetches `dataset` into `root`; the operating system frees a dead process's lock."""
    path = root / f".{dataset}.lock"
    lock = filelock.FileLock(path)
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            log(f"{path}: another process is fetching {dataset}; waits for it")
            lock.acquire(poll_interval=LOOK_AGAIN)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _ensured(dataset: str, file: File, source: Source) -> str | None:
    """Fetch `file` if it is (still) lacking, having removed what is broken; return its form as `_held_as` does.

    Call it with the lock held.
    """
    try:
        for path, check in _with_checks(file, source):
            for leftover in path.parent.glob(f".{path.name}.*"):  # a killed process's: the lock says nobody is at work
                leftover.unlink()
            if path.exists() and (fault := check(path)) is not None:
                log(f"{path} {fault}; removed, fetched again")
                path.unlink()
    except OSError as error:
        raise cannot_write(source.root / file.name, error) from error
    if (held := _held_as(file, source)) is None:
        _fetch(dataset, file, source)
        held = _held_as(file, source)
    return held


def _fetch(dataset: str, file: File, source: Source) -> None:
    """Take `file` from the first mirror or publisher's address that has it right; raise UserError if none has."""
    failures = []
    for origin in (*source.mirrors, *file.urls):
        try:
            if origin in file.urls:
                take(origin, source.root / file.name, partial(_fault, file, source))
            elif is_url(origin):
                url = f"{origin.rstrip('/')}/{PurePosixPath(file.name).name}"
                take(url, source.root / file.name, partial(_fault, file, source))
            else:
                _take_from_folder(Path(origin).expanduser(), file, source)
            return
        except Failure as failure:
            log(f"{origin}: {failure}; the next source is tried")
            failures.append(f"{origin}: {failure}")
    tried = "; ".join(failures) or "no source is known"
    raise UserError(
        f"dataset {dataset}: {file.name} cannot be fetched ({tried}); without internet, put it{_expected(file.md5)} at "
        f"{source.root / file.name}, or name a folder that has it in data_root or among the dataset's mirrors"
    )


def _take_from_folder(mirror: Path, file: File, source: Source) -> None:
    """Copy the archive, or else all its parts, from a folder that holds them directly or laid out as ours does.

    Raises Failure.
    """
    if not mirror.is_dir():
        raise Failure("no such folder")
    home = PurePosixPath(file.name).parent
    fault = f"has no {PurePosixPath(file.name).name}"
    for base in dict.fromkeys((mirror / home, mirror)):
        (archive, check), *parts = _with_checks(file, source)
        try:
            if (candidate := base / archive.name).is_file():
                take(candidate, archive, check)
                return
            places = [base / PurePosixPath(part.name).relative_to(home) for part in file.parts]
            if places and all(place.is_file() for place in places):
                for place, (path, part_check) in zip(places, parts, strict=True):
                    take(place, path, part_check)
                return
        except Failure as failure:  # another layout may have it right
            fault = str(failure)
    raise Failure(fault)


def _with_checks(file: File, source: Source) -> "list[tuple[Path, partial[str | None]]]":
    """Return the paths of the archive and then of its parts, each with what finds faults in a file's contents."""
    parts = [(source.root / part.name, partial(_fault, part, source)) for part in file.parts]
    return [(source.root / file.name, partial(_fault, file, source)), *parts]


def _held_as(file: File, source: Source) -> str | None:
    """Return in which form a file lies there, verified: 'archive', 'unpacked', or None if in neither."""
    (archive, check), *parts = _with_checks(file, source)
    if archive.is_file() and check(archive) is None:
        return "archive"
    if parts and all(path.is_file() and part_check(path) is None for path, part_check in parts):
        return "unpacked"
    return None


def _faults(file: File, source: Source) -> list[str]:
    """Return a phrase for a lacking archive and for each broken part, with paths and what is expected."""
    (archive, check), *parts = _with_checks(file, source)
    fault = check(archive) if archive.is_file() else f"is missing{_expected(file.md5)}"
    found = [f"{archive} {fault}" + (f", published at {' or '.join(file.urls)}" if file.urls else "")]
    present = [(path, part_check) for path, part_check in parts if path.is_file()]
    found += [f"{path} {fault}" for path, part_check in present if (fault := part_check(path)) is not None]
    if present:
        found += [f"{path} is missing" for path, _ in parts if not path.is_file()]
    return found


def _expected(md5: str | None) -> str:
    return f" (md5 {md5})" if md5 is not None else ""


def _fault(wanted: File | Part, source: Source, path: Path) -> str | None:
    """Return what is wrong with the contents of `path`, or None.

    A .gz that was packed otherwise than the published one, as Debian's are, is right if it holds the published bytes.
    """
    if not source.published:
        return None
    if wanted.md5 is None:
        return "cannot be verified: no md5 of it is published" if isinstance(wanted, Part) else None
    try:
        with path.open("rb") as stream:
            md5 = md5_of(_read(stream))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if md5 == wanted.md5 or (isinstance(wanted, File) and _holds_published_bytes(wanted, path)):
        return None
    return f"is truncated or damaged ({path.stat().st_size:,} bytes with md5 {md5}, expected md5 {wanted.md5})"


def _holds_published_bytes(file: File, path: Path) -> bool:
    if len(file.parts) != 1 or file.parts[0].md5 is None:
        return False
    try:
        with gzip.open(path) as stream:
            return md5_of(_read(stream)) == file.parts[0].md5
    except UNREADABLE:
        return False


def _read(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _unpack(dataset: str, file: File, root: Path, folder: Path) -> None:
    """Unpack the parts of `file`, and nothing else that an archive may hold, below `folder`."""
    archive = root / file.name
    lacking = {part.name for part in file.parts}
    try:
        for name, stream in _contents(archive, file):
            if name in lacking:
                with (folder / name).open("wb") as written:
                    shutil.copyfileobj(stream, written, CHUNK)
                lacking.remove(name)
    except UNREADABLE as error:
        raise UserError(f"dataset {dataset}: {archive} cannot be unpacked into {folder} ({error})") from error
    if lacking:
        raise UserError(f"dataset {dataset}: {archive} does not hold {', '.join(sorted(lacking))}")


def _contents(archive: Path, file: File) -> "Iterator[tuple[str, IO[bytes] | gzip.GzipFile]]":
    """Yield name (as parts are named) and stream of each regular file in an archive."""
    if not archive.name.endswith((".tar.gz", ".tgz")):
        with gzip.open(archive) as packed:
            yield file.parts[0].name, packed
        return
    home = PurePosixPath(file.name).parent
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield os.path.normpath(home / member.name), stream
