"""From a metrics table to samples over seeds: last epochs, scenarios, picks from grids, pairs by seed.

Accuracies are in percent, those of the last evaluated epoch. A run diverged if it says so or if its test accuracy or
test negative log-likelihood is not finite (posterior-averaged: those of that average); its accuracies are then NaN, not
those of a guess.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.results.claims.verdicts import SeedValues
from adaptive_smoothing.training import metrics

NAMES = {"ivon": "IVON", "ls": "LS", "sam": "SAM", "ols": "OLS"}
SYMBOLS = {"alpha": "α", "rho": "ρ", "hess_init": "h₀"}
ACCURACIES = {"accuracy": "test_accuracy", "accuracy_mc": "test_accuracy_mc", "validation": "validation_accuracy"}
READ = {"test_accuracy_mc", "validation_accuracy", "posterior_std"}
UNREAD = [column for column in metrics.EPOCH_COLUMNS | metrics.COST_COLUMNS if column not in READ]
Table = tuple[pd.DataFrame, dict[str, Any]]  # a figure's table and what it says of itself
Noise = dict[str, Any]  # columns of a metrics table → the values of one noise


@dataclass(frozen=True)
class AnalysisVariant:
    """One way to read what the paper leaves open.

    `selection`, the column (of `final`) whose mean over seeds picks from a grid; `averaged`, whether IVON's accuracy
    is averaged over its posterior; `rates`, whether LS and SAM are to have one learning rate ('shared'), each its own
    ('own'), or what the scale gives them (None); `variant`, what else is read differently, known to the claim's check.
    """

    name: str
    selection: str = "accuracy"
    averaged: bool = False
    rates: str | None = None
    variant: str = ""

    def column(self, method: str) -> str:
        """Return the column in which a method's accuracy is read."""
        return "accuracy_mc" if self.averaged and method == "ivon" else "accuracy"

    def picks_by(self, method: str) -> str:
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


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each run's last evaluated epoch, with the columns of ACCURACIES (percent) and `scenario` added.

    `scenario` is the noise's name, with dataset and model before it where the table has several.
    """
    last = frame.sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1).sort_index()
    finite = last[["test_accuracy", "test_nll"]].abs().lt(np.inf).all(axis=1)  # false for NaN too
    finite &= ~last["diverged"].astype("boolean").fillna(False).astype(bool)
    averaged = finite & last["test_nll_mc"].astype(float).abs().lt(np.inf)
    scenario = last["noise"].astype(str)
    for column in ("model", "dataset"):
        if last[column].nunique() > 1:
            scenario = last[column] + ", " + scenario
    measured = {name: (100 * last[column].astype(float)).where(finite) for name, column in ACCURACIES.items()}
    measured["accuracy_mc"] = measured["accuracy_mc"].where(averaged)
    return last.drop(columns=UNREAD, errors="ignore").assign(scenario=scenario, **measured)


def scenarios(runs: pd.DataFrame, expected: Iterable[Noise] = (), only: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield name and runs of each scenario of a table, and name and None of each expected one that it lacks.

    `only`: no others than the expected ones.
    """
    met = pd.Series(False, index=runs.index)
    for noise in expected:
        rows = runs[_having(runs, noise)]
        met |= runs.index.isin(rows.index)
        if rows.empty:
            yield _noise_name(noise), None
        yield from _by_scenario(rows)
    if not only:
        yield from _by_scenario(runs[~met])


def _by_scenario(runs: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    yield from ((str(name), rows) for name, rows in runs.groupby("scenario", sort=False))


def _noise_name(noise: Noise) -> str:
    """Return a noise as it is written where the table has no name for it: 'symmetric, rate = 0.2'."""
    parameters = [f"{key.removeprefix('noise_')} = {value:g}" for key, value in noise.items() if key != "noise_kind"]
    return ", ".join([noise["noise_kind"].replace("_", " "), *parameters])


def _having(runs: pd.DataFrame, noise: Noise) -> "pd.Series[bool]":
    result = pd.Series(True, index=runs.index)
    for column, value in noise.items():
        if column not in runs.columns:
            return pd.Series(False, index=runs.index)
        numeric = isinstance(value, float)
        result &= np.isclose(runs[column].astype(float), value) if numeric else runs[column] == value
    return result


def lacks_average(runs: pd.DataFrame, reading: AnalysisVariant) -> bool:
    """Return whether a reading wants IVON averaged over its posterior, but that was not measured on its runs."""
    return reading.averaged and bool(runs["test_accuracy_mc"].isna().all())


def of_method(runs: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return a method's runs."""
    return runs[runs["method"] == method]


def grid_of(description: Mapping[str, Any], method: str, runs: pd.DataFrame) -> list[str]:
    """Return the hyper-parameters over which a method's runs go."""
    return [axis for axis in description.get("grids", {}).get(method, []) if axis in runs.columns]


def best_grid_point(runs: pd.DataFrame, axes: Sequence[str], selection: str) -> pd.DataFrame:
    """Return the runs at the point of a grid whose mean over seeds of `selection` is highest; none if none has one."""
    if not axes:
        return runs
    means = runs.groupby(list(axes), sort=False, dropna=False)[selection].mean()
    if means.isna().all():
        return runs.iloc[:0]
    best = means.idxmax()
    return at(runs, dict(zip(axes, best if isinstance(best, tuple) else (best,), strict=True)))


def at(runs: pd.DataFrame, point: Mapping[str, Any]) -> pd.DataFrame:
    """Return the runs at one point of a grid."""
    for axis, value in point.items():
        runs = runs[runs[axis].isna() if pd.isna(value) else runs[axis] == value]
    return runs


def along(runs: pd.DataFrame, axis: str, axes: Sequence[str]) -> dict[float, pd.DataFrame]:
    """Return, by rising value of one hyper-parameter, the runs there, all others at their best on the test set."""
    others = [other for other in axes if other != axis]
    values = sorted(value for value in runs[axis].unique() if pd.notna(value))
    found = {value: best_grid_point(runs[runs[axis] == value], others, "accuracy") for value in values}
    lost = {value: runs[runs[axis] == value] for value, rows in found.items() if rows.empty}  # diverged throughout
    return {value: lost.get(value, rows) for value, rows in found.items()}


def by_seed(runs: pd.DataFrame, column: str) -> "pd.Series[float]":
    """Return the values of a column by seed; NaN where a run of that seed diverged."""
    return runs.groupby("seed")[column].agg(lambda values: values.mean(skipna=False)).astype(float)


def difference(first: "pd.Series[float]", second: "pd.Series[float]", seeds: Iterable[int]) -> SeedValues:
    """Return the differences of two samples by seed; `seeds` are all that should be there."""
    both = first.index.intersection(second.index)
    return SeedValues((first - second).reindex(both), _missing(both, seeds))


def unpaired(values: "pd.Series[float]", seeds: Iterable[int]) -> SeedValues:
    """Return the sample of values by seed; `seeds` are all that should be there."""
    return SeedValues(values, _missing(values.index, seeds))


def _missing(there: "pd.Index[Any]", seeds: Iterable[int]) -> tuple[str, ...]:
    lacking = sorted(set(seeds) - set(there))
    return (f"seed {', '.join(map(str, lacking))} missing",) if lacking else ()


def described(runs: pd.DataFrame, axes: Sequence[str]) -> str:
    """Return method, picked hyper-parameters and learning rate: 'SAM (ρ = 0.2, lr 0.03)'."""
    first = runs.iloc[0]
    parts = [f"{SYMBOLS.get(axis, axis)} = {_text(first[axis])}" for axis in axes if axis != "lr"]
    if "lr" in runs.columns and pd.notna(first["lr"]):
        parts.append(f"lr {_text(first['lr'])}")
    return method_name(first["method"]) + (f" ({', '.join(parts)})" if parts else "")


def method_name(method: str) -> str:
    """Return a method as it is written."""
    return NAMES.get(method, method)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
