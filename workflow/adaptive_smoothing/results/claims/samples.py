"""From a figure's table to samples over seeds: scenarios, ways to analyse them, and pairs by seed.

What a last epoch, a diverged run and the best of a grid are, `results.summary` says.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.results import names, summary
from adaptive_smoothing.results.claims.verdicts import SeedValues

Table = tuple[pd.DataFrame, dict[str, Any]]  # a figure's table and what it says of itself
Noise = dict[str, Any]  # columns of a metrics table → the values of one noise


@dataclass(frozen=True)
class AnalysisVariant:
    """One way to analyse what the paper leaves open.

    `selection`, the column (of `summary.last_epochs`) whose mean over seeds picks from a grid; `averaged`, whether
    IVON's accuracy is averaged over its posterior; `rates`, whether LS and SAM must share a learning rate ('shared'),
    have their own ('own'), or have what the scale gives them (None); `aspect`, what else the claim's check analyses
    differently.
    """

    name: str
    selection: str = "accuracy"
    averaged: bool = False
    rates: str | None = None
    aspect: str = ""

    def column(self, method: str) -> str:
        """Return the column in which a method's accuracy is read."""
        return "accuracy_mc" if self.averaged and method == "ivon" else "accuracy"

    def selection_column(self, method: str) -> str:
        """Return the column whose mean picks from a method's grid."""
        return self.column(method) if self.selection == "accuracy" else self.selection


PAPER = AnalysisVariant("as the paper")
AVERAGED = AnalysisVariant("IVON posterior-averaged", averaged=True)
VALIDATION = AnalysisVariant("picked on validation", selection="validation")
OPEN = (
    PAPER,
    VALIDATION,
    AVERAGED,
    AnalysisVariant("learning rate shared by LS and SAM", rates="shared"),
    AnalysisVariant("learning rate of its own for LS and SAM", rates="own"),
)


@dataclass(frozen=True)
class Scenario:
    """The last epochs of one noise's runs in a figure (no rows: the scale lacks this noise)."""

    name: str
    runs: pd.DataFrame = field(repr=False)
    description: Mapping[str, Any] = field(repr=False)

    @property
    def seeds(self) -> set[int]:
        """All training seeds of the runs."""
        return set(self.runs["seed"])

    def of_method(self, method: str) -> pd.DataFrame:
        """Return a method's runs."""
        return self.runs[self.runs["method"] == method]

    def grid(self, method: str) -> list[str]:
        """Return the hyper-parameters that a method's runs have a grid of."""
        return summary.grid_of(self.description, method, self.runs)

    def with_runs(self, runs: pd.DataFrame) -> "Scenario":
        """Return the scenario with other runs."""
        return replace(self, runs=runs)


def scenarios(table: Table, expected: Iterable[Noise] = (), only: bool = False) -> Iterator[Scenario]:
    """Yield each scenario of a metrics table, and one without runs for each expected noise that the table lacks.

    `only`: no others than the expected ones.
    """
    frame, description = table
    runs = summary.last_epochs(frame, description)
    seen = pd.Series(False, index=runs.index)
    for noise in expected:
        has_noise = _has_noise(runs, noise)
        seen |= has_noise
        if not has_noise.any():
            yield Scenario(_noise_text(noise), runs[has_noise], description)
        yield from _by_task(runs[has_noise], description)
    if not only:
        yield from _by_task(runs[~seen], description)


def _by_task(runs: pd.DataFrame, description: Mapping[str, Any]) -> Iterator[Scenario]:
    yield from (Scenario(str(name), rows, description) for name, rows in runs.groupby("task", sort=False))


def _noise_text(noise: Noise) -> str:
    return names.noise_text({column.removeprefix("noise_"): value for column, value in noise.items()})


def _has_noise(runs: pd.DataFrame, noise: Noise) -> "pd.Series[bool]":
    result = pd.Series(True, index=runs.index)
    for column, value in noise.items():
        if column not in runs.columns:
            return pd.Series(False, index=runs.index)
        numeric = isinstance(value, float)
        result &= np.isclose(runs[column].astype(float), value) if numeric else runs[column] == value
    return result


def lacks_average(runs: pd.DataFrame, variant: AnalysisVariant) -> bool:
    """Return whether a variant averages IVON over its posterior, but the runs have no such accuracy."""
    return variant.averaged and bool(runs["test_accuracy_mc"].isna().all())


def by_seed(runs: pd.DataFrame, column: str) -> "pd.Series[float]":
    """Return the values of a column by seed; NaN where a run of that seed diverged."""
    return runs.groupby("seed")[column].agg(lambda values: values.mean(skipna=False)).astype(float)


def paired_difference(first: "pd.Series[float]", second: "pd.Series[float]", seeds: Iterable[int]) -> SeedValues:
    """Return the differences of two samples by seed; `seeds` are all that should be there."""
    both = first.index.intersection(second.index)
    return SeedValues((first - second).reindex(both), _missing(both, seeds))


def unpaired_values(values: "pd.Series[float]", seeds: Iterable[int]) -> SeedValues:
    """Return the sample of values by seed; `seeds` are all that should be there."""
    return SeedValues(values, _missing(values.index, seeds))


def _missing(present: "pd.Index[Any]", seeds: Iterable[int]) -> tuple[str, ...]:
    absent = sorted(set(seeds) - set(present))
    return (f"seed {', '.join(map(str, absent))} missing",) if absent else ()


def setting_text(runs: pd.DataFrame, axes: Sequence[str]) -> str:
    """Return method, picked hyper-parameters and learning rate of runs: 'SAM (ρ = 0.2, lr 0.03)'."""
    first = runs.iloc[0]
    parts = [names.parameter_value(axis, first[axis]) for axis in axes if axis != "lr"]
    if "lr" in runs.columns and pd.notna(first["lr"]):
        parts.append(f"lr {names.value_text(first['lr'])}")
    return names.method_name(first["method"]) + (f" ({', '.join(parts)})" if parts else "")
