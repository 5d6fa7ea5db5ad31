"""How a rule's script calls the library: output goes to the log, a user's mistake becomes one sentence.

Where a fork server runs (fork_server.py) the call runs in a fork of it, which saves importing torch for every run.
"""

import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.runtime import fork_server
from adaptive_smoothing.pipeline.runtime.execute import execute
from adaptive_smoothing.pipeline.stages import STAGES

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
    folder = str(Path(__file__).parents[3])
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


def run(rule: str, log: str, gpus: int | None = None, here: bool = False, **arguments: Any) -> None:
    """Call a rule's function (stages.py) with JSON-like arguments, as `call` does; exit with its status."""
    sys.exit(call(f"adaptive_smoothing.{STAGES[rule].function}", log, arguments, gpus, here))


def call(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None, here: bool = False) -> int:
    """Call 'module:function' with its output in file `log`; return the exit status.

    `gpus`: how many GPUs the call takes for itself alone, the only ones it then sees (see gpus.py); None: it sees all.
    `here`: in this process, without waiting until the fork server has imported what this call does not need.
    """
    status = None if here else fork_server.call(target, log, arguments, gpus)
    return execute(target, log, arguments, gpus) if status is None else status
