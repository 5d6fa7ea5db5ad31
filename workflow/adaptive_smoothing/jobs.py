"""How a rule's script calls the library: output goes to the log, a user's mistake becomes one sentence.

Where a warm process waits (see warm.py) the call runs in a fork of it, which saves importing torch for every run.
"""

import contextlib
import importlib
import itertools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from adaptive_smoothing import gpus as devices
from adaptive_smoothing import warm
from adaptive_smoothing.errors import UserError

PROBE_BYTES = 1 << 14  # room for the smallest result
OWN_DATA_ROOT = "data/raw"
DATA_ROOT_VARIABLE = "ADAPTIVE_SMOOTHING_DATA_ROOT"


def check_writable(folder: Path) -> None:
    """Raise UserError if `folder` lies on a disk that is full or read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise UserError(
            f"cannot write in {folder.resolve()}: {error.strerror or error}; nothing was started"
        ) from error


def offer_library() -> None:
    """Let the scripts of all jobs find this library, also in conda environments, where it is not installed."""
    folder = str(Path(__file__).parents[1])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *others])


def offer_data_root(folder: str | None) -> None:
    """Tell all jobs where downloaded archives lie.

    Not through a param: another folder with the same bytes reruns nothing.
    """
    if folder is not None:
        os.environ[DATA_ROOT_VARIABLE] = folder


def data_root(scales_own: str | None = None, variant: str | None = None) -> tuple[str, bool]:
    """Return the folder of downloaded files, and whether it is the project's own, into which may be fetched.

    What the user sets comes before what a scale names, but a variant's data lie only where its scale says.
    """
    named = os.environ.get(DATA_ROOT_VARIABLE)
    folder = scales_own if variant is not None else named or scales_own
    return (folder, False) if folder else (OWN_DATA_ROOT, True)


def asked_of_snakemake(command_line: Sequence[str]) -> int:
    """Return how many jobs a Snakemake on a cluster's node is to run, by its command line.

    Its settings say so too, but only once the Snakefile is read.
    """
    if "--target-jobs" not in command_line:
        return 0
    after = command_line[command_line.index("--target-jobs") + 1 :]
    return len(list(itertools.takewhile(lambda word: not word.startswith("--"), after)))


def run(target: str, log: str, gpus: int | None = None, here: bool = False, **arguments: Any) -> None:
    """Call 'module:function' with JSON-like keyword arguments, its output in file `log`; exit with 1 if it fails.

    `gpus`: how many GPUs the call takes for itself alone, the only ones it then sees (see gpus.py); None: it sees all.
    `here`: in this process, without waiting until the warm one has imported what this call does not need.
    """
    status = None if here else warm.call(target, log, arguments, gpus)
    if status is None:
        status = execute(target, log, arguments, gpus)
    sys.exit(status)


def execute(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None) -> int:
    """Call `target` in this process with stdout and stderr going to `log`; return its exit status."""
    with _output_in(log):
        try:
            with contextlib.nullcontext() if gpus is None else devices.taken(gpus):
                _function(target)(**arguments)
            return 0
        except UserError as error:
            status, message = error.exit_status, f"error: {error}\n"
        except Exception as error:
            traceback.print_exc()
            status, message = 1, f"error: {type(error).__name__}: {error}; see {log}\n"
        sys.stderr.flush()
        os.write(2, message.encode())
    os.write(2, message.encode())
    return status


@contextlib.contextmanager
def _output_in(log: str) -> Iterator[None]:
    """Let all that is written to stdout and stderr, by libraries in C too, go to file `log`."""
    kept = [os.dup(1), os.dup(2)]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, original in zip((1, 2), kept, strict=True):
            os.dup2(original, stream)
            os.close(original)


def _function(target: str) -> Callable[..., None]:
    module, name = target.split(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    return function
