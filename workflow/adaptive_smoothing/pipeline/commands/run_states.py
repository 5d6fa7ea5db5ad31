"""What a run does now: done, running, waiting or failed, from its progress record, its log and the executor's journal.

Which runs are still to make is Snakemake's decision (snakemake_cli.py). A record counts only while the process that
wrote it lives. On this machine that process is looked up; on another host it counts as dead after a silence.
"""

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adaptive_smoothing.core import paths, processes, progress, units

SILENCE_S = 300.0  # after which a training on another host counts as dead
STARTING_S = 60.0  # in which a job that has opened its log imports torch
JOURNAL = Path(".snakemake/submitit")  # the executor's default
LOG_BYTES = 20_000
Kind = Literal["done", "running", "waiting", "failed"]
KINDS: tuple[Kind, ...] = ("done", "running", "waiting", "failed")


@dataclass(frozen=True)
class ProgressRecord:
    """A training's progress record (progress.py writes it); `epoch` may be fractional, `time` is when it wrote."""

    phase: str
    epochs: int
    host: str
    pid: int
    process_started: float
    time: float
    job: str | None = None
    epoch: float = 0.0
    images_per_second: float | None = None
    seconds_left: float | None = None
    device: str | None = None
    restarts: int = 0
    ended: str | None = None

    @property
    def where(self) -> str:
        """The process, and its host where that is another one, or its SLURM job."""
        process = f"process {self.pid}" + ("" if self.host == socket.gethostname() else f" on {self.host}")
        return f"SLURM job {self.job}, {process}" if self.job else process

    @property
    def reached(self) -> str:
        """How far the training was when it wrote the record."""
        return f"epoch {self.epoch:.4g}/{self.epochs}"

    def end(self, now: float) -> str | None:
        """Return how this attempt ended, as far as can be known; None while it lives."""
        if self.ended is not None:
            return f"stopped at {self.reached}" if self.stopped else f"failed at {self.reached} ({self.ended})"
        silent = now - self.time
        if self.host == socket.gethostname():
            return None if processes.lives(vars(self)) else f"{self.where} is gone; it was at {self.reached}"
        if silent > SILENCE_S:
            return (
                f"no heartbeat for {units.duration(silent)}: {self.where} is dead, or its host is; it was at "
                f"{self.reached} ({self.phase})"
            )
        return None

    @property
    def stopped(self) -> bool:
        """Whether a signal stopped it, after it saved its state."""
        return self.ended == "Stopped"


@dataclass(frozen=True)
class State:
    """What a run does; `why` says more of one that waits or failed, `progress` is there while one runs."""

    run: str
    kind: Kind
    why: str = ""
    progress: ProgressRecord | None = None
    log: Path | None = None


def read_progress(path: Path) -> ProgressRecord | None:
    """Return a progress record; None if it is missing, or not one of ours."""
    try:
        content = json.loads(path.read_text())
        known = {key: value for key, value in content.items() if key in ProgressRecord.__dataclass_fields__}
        record = ProgressRecord(**known)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    numbers = (record.epochs, record.pid, record.process_started, record.time, record.epoch)
    return record if all(isinstance(number, int | float) for number in numbers) else None


def state_of(
    scale: str, run: str, to_make: bool, queued: dict[str, str], now: float | None = None, differs: str | None = None
) -> State:
    """Return what a run does; `queued` maps files to the cluster's jobs that will make them.

    `differs` says in what the results are not those of the plan, if Snakemake takes them for current.
    """
    now = time.time() if now is None else now
    record = read_progress(progress_file(scale, run))
    end = record.end(now) if record else None
    log = Path(paths.TRAIN_LOG.format(scale=scale, run=run))
    if record is not None and end is None:
        return State(run, "running", progress=record, log=log)
    if not to_make and differs:
        return State(run, "waiting", f"its results are not what the plan asks for: {differs}")
    if not to_make:
        return State(run, "done")
    metrics = paths.METRICS.format(scale=scale, run=run)
    if (job := queued.get(metrics)) is not None:
        return State(run, "waiting", f"submitted to the cluster as {job}" + (f"; {end}" if end else ""), log=log)
    if record is None:
        return _state_without_record(run, Path(metrics), log, now)
    if record.stopped:
        return State(run, "waiting", f"{end}, saved; resumes from there when started again", log=log)
    return State(run, "failed", f"{end}; the log's last line: {_last_line(log)}", log=log)


def _state_without_record(run: str, metrics: Path, log: Path, now: float) -> State:
    """Return the state of a run that is to make and has no record, judged by its old results and its log."""
    if metrics.exists():
        return State(run, "waiting", "its results are stale")
    with suppress(OSError):
        status = log.stat()
        if status.st_size == 0 and now - status.st_mtime < STARTING_S:
            return State(run, "running", "starting", log=log)
    last = _last_line(log)
    if last.startswith("error:"):
        return State(run, "failed", last, log=log)
    return State(run, "waiting")


def progress_file(scale: str, run: str) -> Path:
    """Return where a run's progress record lies."""
    return Path(paths.RUN.format(scale=scale, run=run)) / progress.FILE


def queued(folder: Path = JOURNAL) -> dict[str, str]:
    """Return file → job for all jobs that the executor's journal says are on a cluster; {} without a journal."""
    if not folder.exists():
        return {}
    from snakemake_executor_plugin_submitit.status import read_jobs  # only where that executor has been used

    return {
        output: job.job_id or "a job without a number yet"
        for job in read_jobs(folder)
        if job.under_way
        for output in job.outputs
    }


def _last_line(log: Path) -> str:
    """Return the last line of a log that is not empty."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "it left no log"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"
