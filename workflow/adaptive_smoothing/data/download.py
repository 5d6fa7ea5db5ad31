"""One file from the first source that has it right: folders and URLs, copied or downloaded, checked, written whole."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.log import log

CHUNK = 1 << 20  # bytes
TIMEOUT = 20.0  # seconds without an answer, or without a byte
WAITS = (1.0, 4.0)  # seconds before the second and the third attempt
SCHEMES = ("http", "https", "file")
BUSY = {408, 429, 500, 502, 503, 504}  # HTTP: try again later
Check = Callable[[Path], str | None]  # what is wrong with a file, or None


class Failure(Exception):
    """Why a source did not give a file; `attempts` is how often in all a source that fails so is tried."""

    def __init__(self, reason: str, attempts: int = 1) -> None:
        super().__init__(reason)
        self.attempts = attempts


def is_url(mirror: str) -> bool:
    """Return whether a mirror is a URL and not a folder; raise UserError if it is a URL of a kind we cannot read."""
    scheme, separator, _ = mirror.partition("://")
    if separator and scheme.lower() not in SCHEMES:
        legal = ", ".join(f"{legal}://" for legal in SCHEMES)
        raise UserError(f"mirror '{mirror}': cannot read {scheme}://; legal: {legal} and folders")
    return bool(separator)


def take(origin: str | Path, target: Path, check: Check) -> None:
    """Copy `origin` (a URL or a file) to `target`, which appears only once `check` finds nothing wrong with it.

    What may pass (no answer, a connection cut short, a busy server) is tried again after growing waits, and wrong
    bytes from a URL once. Raises Failure, or UserError where `target` cannot be written.
    """
    attempt = 1
    while True:
        try:
            _take_once(origin, target, check)
            return
        except Failure as failure:
            if attempt >= failure.attempts:
                raise
            wait = WAITS[attempt - 1]
            log(f"{origin}: {failure}; again in {wait:g} s")
            time.sleep(wait)
            attempt += 1


def _take_once(origin: str | Path, target: Path, check: Check) -> None:
    started, size = time.monotonic(), 0
    with atomic_write(target) as temporary:
        with temporary.open("wb") as file:
            for chunk in _chunks(origin):
                size += file.write(chunk)
        if (fault := check(temporary)) is not None:
            raise Failure(fault, attempts=1 if isinstance(origin, Path) else 2)
    log(f"{target}: {size:,} bytes from {origin} in {time.monotonic() - started:.1f} s, checked")


def _chunks(origin: str | Path) -> Iterator[bytes]:
    """Yield the bytes of a URL or file; raise Failure if it cannot be read to its end.

    Errors of reading become Failure here, so that an OSError of the caller is one of writing.
    """
    try:
        if isinstance(origin, Path):
            with origin.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        else:
            yield from _downloaded(origin)
    except urllib.error.HTTPError as error:
        with error:
            reason = f"HTTP status {error.code} ({error.reason})"
        raise Failure(reason, attempts=len(WAITS) + 1 if error.code in BUSY else 1) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(error) from error


def _downloaded(url: str) -> Iterator[bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "adaptive-smoothing"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        promised = response.headers.get("Content-Length")
        size = 0
        while chunk := response.read(CHUNK):
            size += len(chunk)
            yield chunk
    if promised is not None and size < int(promised):
        raise Failure(f"truncated: {size:,} of {int(promised):,} bytes came", attempts=len(WAITS) + 1)


def _failure(error: Exception) -> Failure:
    """Return the failure for an error of reading; only what may pass by waiting is worth another attempt."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return Failure(f"no answer within {TIMEOUT:g} s", attempts=len(WAITS) + 1)
    refused = isinstance(reason, ConnectionRefusedError)
    passing = isinstance(reason, ConnectionError | http.client.HTTPException) and not refused
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return Failure(text, attempts=len(WAITS) + 1 if passing else 1)


def md5_of(chunks: Iterator[bytes]) -> str:
    """Return the md5 of `chunks` in hex digits: a checksum that publishers give, no protection against an attacker."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
