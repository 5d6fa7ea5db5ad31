"""Published files: verified where they lie, and fetched where that is allowed.

In a folder that the user named, files are only read. In the project's own folder a missing or damaged file is fetched:
from the mirrors first, then from the publisher, by one process at a time. A file appears there whole or not at all.
"""

import contextlib
import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import filelock
import pooch
from requests import RequestException

from adaptive_smoothing.core import locks
from adaptive_smoothing.core.errors import UserError, cannot_write
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.paths import expanded
from adaptive_smoothing.data.types import Source

CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Part:
    """A file: its name, and its hash as 'algorithm:first hex digits', or None if its publisher gives none."""

    name: str
    hash: str | None


@dataclass(frozen=True)
class File(Part):
    """A published file: the folder below `Source.root` where it lies, and its addresses.

    `parts` are the files that an archive unpacks to in the same folder. Either the archive or all of its parts serve.
    """

    folder: str
    urls: tuple[str, ...]
    parts: tuple[Part, ...] = ()


class Failure(Exception):
    """Why a mirror or the publisher did not give a file."""


def obtain(owner: str, files: Sequence[File], source: Source) -> None:
    """Make sure that each of `files`, or all of its parts, lies verified below `source.root`.

    The errors begin with `owner` ('dataset MNIST'). Raises UserError that names each missing or damaged file where
    nothing may be fetched, else what was tried and how it failed. If the source is not `published`, the files must be
    there, but they are not verified.
    """
    missing = [file for file in files if not _serving(file, source.root / file.folder, source.published)]
    if missing and not source.fetch:
        problems = "; ".join(_problem(file, source) for file in missing)
        raise UserError(f"{owner}: {problems}; put the published files there, or leave data_root unset to fetch them")
    if missing:
        with _alone(source.root / f".{owner.replace(' ', '-')}.lock"):
            for file in missing:
                _ensure(owner, file, source)
    for file in files:
        log(f"{source.root / file.folder / file.name}: {'verified' if source.published else 'other data, unverified'}")


def _problem(file: File, source: Source) -> str:
    """Return what is missing or damaged of a file that does not serve, and where it is published."""
    folder = source.root / file.folder
    parts = file.parts if _present(file.parts, folder) else ()
    return "; ".join(_faults((file, *parts), folder, source.published)) + f", published at {' or '.join(file.urls)}"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock `path`. The operating system releases the lock of a process that dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = locks.acquire(path, timeout=0)
        except filelock.Timeout:
            log(f"{path}: another process is fetching these files; waiting for it")
            lock = locks.acquire(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _ensure(owner: str, file: File, source: Source) -> None:
    """Fetch `file` if it is still missing, after removing what is damaged; the caller holds the lock."""
    folder = source.root / file.folder
    try:
        for part in (file, *file.parts):
            for leftover in folder.glob(f".{part.name}.*"):  # of a killed process: the lock says that nobody is at work
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            path = folder / part.name
            if path.exists() and (fault := _fault(part, path, source.published)) is not None:
                log(f"{path} {fault}; it is removed and fetched again")
                path.unlink()
    except OSError as error:
        raise cannot_write(folder / file.name, error) from error
    if not _serving(file, folder, source.published):
        _fetch(owner, file, source)


def _fetch(owner: str, file: File, source: Source) -> None:
    """Take `file` from the first mirror or publisher's address that has it; raise UserError if none has."""
    failures = []
    for origin in (*(_place(mirror, file) for mirror in source.mirrors), *file.urls):
        try:
            if isinstance(origin, Path):
                _copy(origin, file, source)
            else:
                _download(origin, file, source)
            return
        except Failure as failure:
            log(f"{origin}: {failure}; the next source is tried")
            failures.append(f"{origin}: {failure}")
    raise UserError(
        f"{owner}: {file.name} cannot be fetched ({'; '.join(failures) or 'no source is known'}); without internet, "
        f"put it ({file.hash}) at {source.root / file.folder / file.name}, or name a folder that has it in data_root "
        "or among the dataset's mirrors"
    )


def _place(mirror: str, file: File) -> Path | str:
    """Return the folder that a mirror names, or the URL of `file` on it; raise UserError for other kinds of URLs."""
    scheme, separator, _ = mirror.partition("://")
    if not separator:
        return Path(expanded(mirror))
    if scheme.lower() == "file":
        return Path(url2pathname(urlsplit(mirror).path))
    if scheme.lower() not in ("http", "https"):
        raise UserError(f"mirror '{mirror}': cannot read {scheme}://; legal: http://, https://, file:// and folders")
    return f"{mirror.rstrip('/')}/{file.name}"


def _copy(mirror: Path, file: File, source: Source) -> None:
    """Copy the archive, or else all of its parts, from a folder that holds them directly or in `file.folder`.

    Raises Failure if neither place has them.
    """
    if not mirror.is_dir():
        raise Failure("no such folder")
    places = (mirror / file.folder, mirror)
    for place in places:
        if parts := _serving(file, place, source.published):
            for part in parts:
                with atomic_write(source.root / file.folder / part.name) as temporary:
                    shutil.copyfile(place / part.name, temporary)
            return
    present = [(_present((file, *file.parts), place), place) for place in places]
    faults = [fault for parts, place in present for fault in _faults(parts, place, source.published)]
    raise Failure("; ".join(faults) or f"has no {file.name}")


def _download(url: str, file: File, source: Source) -> None:
    """Download `file`, whole and verified or not at all; raise Failure if that fails."""

    def get(url: str, output: str, store: pooch.Pooch) -> None:
        identity = {"Accept-Encoding": "identity"}  # without it requests may unpack a .gz
        pooch.HTTPDownloader(chunk_size=CHUNK, timeout=source.timeout, headers=identity)(url, output, store)
        if (fault := _fault(file, Path(output), source.published)) is not None:
            raise ValueError(fault)  # pooch tries again after this and after what requests raises

    target = source.root / file.folder / file.name
    with atomic_write(target) as temporary, tempfile.TemporaryDirectory("", f".{file.name}.", target.parent) as folder:
        urls = {file.name: url}
        store = pooch.create(folder, "", registry=dict.fromkeys(urls), urls=urls, retry_if_failed=source.retries)
        try:
            fetched = store.fetch(file.name, downloader=get)
            with contextlib.suppress(OSError):  # pooch makes files for their owner's eyes only
                shutil.copymode(temporary, fetched)
            os.replace(fetched, temporary)
        except (RequestException, ValueError) as error:
            raise Failure(_reason(error, source.timeout)) from error


def _reason(error: BaseException, timeout: float) -> str:
    """Return why a download failed: the innermost error, which urllib3 and requests wrap."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _serving(file: File, folder: Path, published: bool) -> Sequence[Part]:
    """Return what of `file` lies verified in `folder`: the archive, else all of its parts, else nothing."""
    forms: tuple[tuple[Part, ...], ...] = ((file,), file.parts)
    return next((parts for parts in forms if parts and not _faults(parts, folder, published)), ())


def _present(parts: Sequence[Part], folder: Path) -> list[Part]:
    return [part for part in parts if (folder / part.name).is_file()]


def _faults(parts: Sequence[Part], folder: Path, published: bool) -> list[str]:
    """Return a phrase for each of `parts` that is missing from `folder` or is not what was published."""
    faults = [(folder / part.name, _fault(part, folder / part.name, published)) for part in parts]
    return [f"{path} {fault}" for path, fault in faults if fault is not None]


def _fault(part: Part, path: Path, published: bool) -> str | None:
    """Return what is wrong with the file `path`, or None."""
    if not path.is_file():
        return "is missing" + (f" ({part.hash})" if part.hash else "")
    if not published:
        return None
    if part.hash is None:
        return "cannot be verified: its publisher gives no hash"
    algorithm, digits = part.hash.split(":")
    try:
        digest = pooch.file_hash(path, alg=algorithm)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if digest.startswith(digits) or _packs_the_same(part, path):
        return None
    return f"is truncated or damaged ({path.stat().st_size:,} bytes with {algorithm} {digest}, expected {digits})"


def _packs_the_same(file: Part, path: Path) -> bool:
    """Return whether `path` is a .gz of the published content, packed by somebody else, as Debian's are."""
    if not isinstance(file, File) or len(file.parts) != 1 or file.parts[0].hash is None:
        return False
    algorithm, digits = file.parts[0].hash.split(":")
    try:
        with gzip.open(path) as content:
            return hashlib.file_digest(content, algorithm).hexdigest() == digits
    except (OSError, EOFError, zlib.error):  # what a damaged .gz raises
        return False
