"""One writer a run: a training is refused while another one of the same run lives, and a late one writes nothing.

A training holds a lock on the run's file `.writer` for its life and writes its own random token into it. Before it
writes anything of the run, it looks whether the token is still its own. So a training that was taken for dead, and
has been replaced, cannot overwrite what the newer one makes. Clocks of two hosts are never compared.

The lock decides on one machine. A writer of another machine counts as dead after its files have not changed for a
while: some file systems have no locks, others have them on one machine only, or keep those of a dead machine.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from adaptive_smoothing.core import processes
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.units import duration

FILE = ".writer"
PATIENCE_S = 30.0  # in which a writer that was told to stop saves its state
SILENCE_S = 90.0  # after which a writer on another machine counts as dead: it writes every ten seconds
SETTLE_S = 1.0  # without locks: in which two that start at once see each other
POLL_S = 0.5
Former = dict[str, Any]


class Superseded(UserError):
    """Another training of the same run has begun; this one must write nothing."""


class Writer:
    """The one training that may write in a run's folder."""

    def __init__(self, path: Path, lock: BaseFileLock | None) -> None:
        """Write who writes; `lock` is held, or None where the file system has no locks."""
        self.token: str | None = secrets.token_hex(16)
        self._path, self._lock = path, lock
        try:
            path.write_text(
                json.dumps({"token": self.token, **processes.identity(), "where": processes.where()}), encoding="utf-8"
            )
        except OSError as error:
            log(f"{path}: cannot be written ({error.strerror}); nothing keeps a second training of this run away")
            self.token = None

    def is_own(self) -> bool:
        """Return whether nobody has taken the run over; also where that cannot be read."""
        try:
            return self.token is None or self.token in self._path.read_text(encoding="utf-8")
        except FileNotFoundError:  # a newer one has ended
            return False
        except (OSError, UnicodeDecodeError):
            return True

    def check(self) -> None:
        """Raise Superseded if another training has taken the run over."""
        if not self.is_own():
            raise Superseded(
                f"{self._path.parent}: another training of this run has begun, or its file {FILE} was deleted; "
                "this one ends and writes nothing"
            )

    def release(self) -> None:
        """Make room for others."""
        with contextlib.suppress(OSError):
            if self.token is not None and self.is_own():
                self._path.unlink(missing_ok=True)
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.release()


@contextlib.contextmanager
def only_writer(folder: Path, heartbeat: str) -> Iterator[Writer]:
    """Be the only writer of the run in `folder`; a living one's file `heartbeat` changes there.

    Raises UserError if another one lives.
    """
    path = folder / FILE
    claim = _Claim(path, folder / heartbeat)
    with contextlib.suppress(OSError):  # a folder that cannot be made is named where results are written
        folder.mkdir(parents=True, exist_ok=True)
    claim.wait()
    writer = Writer(path, claim.lock)
    try:
        if claim.lock is None and writer.token is not None:
            time.sleep(SETTLE_S)
            writer.check()
        yield writer
    finally:
        writer.release()


class _Claim:
    """A training that waits until the former one of its run is gone."""

    def __init__(self, path: Path, heartbeat: Path) -> None:
        self._path, self._heartbeat = path, heartbeat
        self.lock: BaseFileLock | None = None
        self._busy = False  # whether another process holds the lock
        self._lockable = True

    def wait(self) -> None:
        """Return once no other writer lives; raise UserError if one does not end."""
        began = changed = time.monotonic()
        traces, spoke, announced = self._traces(), False, False
        while not self._is_free(former := self._former()):
            now, name = time.monotonic(), former.get("where", "another process")
            if (latest := self._traces()) != traces:
                traces, changed, spoke = latest, now, True
            near = self._is_near(former)
            if now - began >= PATIENCE_S and (near or spoke):
                self._refuse(name)
            if not near and now - changed >= SILENCE_S:
                log(f"{name} has written nothing for {duration(SILENCE_S)}: it is dead")
                return
            if not announced:
                log(
                    f"{name} was training this run; waiting until it has ended, or for {duration(SILENCE_S)} of silence"
                )
                announced = True
            time.sleep(POLL_S)

    def _refuse(self, name: str) -> None:
        if self.lock is not None:
            self.lock.release()
        raise UserError(f"{self._path.parent}: {name} is training this run; wait until it has ended, or stop it")

    def _is_free(self, former: Former) -> bool:
        """Return whether no other writer can live; take the lock if it is free."""
        if self.lock is None and self._lockable:
            self._take_lock()
        if self._busy or not former:
            return not self._busy
        return self._is_near(former) and (self.lock is not None or not processes.lives(former))

    def _is_near(self, former: Former) -> bool:
        """Return whether this process can tell if the former one lives: by a lock of this kernel, or by its id."""
        same_kernel = former.get("kernel") == processes.kernel()
        return same_kernel and (self._lockable or former.get("pids") == processes.pid_space())

    def _take_lock(self) -> None:
        lock, self._busy = FileLock(self._path, timeout=0, fallback_to_soft=False), False
        try:
            lock.acquire()
            self.lock = lock
        except Timeout:
            self._busy = True
        except OSError as error:
            self._lockable = False
            log(f"{self._path}: cannot be locked ({error.strerror}); the process that it names is looked at instead")

    def _former(self) -> Former:
        """Return what the last writer wrote about itself; {} if there is none or it has ended."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _traces(self) -> list[bytes]:
        """Return what a living writer changes."""
        traces = []
        for path in (self._path, self._heartbeat):
            try:
                traces.append(path.read_bytes())
            except OSError:
                traces.append(b"")
        return traces
