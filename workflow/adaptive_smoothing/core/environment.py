"""What made a file: package versions and the state of the checkout."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ivon-opt", "numpy")
PROJECT = Path(__file__).parents[3]
WATCHED = ("Snakefile", "rules", "workflow", "config", "envs", "profiles")  # what results are made from
NO_CHECKOUT = "unknown (no checkout)"
_RENAMED = "2"  # of git's kinds of entries, the one that a second path follows


@dataclass(frozen=True)
class Checkout:
    """The commit of the project's own repository (None: unknown, `why` says so) and the watched files that differ.

    Files that git does not know count as differing.
    """

    commit: str | None
    changed: tuple[str, ...] = ()
    why: str = NO_CHECKOUT

    @property
    def revision(self) -> str:
        """The commit, with '-modified' where files differ from it; or why it is unknown."""
        if self.commit is None:
            return self.why
        return f"{self.commit}-modified" if self.changed else self.commit


def versions() -> dict[str, str]:
    """Return the versions of the packages that results may depend on."""
    return {package: version(package) for package in PACKAGES}


def checkout(project: Path = PROJECT) -> Checkout:
    """Return the state of the project's checkout. A repository that the project only lies in is another one.

    Git is told to trust the folder whoever owns it, since code of this folder runs already. It writes nothing.
    """
    if not (project / ".git").exists():
        return Checkout(None)
    command = ["git", "--no-optional-locks", "-c", f"safe.directory={project}", "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=all", "-z", "--", *WATCHED]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, cwd=project, env=own, capture_output=True, text=True)
    except OSError as error:
        return Checkout(None, why=f"unknown (git cannot be run: {error.strerror})")
    if done.returncode:
        complaint = done.stderr.partition("\n")[0].removeprefix("fatal: ")
        return Checkout(None, why=f"unknown (git refused: {complaint})")
    return _parsed(done.stdout)


def _parsed(status: str) -> Checkout:
    """Return what git's status (porcelain, version 2, with zeros) says."""
    entries = iter(status.split("\0")[:-1])
    commit, changed = None, []
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            commit = rest.removeprefix("branch.oid ") if rest.startswith("branch.oid ") else commit
        else:
            changed += _paths(kind, rest, entries)
    if commit is None or commit.startswith("("):
        return Checkout(None, why="unknown (no commit yet)")
    return Checkout(commit, tuple(sorted(changed)))


def _paths(kind: str, rest: str, entries: Iterator[str]) -> list[str]:
    """Return the paths that an entry of git's status names; those of a renamed file are two."""
    fields = {"1": 7, _RENAMED: 8, "u": 9}.get(kind, 0)  # before the path
    return [rest.split(" ", fields)[-1], *([next(entries)] if kind == _RENAMED else [])]


def snapshot() -> dict[str, Any]:
    """Return versions and git revision as they go into a file's metadata.

    To be called before the work: the files may change meanwhile, and git's process, until it has become git, counts to
    SLURM as much memory as the one that starts it.
    """
    return {"versions": versions(), "git_revision": checkout().revision}
