"""Results of a finished training, kept a second time until a later job has read them.

Snakemake deletes a job's outputs where it could not take note of them: it was killed, a file system showed them late,
or an input's time lies in the future. The next start of the same training then puts the kept results back instead of
training again. They are hard links where the file system has them, and hold what a reader may not want to lose.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaptive_smoothing.core.files import atomic_write, link_or_copy
from adaptive_smoothing.core.log import log

FILE = ".finished.json"  # what was trained, and the names of its results; written last, deleted first


def keep(results: Sequence[Path], identity: dict[str, str]) -> None:
    """Keep `results`, files of one folder, of the training with this `identity`.

    A disk that refuses costs only this second copy.
    """
    try:
        for file in results:
            link_or_copy(file, _kept(file))
        with atomic_write(results[0].with_name(FILE)) as temporary:
            content = {"identity": identity, "results": [file.name for file in results]}
            temporary.write_text(json.dumps(content), encoding="utf-8")
    except Exception as error:
        log(f"the results cannot be kept a second time ({error})")


def restore(results: Sequence[Path], identity: dict[str, str]) -> bool:
    """Put kept results back; return False, and delete what is kept, if they are not those of this training."""
    folder = results[0].parent
    kept = _read(folder)
    if kept is None:
        return False
    wanted = {"identity": identity, "results": [file.name for file in results]}
    try:
        if kept == wanted:
            for file in results:
                link_or_copy(_kept(file), file)
            return True
    except OSError as error:
        log(f"the kept results of this run cannot be put back ({error.strerror})")
    forget(folder)
    return False


def forget(folder: Path) -> None:
    """Delete the kept results in a run's folder, if there are any: Snakemake has accepted the results themselves."""
    if (kept := _read(folder)) is not None:
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)
            for name in kept.get("results", []):
                _kept(folder / name).unlink(missing_ok=True)


def _kept(file: Path) -> Path:
    return file.with_name(f".{file.name}.finished")


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
