"""The SLURM of executor/tests, and a project whose trainings last some seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from slurm_testing.cluster import Cluster
from slurm_testing.fixtures import pytest_configure, slurm  # noqa: F401  # pytest finds them here
from slurm_testing.head import Head
from trainings import METRICS, ROOT, RUN, head_in, lengthen, workflow_tests


@pytest.fixture(scope="session")
def prepared(slurm: Cluster) -> Path:  # noqa: F811
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


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """Return a copy of the prepared project without its runs."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, copy_function=shutil.copy2)
    shutil.rmtree(folder / "results/tiny/runs")
    shutil.rmtree(folder / "logs/tiny/train")
    shutil.rmtree(folder / ".snakemake/metadata", ignore_errors=True)
    return folder


@pytest.fixture
def head(project: Path, slurm: Cluster) -> Iterator[Head]:  # noqa: F811
    one = head_in(project, slurm)
    yield one
    one.close()
