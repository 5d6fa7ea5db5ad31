"""Claims that set IVON's accuracy against that of LS and SAM: C5a, C7a, C7b, C8 and C9 (Sec. 4.3).

A method with a grid stands at the point with the highest mean over seeds, on the test set or on the validation split.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from adaptive_smoothing.results.claims.samples import (
    AnalysisVariant,
    Noise,
    Table,
    best_grid_point,
    by_seed,
    described,
    difference,
    final,
    grid_of,
    lacks_average,
    method_name,
    of_method,
    scenarios,
    unpaired,
)
from adaptive_smoothing.results.claims.thresholds import ABOUT_CHANCE, C8_ABOVE, COMPARABLE
from adaptive_smoothing.results.claims.verdicts import NAN, CheckResult, Requirement, judged, not_tested

BASELINES = ("ls", "sam")
PAIR = {"noise_kind": "pair", "noise_rate": 0.2}
SYMMETRIC = [{"noise_kind": "symmetric", "noise_rate": rate} for rate in (0.2, 0.4)]
THREE_NOISES: list[Noise] = [*SYMMETRIC, PAIR]
HEAVIEST = {"noise_kind": "class_dependent", "noise_kappa": 0.5}
LEVELS: list[Noise] = [{"noise_kind": "class_dependent", "noise_kappa": kappa} for kappa in (0.1, 0.2, 0.3, 0.4)]


LEVELS.append(HEAVIEST)


Published = Callable[[pd.DataFrame, str], float]  # runs of a scenario, baseline → the paper's number


def c5a(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above the best LS and the best SAM in each of the three noises."""
    yield from _all_above(tables["fig5"], reading, THREE_NOISES)


def c7a(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above both at every κ."""
    table = tables["fig7"]
    yield from _all_above(table, reading, LEVELS, lambda runs, method: _published(table[1], runs, method))


def c8(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above both under pair flip noise of 20 %; in the variant 'numbers', by as much as the paper says."""
    table = tables["fig8"]
    own = table[1]["scale"] == "paper"
    if reading.variant == "numbers" and not own:
        yield not_tested("pair flip 20 %", "the paper's numbers are those of its own data; this scale has others")
        return
    paper = C8_ABOVE if own else {}
    numbers = paper if reading.variant == "numbers" else {}
    for name, runs in scenarios(final(table[0]), [PAIR], only=True):
        if runs is None:
            yield not_tested(name, "the scale lacks this noise")
            continue
        for method in BASELINES:
            demand = Requirement(low=0.0, number=numbers.get(method))
            yield _compared(name, runs, method, table[1], reading, demand, paper.get(method, NAN))


def c9(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above LS, and comparable to SAM."""
    frame, description = tables["fig9"]
    for name, runs in scenarios(final(frame)):
        yield _compared(name, runs, "ls", description, reading, Requirement(low=0.0), NAN)
        demand = Requirement(low=-COMPARABLE, high=COMPARABLE)
        yield _compared(name, runs, "sam", description, reading, demand, NAN)


def c7b(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """At the heaviest noise IVON above chance, LS and SAM about at chance."""
    frame, description = tables["fig7"]
    for name, runs in scenarios(final(frame), [HEAVIEST], only=True):
        if runs is None:
            yield not_tested(name, "the scale lacks the paper's heaviest noise")
            continue
        classes = description.get("classes", {}).get(runs["dataset"].iloc[0])
        if not classes:
            yield not_tested(name, "the table does not say how many classes there are")
            continue
        for method in ("ivon", *BASELINES):
            demand = Requirement(low=ABOUT_CHANCE) if method == "ivon" else Requirement(high=ABOUT_CHANCE)
            yield _above_chance(name, runs, method, description, reading, demand, 100 / classes)


def _all_above(
    table: Table,
    reading: AnalysisVariant,
    expected: list[Noise],
    paper: Published = lambda runs, method: NAN,
) -> Iterator[CheckResult]:
    frame, description = table
    for name, runs in scenarios(final(frame), expected):
        if runs is None:
            yield not_tested(name, "the scale lacks this noise")
            continue
        for method in BASELINES:
            yield _compared(name, runs, method, description, reading, Requirement(low=0.0), paper(runs, method))


def _compared(
    name: str,
    runs: pd.DataFrame,
    method: str,
    description: Mapping[str, Any],
    reading: AnalysisVariant,
    demand: Requirement,
    paper: float,
) -> CheckResult:
    """Return the finding on IVON minus a baseline, paired by seed."""
    scenario = f"{name}, against {method_name(method)}"
    runs, why = _with_rates(runs, reading, description)
    if why:
        return not_tested(scenario, why)
    chosen, why = _chosen(runs, ("ivon", method), description, reading)
    if why:
        return not_tested(scenario, why)
    first, second = (by_seed(chosen[key], reading.column(key)) for key in ("ivon", method))
    texts = [described(chosen[key], grid_of(description, key, runs)) for key in ("ivon", method)]
    sample = difference(first, second, runs["seed"])
    return judged(scenario, " − ".join(texts), sample, demand, paper=paper)


def _above_chance(
    name: str,
    runs: pd.DataFrame,
    method: str,
    description: Mapping[str, Any],
    reading: AnalysisVariant,
    demand: Requirement,
    chance: float,
) -> CheckResult:
    scenario = f"{name}, {method_name(method)} above chance"
    chosen, why = _chosen(runs, (method,), description, reading)
    if why:
        return not_tested(scenario, why)
    text = f"{described(chosen[method], grid_of(description, method, runs))} − chance ({chance:g} %)"
    sample = unpaired(by_seed(chosen[method], reading.column(method)) - chance, runs["seed"])
    published = _level(description, runs, method)
    return judged(scenario, text, sample, demand, paper=published - chance)


def _chosen(
    runs: pd.DataFrame, methods: tuple[str, ...], description: Mapping[str, Any], reading: AnalysisVariant
) -> tuple[dict[str, pd.DataFrame], str]:
    """Return each method's runs at its pick, or why there are none."""
    chosen = {}
    for method in methods:
        rows = of_method(runs, method)
        if rows.empty:
            return {}, f"the figure has no runs of {method_name(method)} here"
        if method == "ivon" and lacks_average(rows, reading):
            return {}, "no posterior-averaged accuracy was measured"
        axes = grid_of(description, method, rows)
        if axes and reading.selection == "validation" and rows["validation_accuracy"].isna().all():
            return {}, "the scale holds no validation split out"
        found = best_grid_point(rows, axes, reading.picks_by(method))
        chosen[method] = rows if found.empty else found  # empty: every run diverged, which the sample then says
    return chosen, ""


def _with_rates(
    runs: pd.DataFrame, reading: AnalysisVariant, description: Mapping[str, Any]
) -> tuple[pd.DataFrame, str]:
    """Return the runs with LS and SAM at learning rates as the reading wants them, or why that cannot be had."""
    rates = {m: set(of_method(runs, m)["lr"].dropna()) if "lr" in runs.columns else set() for m in BASELINES}
    present = [found for found in rates.values() if found]
    if reading.rates is None or len(present) < len(BASELINES):
        return runs, "" if reading.rates is None else "LS and SAM are not both here"
    texts = " and ".join(", ".join(f"{rate:g}" for rate in sorted(found)) for found in present)
    if max(map(len, present)) > 1:  # the scale has a grid of learning rates
        return (runs, "") if reading.rates == "own" else _at_shared_rate(runs, rates, reading, description)
    same = present[0] == present[1]
    if reading.rates == "shared" and not same:
        return runs, f"the scale gives LS and SAM learning rates of their own ({texts})"
    if reading.rates == "own" and same:
        return runs, f"the scale gives LS and SAM one learning rate ({min(present[0]):g})"
    return runs, ""


def _at_shared_rate(
    runs: pd.DataFrame, rates: Mapping[str, set[float]], reading: AnalysisVariant, description: Mapping[str, Any]
) -> tuple[pd.DataFrame, str]:
    """Return the runs with LS and SAM at the one learning rate, of those that both have, that is best for LS."""
    common = set.intersection(*rates.values())
    if not common:
        return runs, "LS and SAM have no learning rate in common"
    smoothed = of_method(runs, "ls")
    best = best_grid_point(
        smoothed[smoothed["lr"].isin(common)], grid_of(description, "ls", smoothed), reading.selection
    )
    if best.empty:
        return runs, "no learning rate can be picked"
    return runs[~runs["method"].isin(BASELINES) | np.isclose(runs["lr"], best["lr"].iloc[0])], ""


def _published(description: Mapping[str, Any], runs: pd.DataFrame, method: str) -> float:
    return _level(description, runs, "ivon") - _level(description, runs, method)


def _level(description: Mapping[str, Any], runs: pd.DataFrame, method: str) -> float:
    """Return a point of the paper's own curve in Fig. 7, in percent; NaN beyond the paper's scale."""
    curve = description["options"].get("published", {}).get(method, ())
    kappa = runs["noise_kappa"].iloc[0]
    places = [place for place, level in enumerate(LEVELS) if np.isclose(level["noise_kappa"], kappa)]
    if description["scale"] != "paper" or not places or len(curve) != len(LEVELS):
        return NAN
    return float(curve[places[0]])
