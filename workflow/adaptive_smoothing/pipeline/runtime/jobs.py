"""How a rule's script calls the library: output goes to the log, a user's mistake becomes one sentence.

If a fork server runs (fork_server.py), the call runs in a fork of it. No job then imports torch by itself.
"""

import getpass
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.paths import expanded
from adaptive_smoothing.pipeline.runtime import fork_server, orphans
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


def offer_environment() -> None:
    """Set for all jobs what they need from this Snakemake, whatever environment it was started from.

    The library is put on the path, since conda environments do not have it installed. A notebook's MPLBACKEND names a
    module that jobs lack. Files are written in UTF-8 where the terminal knows none.
    """
    orphans.offer_process()
    try:
        getpass.getuser()
    except (KeyError, OSError):  # in a container: Snakemake and torch ask for a name
        os.environ["USER"] = f"user-{os.getuid()}"
    os.environ["MPLBACKEND"] = "Agg"
    os.environ["PYTHONUTF8"] = "1"
    folder = str(Path(__file__).parents[3])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *others])


def offer_data_root(folder: str | None) -> None:
    """Set the folder of downloaded archives for all jobs.

    It is not a param, because another folder with the same bytes must rerun nothing.
    """
    if folder is not None:
        os.environ[DATA_ROOT_VARIABLE] = folder


def data_root(scales_own: str | None = None, variant: str | None = None) -> tuple[str, bool]:
    """Return the folder of downloaded files, and whether it is the project's own, which may be fetched into.

    The user's setting wins over the scale's. A variant's data lie only where its scale says.
    """
    named = os.environ.get(DATA_ROOT_VARIABLE)
    folder = scales_own if variant is not None else named or scales_own
    return (expanded(folder), False) if folder else (OWN_DATA_ROOT, True)


def count_target_jobs(command_line: Sequence[str]) -> int:
    """Return how many jobs the command line of a Snakemake on a cluster's node names.

    Snakemake's settings hold that number too, but only after the Snakefile has been read.
    """
    if "--target-jobs" not in command_line:
        return 0
    after = command_line[command_line.index("--target-jobs") + 1 :]
    return len(list(itertools.takewhile(lambda word: not word.startswith("--"), after)))


def run(rule: str, job: Any, gpus: int | None = None, here: bool = False, **arguments: Any) -> None:
    """Do Snakemake's `job` of a rule: call its function (stages.py) as `call` does; exit with its status.

    The arguments are JSON-like. The job ends with its Snakemake, however that one ends.
    """
    orphans.end_with_snakemake()
    log, files = job.log[0], {"files": [str(file) for file in job.input], "folder": str(Path(job.output[0]).parent)}
    status = execute("adaptive_smoothing.pipeline.runtime.inputs:accept", log, files)
    if status == 0:
        status = call(f"adaptive_smoothing.{STAGES[rule].function}", log, arguments, gpus, here)
    sys.exit(status)


def call(target: str, log: str, arguments: dict[str, Any], gpus: int | None = None, here: bool = False) -> int:
    """Call 'module:function' with its output in file `log`; return the exit status.

    `gpus`: number of GPUs that the call takes for itself and then sees alone (see gpus.py); None: it sees all.
    `here`: run in this process. A call that needs no torch does not have to wait for the fork server's imports.
    """
    status = None if here else fork_server.call(target, log, arguments, gpus)
    return execute(target, log, arguments, gpus) if status is None else status
