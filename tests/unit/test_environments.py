"""The pins of the conda environments and of pip are one set; neither lags behind the other."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

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
    executor, project = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in ("executor", ".")
    )
    declared = project["dependencies"] + project["optional-dependencies"]["test"] + executor["dependencies"]
    names = {normalised(re.split(r"[<>=!~\[; ]", dependency)[0]) for dependency in declared}
    assert names - pins().keys() == {executor["name"]}  # which is installed by path


def test_the_executors_bounds_contain_the_pins() -> None:
    """Its pyproject also names the newest versions that its own tests have seen: the pins are no newer."""
    executor = tomllib.loads((ROOT / "executor/pyproject.toml").read_text())
    newest = dict(pin.split("==") for pin in executor["tool"]["tox"]["env"]["newest"]["deps"])
    bounds = [Requirement(text) for text in executor["project"]["dependencies"]]
    assert {bound.name for bound in bounds} == newest.keys()
    for bound in bounds:
        pin = pins()[normalised(bound.name)]
        assert bound.specifier.contains(pin), f"{bound} does not contain {pin}"
        assert Version(pin) <= Version(newest[bound.name]), f"tox tests {newest[bound.name]}, not {pin}"


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
