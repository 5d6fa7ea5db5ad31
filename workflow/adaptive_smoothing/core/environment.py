"""What made a file: package versions and git revision."""

import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ivon-opt", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of the packages that results may depend on."""
    return {package: version(package) for package in PACKAGES}


def git_revision() -> str | None:
    """Return the checkout's commit, with '-modified' where files differ from it; None outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=-modified", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def snapshot() -> dict[str, Any]:
    """Return versions and git revision as they go into a file's metadata.

    To be called before the work: the files may change meanwhile, and git's process, until it has become git, counts to
    SLURM as much memory as the one that starts it.
    """
    return {"versions": versions(), "git_revision": git_revision()}
