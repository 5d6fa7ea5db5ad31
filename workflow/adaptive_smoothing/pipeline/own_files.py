"""Whether a user's own files changed since a dataset was prepared: a digest of their names and bytes, for planning.

A file is read again only if its size or times changed, so that planning stays fast: what is known of each file is kept
below `.snakemake/`. Other times alone change no digest.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.data import storage

KNOWN = Path(".snakemake/own_files")
Stat = tuple[int, int, int]  # size, and the times of the last change of content and of inode, in ns
Known = dict[str, tuple[Stat, str]]  # name → its state when it was read, and the digest of its bytes


def content_of_dataset(name: str, options: dict[str, Any], root: Path, prepared: str) -> str | None:
    """Return the digest of the own files of a dataset; None if it has none, as published datasets.

    Where the files are not there any more, it is the digest that the prepared folder of this name records: results can
    be kept without their sources.
    """
    if registry.constant("dataset", name, "OWN_FILES") is not True:
        return None
    try:
        folder, names = registry.load("dataset", name).own_files(options, root)
        return digest_of(folder, names)
    except (UserError, OSError):  # the job itself says what is wrong
        return storage.own_content(paths.DATASET.format(dataset=prepared)) or "not there"


def digest_of(folder: Path, names: Iterable[str]) -> str:
    """Return a digest of the files of these names in a folder."""
    cache = KNOWN / f"{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]}.json"
    known = _read(cache)
    stats = {name: _stat(f"{folder}/{name}") for name in sorted(names)}  # of paths as texts: there may be many
    changed = [name for name, stat in stats.items() if known.get(name, (None,))[0] != stat]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = dict(zip(changed, pool.map(lambda name: _digest(folder / name), changed), strict=True))
    current: Known = {name: (stat, read[name] if name in read else known[name][1]) for name, stat in stats.items()}
    if current != known:
        _write(cache, current)
    return hashlib.sha256(json.dumps([(name, digest) for name, (_, digest) in current.items()]).encode()).hexdigest()


def _stat(path: str) -> Stat:
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _read(cache: Path) -> Known:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        return {name: (tuple(stat), str(digest)) for name, (stat, digest) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(cache: Path, known: Known) -> None:
    try:
        with atomic_write(cache) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")
    except UserError:  # a full disk: the files are read again the next time
        return
