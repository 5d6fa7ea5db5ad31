"""Where files lie, and what is removed when.

<folder>/journal.jsonl          jobs in progress (journal.py)
<folder>/fences/                for each output, who may write it and who does (attempts.py)
<folder>/<run>/jobs.tsv         each job's id, rule, wildcards, outputs and log
<folder>/<run>/<rule>/          pickles, logs and records of attempts. It is flat and exists before sbatch is called:
                                SLURM before 23.02 does not create the folder of a log and fails without a message.
"""

import contextlib
import hashlib
import os
import pickle
import pwd
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from snakemake_executor_plugin_submitit import names

FENCES = "fences"
FENCES_KEPT_DAYS = 90  # longer than any job runs
RUN = re.compile(r"\d{8}-\d{6}-\d+")


class BadFolder(Exception):
    """A folder cannot hold pickles, in one sentence."""


def own(folder: Path) -> Path:
    """Return the folder of all runs, made if need be; raise BadFolder where it is not this user's.

    One that exists keeps its mode: it may be shared for other reasons, or be /tmp.
    """
    way_out = "set a folder of your own with --submitit-folder"
    try:
        private(folder)
        owner = folder.stat().st_uid
        with tempfile.TemporaryFile(dir=folder) as probe:  # some file systems show another user than the process has
            users = (os.getuid(), os.fstat(probe.fileno()).st_uid)
    except OSError as error:
        raise BadFolder(f"{folder} cannot be used ({error.strerror}); {way_out}") from error
    if owner not in users:
        raise BadFolder(f"{folder} belongs to {_user(owner)}, but jobs run what lies in it; {way_out}")
    return folder


def private(folder: Path) -> Path:
    """Return a folder; if it has to be made, only its owner may enter, since a pickle is code."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def run_name() -> str:
    """Return a name for this run of Snakemake."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def rule_folder(run_folder: Path, rule: str) -> Path:
    """Return the folder of a rule's jobs; its name has no %, which sbatch would replace."""
    return private(run_folder / re.sub(r"[^\w.-]", "_", rule))


def fence(base: Path, output: str) -> Path:
    """Return the fence of an output."""
    return base / FENCES / f"{hashlib.sha256(output.encode()).hexdigest()[:24]}.jsonl"


def note_job(run_folder: Path, columns: Iterable[str]) -> None:
    """Add a line to the run's table of jobs; on a full disk the line is lost."""
    cells = [re.sub(r"\s", " ", cell) for cell in columns]
    with contextlib.suppress(OSError), (private(run_folder) / names.JOBS_TABLE).open("a") as file:
        if file.tell() == 0:
            file.write("job\trule\twildcards\toutputs\tlog\n")
        file.write("\t".join(cells) + "\n")


def remove_task(folder: Path, token: str, index: int, job_id: str, logs: bool) -> None:
    """Remove the files of a task that has ended: pickles always, its logs if `logs`."""
    files = [names.pickle_name(token, index), names.submitted_name(job_id), names.result_name(job_id)]
    _remove(folder, [*files, names.attempts_name(token, index), *names.log_names(job_id)] if logs else files)


def remove_unsent(folder: Path, token: str, count: int) -> None:
    """Remove the pickles of a submission that the cluster did not take."""
    _remove(folder, [names.pickle_name(token, index) for index in range(count)])


def result_files(folder: Path) -> set[str]:
    """Return the names of all results in a rule's folder, by one reading of the folder.

    Raises OSError while it cannot be read; a folder that is gone has no results.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name.endswith(names.RESULT_ENDING)}
    except FileNotFoundError:
        return set()


def read_result(path: Path) -> tuple[str, str] | None:
    """Return what submitit wrote when the job ended, ('success' or 'error', text); None if it cannot be read yet."""
    try:
        kind, text = pickle.loads(path.read_bytes())
    except Exception:  # garbage may raise anything
        return None
    return str(kind), str(text)


def last_lines(path: Path, count: int = 40, most_bytes: int = 20_000) -> str:
    """Return the end of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])


def tidy(run_folder: Path) -> None:
    """Remove a run's folders that hold nothing but batch scripts."""
    for folder in [path for path in _entries(run_folder) if path.is_dir()]:
        if all(names.BATCH_SCRIPT.search(path.name) for path in _entries(folder)):
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        run_folder.rmdir()  # if nothing was submitted


def prune(base: Path, keep_days: int, in_use: Iterable[Path]) -> None:
    """Remove the folders of runs that are older than `keep_days` and have no job in progress."""
    kept = {path.name for folder in in_use for path in (folder, *folder.parents)}
    oldest = time.time() - keep_days * 86400
    for folder in _entries(base):
        with contextlib.suppress(OSError):
            if RUN.fullmatch(folder.name) and folder.name not in kept and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def prune_fences(base: Path) -> None:
    """Remove fences that nobody has written to for a long time."""
    oldest = time.time() - FENCES_KEPT_DAYS * 86400
    for path in _entries(base / FENCES):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _remove(folder: Path, files: Iterable[str]) -> None:
    for name in files:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
