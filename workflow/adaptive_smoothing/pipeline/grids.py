"""A figure's grids: every noise × every method × the method's grid."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adaptive_smoothing.pipeline.scales import RunGrid, Setup


@dataclass(frozen=True)
class Point:
    """A noise, a method and one value of each axis of the method's grid: runs that differ in their seed alone."""

    noise: str
    method: str
    values: dict[str, Any]  # axis → value
    base: dict[str, Any]  # the setup's hyper-parameters, which `values` complete and override

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyper-parameters of the runs."""
        return {**self.base, **self.values}


def points(grid: RunGrid, setup: Setup) -> Iterator[Point]:
    """Yield the points of a grid over a setup, noise by noise, in the order of the scale file."""
    for noise, (method, axes) in itertools.product(grid.noises, grid.methods.items()):
        base = setup.hyperparameters(noise, method)
        for values in itertools.product(*axes.values()):
            yield Point(noise, method, dict(zip(axes, values, strict=True)), base)
