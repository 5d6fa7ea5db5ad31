"""A SLURM of our own, and a project with one training long enough to be hit."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from cluster import Cluster, alive, wait_for
from filelock import FileLock

from adaptive_smoothing.core import parquet
from adaptive_smoothing.training.metrics import NOT_REPRODUCED

# A training that saves at every step would otherwise measure the disk; other people's, often.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")

ROOT = Path(__file__).parents[3]
RUN = "digits-small_cnn/symmetric20/ls-alpha0.9/seed{seed}"
METRICS = "results/tiny/runs/{run}/metrics.parquet"
EPOCHS = 25
QUICK = [
    "--seconds-between-status-checks",
    "1",
    "--latency-wait",
    "5",
    "--submitit-signal-delay",
    "15",
    "--submitit-max-query-interval",
    "5",
    "--submitit-patience",
    "60",
    "--submitit-command-timeout",
    "10",
    "--submitit-keep-logs",
]


def workflow_tests() -> ModuleType:
    """Return the helpers of the workflow's tests."""
    spec = importlib.util.spec_from_file_location("workflow_tests", ROOT / "tests/workflow/conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["workflow_tests"] = module
    spec.loader.exec_module(module)
    return module


FOLDER_VARIABLE = "TEST_SLURM_FOLDER"


def pytest_configure(config: pytest.Config) -> None:
    """Start SLURM once, also where pytest-xdist runs several tests at a time."""
    if FOLDER_VARIABLE in os.environ or config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    cluster = Cluster(folder)
    os.environ[FOLDER_VARIABLE] = str(folder)
    config.add_cleanup(lambda: (cluster.stop(), shutil.rmtree(folder)))
    cluster.start()


@pytest.fixture(scope="session")
def slurm() -> Cluster:
    """Return the running SLURM."""
    return Cluster(Path(os.environ[FOLDER_VARIABLE]))


@pytest.fixture(scope="session")
def prepared(slurm: Cluster) -> Path:
    """Return a project whose dataset and noisy labels are made; its trainings save their state at every step."""
    folder = slurm.folder / "prepared"
    with FileLock(slurm.folder / "prepared.lock"):
        if not folder.exists():
            folder.mkdir()
            project = workflow_tests().copied(folder)
            shutil.copytree(ROOT / "slurm", folder / "slurm")
            project.change(lengthen)
            project.made(*(METRICS.format(run=RUN.format(seed=seed)) for seed in (0, 1)), "--cores", "2")
    return folder


def lengthen(scale: dict[str, Any]) -> None:
    """Make the trainings of digits last some seconds, and save at every step."""
    for setup in scale["setups"].values():
        setup["epochs"], setup["evaluate_every"] = EPOCHS, 1
        setup["resources"] |= {"checkpoint_minutes": 0, "mem_mb": 1500}
    for grid in scale["figures"]["fig5"]["runs"]:
        grid["seeds"] = [0, 1, 2, 3]


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """Return a copy of the prepared project without its runs."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, copy_function=shutil.copy2)
    shutil.rmtree(folder / "results/tiny/runs")
    shutil.rmtree(folder / "logs/tiny/train")
    shutil.rmtree(folder / ".snakemake/metadata", ignore_errors=True)
    return folder


def metrics(folder: Path, seed: int) -> pd.DataFrame:
    """Return the metrics of a run without the columns that say how the run went."""
    frame = whole_metrics(folder, seed)
    return frame.drop(columns=list(NOT_REPRODUCED))


def whole_metrics(folder: Path, seed: int) -> pd.DataFrame:
    """Return the metrics of a run."""
    return parquet.read_frame(folder / METRICS.format(run=RUN.format(seed=seed)))[0]


class Observer(threading.Thread):
    """Counts the trainings of a project, five times a second: which processes, and how many at once for one run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = str(folder)
        self.pids: dict[str, set[int]] = {}
        self.most_at_once: dict[str, int] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            now: dict[str, set[int]] = {}
            for pid in trainers(self.folder):
                with contextlib.suppress(OSError):
                    now.setdefault(log_of(pid), set()).add(pid)
            for log, pids in now.items():
                if log:
                    self.pids.setdefault(log, set()).update(pids)
                    self.most_at_once[log] = max(self.most_at_once.get(log, 0), len(pids))


def trainers(folder: str) -> list[int]:
    """Return the processes that train in a project: Snakemake's copy of the script, run by Python itself.

    A fork of one that is about to become another program, say git, is none.
    """
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            script = any(word.endswith(b".train.py") for word in words[1:3])
            if script and b"python" in words[0] and os.readlink(path / "cwd") == folder and alive(int(path.name)):
                found.append(int(path.name))
    return [pid for pid in found if parent_of(pid) not in found]


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def log_of(pid: int) -> str:
    """Return the log that a training writes to, '' before it has opened it."""
    target = os.readlink(f"/proc/{pid}/fd/1")
    return target if target.endswith(".log") else ""


@dataclass
class Head:
    """A Snakemake that trains on the cluster, and what a test does to it."""

    folder: Path
    cluster: Cluster
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    started: int = 0

    def start(self, *targets: str) -> "Head":
        env = {
            **os.environ,
            **self.cluster.environment,
            "PYTHONPATH": str(self.folder / "workflow"),
            **self.environment,
        }
        command = [sys.executable, "-m", "snakemake", *targets, "--profile", "slurm", *QUICK, *self.arguments]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=output, stderr=output, start_new_session=True
            )
        self.started += 1
        return self

    @property
    def output(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def ends(self, status: int = 0, seconds: float = 600) -> str:
        """Wait for Snakemake's end and return what it said."""
        try:
            got = self.running.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake did not end within {seconds:.0f} s:\n{self.text}\n{self.queue()}")
        assert got == status, f"{self.text}\n{self.job_logs()}"
        return self.text

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.running.send_signal(number)

    def said(self, text: str, seconds: float = 180) -> None:
        """Wait until Snakemake says this."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: text in self.text or self.running.poll() is not None, seconds, text)
        assert text in self.text, f"not said: {text}\n{self.text}\n{self.queue()}\n{self.job_logs()}"

    def is_training(self, seed: int = 0, epochs: int = 3, seconds: float = 300) -> int:
        """Wait until a training has done some epochs and return its process."""
        log = self.folder / f"logs/tiny/train/{RUN.format(seed=seed)}.log"

        def trained() -> bool:
            return log.exists() and len(re.findall(r"^epoch ", log.read_text(), re.MULTILINE)) >= epochs

        with contextlib.suppress(TimeoutError):
            wait_for(lambda: trained() or self.running.poll() is not None, seconds, "a training")
        assert trained(), f"no training\n{self.text}\n{self.queue()}\n{self.job_logs()}"
        pids = [pid for pid in trainers(str(self.folder)) if log_of(pid) == str(log)]
        assert len(pids) == 1, pids
        return pids[0]

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs that were submitted, in order."""
        tables = sorted(self.folder.glob(".snakemake/submitit*/*/jobs.tsv"))
        lines = [line for table in tables for line in table.read_text().splitlines()[1:]]
        return list(dict.fromkeys(line.split("\t")[0] for line in lines))

    def job_logs(self) -> str:
        """Return the jobs' logs, for the message of a failed test."""
        files = sorted(self.folder.glob(".snakemake/submitit*/*/*/*_log.err"))
        files += sorted((self.folder / "logs/tiny/train").rglob("*.log"))
        return "\n".join(f"--- {file}\n{file.read_text()[-3000:]}" for file in files)

    def queue(self) -> str:
        return self.cluster.run("squeue", "--states=all", check=False)

    def state(self, job_id: str) -> str:
        return self.cluster.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}").strip()

    def is_queued(self) -> bool:
        """Return whether SLURM has any job of this project."""
        ids = {one.partition("_")[0] for one in self.job_ids()}
        lines = self.cluster.run("squeue", "--noheader", "--format=%F", check=False).split()
        return bool(ids & set(lines))

    def close(self) -> None:
        """End what a failed test left."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(subprocess.SubprocessError):
            self.cluster.run("scancel", *self.job_ids(), check=False)
        for pid in trainers(str(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def observer(project: Path) -> Iterator[Observer]:
    thread = Observer(project)
    thread.start()
    yield thread
    thread.ended.set()
    thread.join()


@pytest.fixture
def head(project: Path, slurm: Cluster) -> Iterator[Head]:
    one = Head(project, slurm)
    yield one
    one.close()


@pytest.fixture
def train(head: Head) -> Callable[..., Head]:
    """Return a function that starts the training of seeds on the cluster."""

    def start(*seeds: int) -> Head:
        return head.start(*(METRICS.format(run=RUN.format(seed=seed)) for seed in seeds or (0,)))

    return start


@pytest.fixture
def is_as_undisturbed(project: Path, prepared: Path, observer: Observer, head: Head) -> Callable[..., None]:
    """Return a check: same metrics, as many trainings as attempts, never two at once, nothing running, queue empty."""

    def check(attempts: int, resumed: bool = True, seed: int = 0) -> None:
        undisturbed = metrics(prepared, seed)
        assert undisturbed["epoch"].tolist() == list(range(1, EPOCHS + 1))
        pd.testing.assert_frame_equal(metrics(project, seed), undisturbed, check_exact=True)
        log = str(project / f"logs/tiny/train/{RUN.format(seed=seed)}.log")
        assert observer.most_at_once[log] == 1
        seen = len(observer.pids[log])  # one that dies before it opens its log is not seen
        assert seen == attempts or (not resumed and seen == 1), observer.pids
        restarts = whole_metrics(project, seed)["restarts"].iloc[-1]
        assert (restarts >= 1) == resumed, restarts
        wait_for(lambda: not trainers(str(project)), 20, "trainings to end")
        wait_for(lambda: not head.is_queued(), 180, "an empty queue")  # slurmd tells a controller that was away late
        assert not list(project.glob("results/tiny/runs/**/checkpoint.pt"))
        assert not list(project.glob(".snakemake/submitit*/*/*/*.pkl"))

    return check


@pytest.fixture
def faked(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that puts a shell script in front of a program and returns the PATH with it.

    The script finds the real program as $REAL, and a file of its own as $NOTES.
    """

    def fake(program: str, script: str) -> str:
        folder = tmp_path / "fake"
        folder.mkdir(exist_ok=True)
        path = folder / program
        real = shutil.which(program)
        path.write_text(f"#!/bin/bash\nREAL={real}\nNOTES={folder}/{program}.notes\n{script}\n")
        path.chmod(0o755)
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    return fake


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """Return all records of attempts in a project, in order of time."""
    files = folder.glob(".snakemake/submitit*/*/*/*_attempts.jsonl")
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines() if line]
    return sorted(entries, key=lambda entry: entry["time"])
