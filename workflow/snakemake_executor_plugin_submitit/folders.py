"""Where things lie, and what is removed when.

<folder>/journal.jsonl          what is under way (journal.py)
<folder>/<run>/jobs.tsv         which task was which job, and where its log is
<folder>/<run>/<rule>/          pickles, logs and records of attempts; flat, and made before sbatch is called:
                                SLURM before 23.02 does not make the folder of a log and fails without a word
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from snakemake_executor_plugin_submitit.entry import pickle_name

JOBS = "jobs.tsv"
RUN = re.compile(r"\d{8}-\d{6}-\d+")


def private(folder: Path) -> Path:
    """Make a folder that only its owner may enter: a pickle is code."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def run_name() -> str:
    """Return a name for this run of Snakemake."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def rule_folder(run_folder: Path, rule: str) -> Path:
    """Return the folder of a rule's jobs; no % in it, which sbatch would replace."""
    return private(run_folder / re.sub(r"[^\w.-]", "_", rule))


def note_job(run_folder: Path, columns: Iterable[str]) -> None:
    """Add a line to the run's table of jobs; a full disk costs the line."""
    path = run_folder / JOBS
    cells = [re.sub(r"\s", " ", cell) for cell in columns]
    with contextlib.suppress(OSError), path.open("a") as file:
        if file.tell() == 0:
            file.write("job\trule\twildcards\toutputs\tlog\n")
        file.write("\t".join(cells) + "\n")


def remove_task(folder: Path, token: str, index: int, job_id: str, logs: bool) -> None:
    """Remove what a task that is over leaves: pickles always, its logs if asked."""
    names = [pickle_name(token, index), f"{job_id}_submitted.pkl", f"{job_id}_0_result.pkl"]
    if logs:
        names += [f"{token}_{index}_attempts.jsonl", f"{job_id}_0_log.out", f"{job_id}_0_log.err"]
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def remove_unsent(folder: Path, token: str, count: int) -> None:
    """Remove the pickles of a submission that the cluster did not take."""
    for index in range(count):
        with contextlib.suppress(OSError):
            (folder / pickle_name(token, index)).unlink()


def log_file(folder: Path, job_id: str) -> Path:
    """Return where a task's output goes."""
    return folder / f"{job_id}_0_log.err"


def result_files(folder: Path) -> set[str]:
    """Return the names of all results in a rule's folder, by one reading of the folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name.endswith("_result.pkl")}
    except OSError:
        return set()


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
        if all(re.search(r"_submission\.sh$|^\.submission_file_", path.name) for path in _entries(folder)):
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        run_folder.rmdir()  # if nothing was submitted


def prune(base: Path, keep_days: int, in_use: Iterable[Path]) -> None:
    """Remove the folders of runs that are older than so many days and have no job under way."""
    kept = {path.name for folder in in_use for path in (folder, *folder.parents)}
    oldest = time.time() - keep_days * 86400
    for folder in _entries(base):
        with contextlib.suppress(OSError):
            if RUN.fullmatch(folder.name) and folder.name not in kept and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
