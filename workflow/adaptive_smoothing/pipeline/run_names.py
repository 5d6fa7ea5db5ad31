"""Names of runs and of dataset folders: readable, the same whenever the values are, and never shared by two things.

A run is called `<dataset>-<model>/<noise>/<method>-<what its grid sets>/seed<seed>`, which is also its folder.
"""

import hashlib
from collections.abc import Mapping

from adaptive_smoothing.pipeline.grids import Point
from adaptive_smoothing.pipeline.scales import Setup

LONGEST_VALUE = 32  # characters of a value that a name spells out


def prefixes(setups: Mapping[str, Setup]) -> dict[str, str]:
    """Return each setup's `<dataset>-<model>`, with the setup's name where two setups share it."""
    short = {name: f"{setup.dataset}-{setup.model.name}" for name, setup in setups.items()}
    shared = list(short.values())
    return {name: f"{text}-{name}" if shared.count(text) > 1 else text for name, text in short.items()}


def grid_name(point: Point) -> str:
    """Return `<noise>/<method>` and the grid's values that differ from the setup's: 'pair20/ls-alpha0.3'."""
    differing = (f"{axis}{spelled(value)}" for axis, value in point.values.items() if point.base.get(axis) != value)
    return f"{point.noise}/{'-'.join([point.method, *differing])}"


def with_digest(name: str, text: str) -> str:
    """Return a run's name with a digest of its specification, for names that would be the same otherwise."""
    folder, seed = name.rsplit("/", 1)
    return f"{folder}-{short_digest(text)}/{seed}"


def spelled(value: object) -> str:
    """Return a value as it stands in file names."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if all(character.isalnum() or character in "._+" for character in text) and len(text) <= LONGEST_VALUE:
        return text
    return short_digest(text)


def short_digest(text: str) -> str:
    """Return eight hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
