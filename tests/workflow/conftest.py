"""A copy of the project with a tiny scale, run by the real Snakemake."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from adaptive_smoothing.pipeline import yaml_files

ROOT = Path(__file__).parents[2]
MADE = ".made"  # marks a folder in which the tiny scale is complete
SHORT = {"milestones": [1], "warmup_epochs": 1}  # of a schedule of two epochs
PARTS = ("Snakefile", "rules", "workflow", "config", "docs", "envs", "profiles", "workstation")


@dataclass
class Project:
    """A project folder; `snakemake` runs in it with its own copy of the library."""

    folder: Path

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(self.folder / "workflow"), **environment}
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=600)

    def smoothing(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program `smoothing` of the project's own library."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        command = [sys.executable, "-m", "adaptive_smoothing.pipeline.commands.cli", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def made(self, *arguments: str, **environment: str) -> str:
        """Run Snakemake to success and return what it printed."""
        done = self.snakemake(*arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def would_run(self, *targets: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans (targets themselves left out)."""
        text = self.made("--dry-run", *targets)
        table = re.search(r"^job +count\n-.*\n((?:\w+ +\d+\n)+)", text, re.MULTILINE)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows if rule not in ("total", "tiny", "all")}

    def unmade_copy(self, folder: Path) -> "Project":
        """Return a copy in `folder` without what the pipeline made; the library has rooms of the same names."""
        made = {self.folder / name for name in ("data", "results", "logs", "paper_figures", ".snakemake")}
        shutil.copytree(self.folder, folder, ignore=lambda where, names: {n for n in names if Path(where, n) in made})
        return Project(folder)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the project; the text must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} lacks {old!r}"
        path.write_text(text.replace(old, new))

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the tiny scale in place."""
        path = self.folder / "config/tiny.yaml"
        scale = json.loads(path.read_text())
        change(scale)
        path.write_text(json.dumps(scale))


def every_figure(scale: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures and extras of a scale's content."""
    return [*scale["figures"].values(), *scale["extras"].values()]


def tiny_scale() -> dict[str, Any]:
    """Return the small scale with two epochs, one seed, one noise a figure and the ends of each grid."""
    scale: dict[str, Any] = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    scale = json.loads(json.dumps(scale))  # a copy without YAML's shared pieces
    scale["label"] = "tiny scale"
    scale["seeds"] = [0]
    scale["eval_mc_samples"] = 2
    for setup in scale["setups"].values():
        setup["epochs"] = 2
        setup["evaluate_every"] = 1
        for values in setup["methods"].values():
            values["schedule"] |= {key: new for key, new in SHORT.items() if key in values["schedule"]}
    for figure in every_figure(scale):
        if "label_noise_mc_samples" in figure:
            figure["label_noise_mc_samples"] = 2
        for grid in figure.get("runs", []):
            grid["noises"] = grid["noises"][:2]
            grid["methods"] = {
                method: {axis: list(dict.fromkeys([values[0], values[-1]])) for axis, values in axes.items()}
                for method, axes in grid["methods"].items()
            }
    return scale


def copied(folder: Path) -> Project:
    """Return a copy of the project in `folder`, with the tiny scale."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / part, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(source, folder / part)
    (folder / "config/tiny.yaml").write_text(json.dumps(tiny_scale()))  # JSON is YAML
    return Project(folder)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which nothing was made; tests may plan in it, and make what they name."""
    return copied(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which the whole tiny scale was made with two cores; tests must leave it so.

    It is made once: under pytest-xdist the first worker that needs it makes it, and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / MADE).exists():
            copied(folder).made("tiny", "--cores", "2")
            (folder / MADE).touch()
    return Project(folder)


@pytest.fixture
def edited(finished: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished project, Snakemake's records included, that a test may edit."""
    unlocked = shutil.ignore_patterns("locks")  # another worker's Snakemake may be at work there
    shutil.copytree(finished.folder, tmp_path / "edited", copy_function=shutil.copy2, ignore=unlocked)
    return Project(tmp_path / "edited")
