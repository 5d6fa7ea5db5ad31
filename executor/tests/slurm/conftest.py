"""A SLURM of our own, and a workflow with jobs long enough to be hit (workflow/)."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counting import STEPS, WORKFLOW, Counting
from slurm_testing.cluster import Cluster, wait_for
from slurm_testing.fixtures import faked, pytest_configure, slurm  # noqa: F401  # pytest finds them here
from slurm_testing.head import processes_in


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the values of a job that ran without SLURM and without Snakemake."""
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, WORKFLOW / "count.py", folder / "output.json", folder / "states/0", "0"]
    subprocess.run(command, check=True, capture_output=True)
    values: list[str] = json.loads((folder / "output.json").read_text())["values"]
    assert len(set(values)) == STEPS
    return values


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the workflow and its profile."""
    folder = tmp_path / "project"
    shutil.copytree(WORKFLOW, folder)
    return folder


@pytest.fixture
def head(project: Path, slurm: Cluster) -> Iterator[Counting]:  # noqa: F811
    one = Counting(project, slurm)
    yield one
    one.close()


@pytest.fixture
def is_as_undisturbed(undisturbed: list[str], head: Counting) -> Callable[..., None]:
    """Return a check: same output, as many processes as attempts, never two at once, nothing running, queue empty."""

    def check(attempts: int, resumed: bool = True, number: int = 0) -> None:
        output = head.counted(number)
        assert output["values"] == undisturbed
        assert not (head.folder / f"states/{number}.twice").exists()
        assert len(head.started(number)) == attempts
        assert output["restarts"] == (attempts - 1 if resumed else 0)
        wait_for(lambda: not processes_in(head.folder), 20, "all processes to end")
        wait_for(lambda: not head.is_queued(), 180, "an empty queue")  # slurmd tells a controller that was away late
        assert not list(head.folder.glob("states/*.json"))
        assert not list(head.folder.glob(".snakemake/submitit*/*/*/*.pkl"))

    return check
