"""A Snakemake that submits to the cluster, and what a test does to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slurm_testing.cluster import Cluster, alive, wait_for

QUICK = [
    *("--seconds-between-status-checks", "1", "--latency-wait", "5", "--submitit-signal-delay", "15"),
    *("--submitit-max-query-interval", "5", "--submitit-patience", "60", "--submitit-command-timeout", "10"),
    "--submitit-keep-logs",
]


@dataclass
class Head:
    """A Snakemake in `folder`, which has the profile."""

    folder: Path
    cluster: Cluster
    profile: str = "profile"
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *targets: str) -> "Head":
        env = {**os.environ, **self.cluster.environment, **self.environment}
        command = [sys.executable, "-m", "snakemake", *targets, "--profile", self.profile, *QUICK, *self.arguments]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=output, stderr=output, start_new_session=True
            )
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

    def unlock(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--unlock"], cwd=self.folder, check=True, capture_output=True
        )

    def said(self, text: str, seconds: float = 180) -> None:
        """Wait until Snakemake says this."""
        self.awaits(lambda: text in self.text, f"not said: {text}", seconds)

    def awaits(self, condition: Any, failure: str, seconds: float = 300) -> None:
        """Wait until a condition holds while Snakemake runs; fail with all that is known if it does not."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: condition() or self.running.poll() is not None, seconds, failure)
        assert condition(), f"{failure}\n{self.text}\n{self.queue()}\n{self.job_logs()}"

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs that were submitted, in order."""
        tables = sorted(self.folder.glob(".snakemake/submitit*/*/jobs.tsv"))
        lines = [line for table in tables for line in table.read_text().splitlines()[1:]]
        return list(dict.fromkeys(line.split("\t")[0] for line in lines))

    def job_logs(self) -> str:
        """Return the jobs' logs, for the message of a failed test."""
        files = sorted(self.folder.glob(".snakemake/submitit*/*/*/*_log.err"))
        files += sorted((self.folder / "logs").rglob("*.log"))
        return "\n".join(f"--- {file}\n{file.read_text()[-3000:]}" for file in files)

    def attempts(self) -> list[dict[str, Any]]:
        """Return all records of attempts, in order of time."""
        files = self.folder.glob(".snakemake/submitit*/*/*/*_attempts.jsonl")
        entries = [json.loads(line) for file in files for line in file.read_text().splitlines() if line]
        return sorted(entries, key=lambda entry: entry["time"])

    def queue(self) -> str:
        return self.cluster.run("squeue", "--states=all", check=False)

    def state(self, job_id: str) -> str:
        return self.cluster.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}").strip()

    def is_queued(self) -> bool:
        """Return whether SLURM has any job of this folder."""
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
        for pid in processes_in(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_in(folder: Path) -> list[int]:
    """Return the living processes that work in a folder: jobs, and all that runs them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(path / "cwd") == str(folder) and alive(int(path.name)):
                found.append(int(path.name))
    return found
