"""What a conftest.py imports to have a SLURM of its own: one for the whole test run."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_testing.cluster import Cluster

FOLDER_VARIABLE = "TEST_SLURM_FOLDER"

# A job that saves its state at every step would otherwise measure the disk; other people's, often.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")


def pytest_configure(config: pytest.Config) -> None:
    """Start SLURM once, also where pytest-xdist runs several tests at a time or two conftest.py import this."""
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
