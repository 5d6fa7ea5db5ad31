"""The pins of the conda environments and of pip are one set; neither lags behind the other."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "envs" / "constraints.txt"
ENVIRONMENTS = sorted(CONSTRAINTS.parent.glob("*.yaml"))
UNPINNED = {"python", "pip"}
CONDA_SUFFIX = "-base"  # conda-forge's matplotlib-base and seaborn-base are the bare packages


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines), "constraints.txt: every line reads name==version"
    return {normalised(name): version for name, version in (line.split("==") for line in lines)}


def environment_pins(path: Path) -> Iterator[tuple[str, str]]:
    for entry in yaml.safe_load(path.read_text())["dependencies"]:
        if isinstance(entry, dict):
            for pinned in entry["pip"]:
                name, version = pinned.split("==")
                yield normalised(name), version
        elif (name := entry.partition("=")[0]) not in UNPINNED:
            yield normalised(name).removesuffix(CONDA_SUFFIX), entry.partition("=")[2]


def test_there_are_environments() -> None:
    assert {path.name for path in ENVIRONMENTS} >= {"train.yaml", "figures.yaml"}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_conda_environment_has_the_versions_of_the_constraints(path: Path) -> None:
    wanted = pins()
    found = dict(environment_pins(path))
    assert found
    assert found == {name: wanted.get(name) for name in found}


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["test"]
    names = {normalised(re.split(r"[<>=!~\[; ]", dependency)[0]) for dependency in declared}
    assert names - pins().keys() - own_distributions() == set()


def own_distributions() -> set[str]:
    """Return the distributions that this repository itself holds: they are installed by path, so none has a pin."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("*/pyproject.toml")]
    return {normalised(tomllib.loads(file.read_text())["project"]["name"]) for file in files}


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            "pipeline.runtime.jobs results.collect results.tables.* results.notes results.claims.judge "
            "results.report.write figures.draw figures.*",
            "torch torchvision ivon snakemake submitit",
        ),
        (
            "pipeline.runtime.jobs data.prepare data.datasets.* data.labels data.noises.* training.job "
            "training.sources.* theory.label_noise methods.* models.*",
            "matplotlib seaborn snakemake submitit",
        ),
    ],
    ids=["figures.yaml", "train.yaml"],
)
def test_conda_environment_suffices_for_its_jobs(modules: str, absent: str) -> None:
    """A job's modules import without the packages that its environment leaves out."""
    code = f"""
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path, target=None):
        if name in {absent.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
for name in {modules.split()!r}:
    module = importlib.import_module("adaptive_smoothing." + name.removesuffix(".*"))
    for entry in pkgutil.iter_modules(module.__path__) if name.endswith(".*") else ():
        importlib.import_module(f"{{module.__name__}}.{{entry.name}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
