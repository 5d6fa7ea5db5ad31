"""The distribution: it knows no project, and its bounds are the versions that tox tests."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import snakemake_executor_plugin_submitit

PACKAGE = Path(snakemake_executor_plugin_submitit.__file__).parent
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOREIGN = re.compile("adaptive|smoothing|ivon|training|epoch|torch", re.IGNORECASE)  # of a project that uses the plugin
TEXTS = [*PACKAGE.rglob("*.py"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *(ROOT / "tests").rglob("*.py")]


def bounds() -> dict[str, Requirement]:
    """Return the dependencies by name."""
    requirements = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    return {requirement.name: requirement for requirement in requirements}


def pins(environment: str) -> dict[str, Version]:
    """Return the versions that an environment of tox installs, by name."""
    pairs = [text.split("==") for text in PROJECT["tool"]["tox"]["env"][environment]["deps"]]
    return {name: Version(version) for name, version in pairs}


@pytest.mark.parametrize(
    "path", [path for path in TEXTS if path.name != Path(__file__).name], ids=lambda path: path.name
)
def test_no_word_of_a_project_gets_in(path):
    found = [line.strip() for line in path.read_text().splitlines() if FOREIGN.search(line)]
    assert not found


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def test_every_dependency_has_bounds_on_both_sides():
    for requirement in bounds().values():
        assert sorted(one.operator for one in requirement.specifier) == ["<", ">="], requirement


@pytest.mark.parametrize("environment", PROJECT["tool"]["tox"]["env_list"])
def test_tox_installs_versions_within_the_bounds(environment):
    assert pins(environment).keys() == bounds().keys()
    for name, version in pins(environment).items():
        assert bounds()[name].specifier.contains(version), (name, version)


def test_the_lower_bounds_are_the_oldest_versions_that_are_tested():
    lower = {
        name: Version(one.version) for name, each in bounds().items() for one in each.specifier if one.operator == ">="
    }
    assert lower == pins("oldest")
    assert all(version >= lower[name] for name, version in pins("newest").items())
