"""What a figure asks for, as its kind checks it when the scale file is read.

A figure's file and a table's file may hold `check_runs(asked)`, which raises Undrawable for runs that cannot be drawn.
Planning reads that function from the syntax tree (`registry.function`), so it may use only the names of this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["AskedFigure", "AskedRun", "Undrawable"]


class Undrawable(Exception):
    """Why a figure cannot be drawn, and the keys below the figure's own that lead to the reason."""

    def __init__(self, text: str, *keys: str | int) -> None:
        super().__init__(text)
        self.keys = keys


@dataclass(frozen=True)
class AskedRun:
    """A point of a figure's grids: trainings that differ in their seed alone."""

    grid: int  # the place of its grid among the figure's `runs`
    setup: str
    dataset: str  # the dataset's key in the scale
    model: str
    noise: str  # the noise's key in the scale
    noise_options: Mapping[str, Any]  # its kind's options
    method: str
    hyperparameters: Mapping[str, Any]
    has_posterior: bool
    images_on_disk: bool
    classes: int | None  # None: the dataset's file does not state the number

    def refused(self, text: str, key: str = "methods") -> Undrawable:
        """Return the error for this run, at a key of its grid."""
        return Undrawable(text, "runs", self.grid, key)


@dataclass(frozen=True)
class AskedFigure:
    """A figure: the options of its kind, and its runs."""

    kind: str
    options: Mapping[str, Any]
    label_noise_mc_samples: int | None
    runs: tuple[AskedRun, ...]

    def needs_runs(self) -> None:
        """Refuse a figure without runs."""
        if not self.runs:
            raise Undrawable(f"key 'runs' is missing; a figure of kind '{self.kind}' is drawn from trained runs")

    def needs_no_runs(self) -> None:
        """Refuse runs that nobody would draw."""
        if self.runs:
            raise Undrawable(f"a figure of kind '{self.kind}' draws no runs; remove the key", "runs")

    def needs_label_noise(self) -> None:
        """Refuse a figure whose runs' label noise is not measured."""
        if self.label_noise_mc_samples is None:
            raise Undrawable(
                f"key 'label_noise_mc_samples' is missing; a figure of kind '{self.kind}' draws measured label noise"
            )

    def needs_grid(self, parameter: str, values: tuple[Any, ...] = ()) -> None:
        """Refuse a run without a hyper-parameter, and grids that lack `values` of it (none given: any two)."""
        for run in self.runs:
            if parameter not in run.hyperparameters:
                raise run.refused(f"'{run.method}' has no '{parameter}', over which kind '{self.kind}' draws its runs")
        present = {run.hyperparameters[parameter] for run in self.runs}
        if missing := [value for value in values if value not in present]:
            raise Undrawable(
                f"no run has {parameter} '{missing[0]}'; kind '{self.kind}' needs the grid "
                f"{parameter}: [{', '.join(map(str, values))}]",
                "runs",
            )
        if len(present) < 2:
            raise Undrawable(f"kind '{self.kind}' needs a grid of at least two values of '{parameter}'", "runs")

    def needs_one(self, what: str, names: list[str]) -> None:
        """Refuse runs of several datasets, models or other things that a kind draws one of."""
        if len(several := sorted(set(names))) > 1:
            raise Undrawable(f"kind '{self.kind}' draws one {what}, not {', '.join(several)}", "runs")
