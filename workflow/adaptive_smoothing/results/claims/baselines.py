"""Claims that compare IVON's accuracy with that of LS and SAM: C5a, C7a, C7b, C8 and C9 (Sec. 4.3).

A method with a grid is taken at the point with the highest mean over seeds, on the test set or on the validation split.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from adaptive_smoothing.results.claims.samples import (
    AnalysisVariant,
    Noise,
    Scenario,
    Table,
    by_seed,
    lacks_average,
    paired_difference,
    scenarios,
    setting_text,
    unpaired_values,
)
from adaptive_smoothing.results.claims.thresholds import ABOUT_CHANCE, C8_ABOVE, COMPARABLE
from adaptive_smoothing.results.claims.verdicts import NAN, CheckResult, Requirement, check_sample, not_tested
from adaptive_smoothing.results.names import method_name
from adaptive_smoothing.results.summary import at_point, best_point, best_runs

BASELINES = ("ls", "sam")
PAIR = {"noise_kind": "pair", "noise_rate": 0.2}
SYMMETRIC = [{"noise_kind": "symmetric", "noise_rate": rate} for rate in (0.2, 0.4)]
THREE_NOISES: list[Noise] = [*SYMMETRIC, PAIR]
LEVELS: list[Noise] = [{"noise_kind": "class_dependent", "noise_kappa": kappa} for kappa in (0.1, 0.2, 0.3, 0.4, 0.5)]
HEAVIEST = LEVELS[-1]
ABOVE = Requirement(low=0.0)

Published = Callable[[Scenario, str], float]  # scenario, baseline → the paper's number


def c5a(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above the best LS and the best SAM in each of the three noises."""
    yield from _all_above(tables["fig5"], variant, THREE_NOISES)


def c7a(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above both at every κ."""
    yield from _all_above(tables["fig7"], variant, LEVELS, _published_difference)


def c8(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above both under pair flip noise of 20 %; for the aspect 'numbers', by as much as the paper says."""
    table = tables["fig8"]
    own = table[1]["scale"] == "paper"
    if variant.aspect == "numbers" and not own:
        yield not_tested("pair flip 20 %", "the paper's numbers are those of its own data; this scale has others")
        return
    paper = C8_ABOVE if own else {}
    numbers = paper if variant.aspect == "numbers" else {}
    for scenario in scenarios(table, [PAIR], only=True):
        if scenario.runs.empty:
            yield not_tested(scenario.name, "the scale lacks this noise")
            continue
        for method in BASELINES:
            requirement = Requirement(low=0.0, number=numbers.get(method))
            yield _against(scenario, method, variant, requirement, paper.get(method, NAN))


def c9(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON above LS, and comparable to SAM."""
    for scenario in scenarios(tables["fig9"]):
        yield _against(scenario, "ls", variant, ABOVE)
        yield _against(scenario, "sam", variant, Requirement(low=-COMPARABLE, high=COMPARABLE))


def c7b(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """At the heaviest noise IVON above chance, LS and SAM about at chance."""
    for scenario in scenarios(tables["fig7"], [HEAVIEST], only=True):
        if scenario.runs.empty:
            yield not_tested(scenario.name, "the scale lacks the paper's heaviest noise")
            continue
        classes = scenario.description.get("classes", {}).get(scenario.runs["dataset"].iloc[0])
        if not classes:
            yield not_tested(scenario.name, "the table does not say how many classes there are")
            continue
        for method in ("ivon", *BASELINES):
            requirement = Requirement(low=ABOUT_CHANCE) if method == "ivon" else Requirement(high=ABOUT_CHANCE)
            yield _above_chance(scenario, method, variant, requirement, 100 / classes)


def _all_above(
    table: Table,
    variant: AnalysisVariant,
    expected: list[Noise],
    paper: Published = lambda scenario, method: NAN,
) -> Iterator[CheckResult]:
    for scenario in scenarios(table, expected):
        if scenario.runs.empty:
            yield not_tested(scenario.name, "the scale lacks this noise")
            continue
        for method in BASELINES:
            yield _against(scenario, method, variant, ABOVE, paper(scenario, method))


def _against(
    scenario: Scenario, method: str, variant: AnalysisVariant, requirement: Requirement, paper: float = NAN
) -> CheckResult:
    """Return the result on IVON minus a baseline, paired by seed."""
    name = f"{scenario.name}, against {method_name(method)}"
    scenario, why = _with_rates(scenario, variant)
    if why:
        return not_tested(name, why)
    best, why = _best(scenario, ("ivon", method), variant)
    if why:
        return not_tested(name, why)
    first, second = (by_seed(best[key], variant.column(key)) for key in ("ivon", method))
    compared = " − ".join(setting_text(best[key], scenario.grid(key)) for key in ("ivon", method))
    sample = paired_difference(first, second, scenario.seeds)
    return check_sample(name, compared, sample, requirement, paper=paper)


def _above_chance(
    scenario: Scenario, method: str, variant: AnalysisVariant, requirement: Requirement, chance: float
) -> CheckResult:
    name = f"{scenario.name}, {method_name(method)} above chance"
    best, why = _best(scenario, (method,), variant)
    if why:
        return not_tested(name, why)
    compared = f"{setting_text(best[method], scenario.grid(method))} − chance ({chance:g} %)"
    sample = unpaired_values(by_seed(best[method], variant.column(method)) - chance, scenario.seeds)
    return check_sample(name, compared, sample, requirement, paper=_published(scenario, method) - chance)


def _best(
    scenario: Scenario, methods: tuple[str, ...], variant: AnalysisVariant
) -> tuple[dict[str, pd.DataFrame], str]:
    """Return each method's runs at its best grid point (all of them if all diverged), or why there are none."""
    best = {}
    for method in methods:
        runs, axes = scenario.of_method(method), scenario.grid(method)
        if runs.empty:
            return {}, f"the figure has no runs of {method_name(method)} here"
        if method == "ivon" and lacks_average(runs, variant):
            return {}, "no posterior-averaged accuracy was measured"
        if axes and variant.selection == "validation" and runs["validation_accuracy"].isna().all():
            return {}, "the scale holds no validation split out"
        best[method] = best_runs(runs, axes, measure=variant.selection_column(method))
    return best, ""


def _with_rates(scenario: Scenario, variant: AnalysisVariant) -> tuple[Scenario, str]:
    """Return the scenario with LS and SAM at learning rates as the variant requires, or why it has no such runs."""
    rates = {method: _rates(scenario, method) for method in BASELINES}
    present = [values for values in rates.values() if values]
    if variant.rates is None or len(present) < len(BASELINES):
        return scenario, "" if variant.rates is None else "LS and SAM are not both here"
    texts = " and ".join(", ".join(f"{rate:g}" for rate in sorted(values)) for values in present)
    if max(map(len, present)) > 1:  # the scale has a grid of learning rates
        return (scenario, "") if variant.rates == "own" else _at_shared_rate(scenario, rates, variant)
    same = present[0] == present[1]
    if variant.rates == "shared" and not same:
        return scenario, f"the scale gives LS and SAM learning rates of their own ({texts})"
    if variant.rates == "own" and same:
        return scenario, f"the scale gives LS and SAM one learning rate ({min(present[0]):g})"
    return scenario, ""


def _rates(scenario: Scenario, method: str) -> set[float]:
    return set(scenario.of_method(method)["lr"].dropna()) if "lr" in scenario.runs.columns else set()


def _at_shared_rate(
    scenario: Scenario, rates: Mapping[str, set[float]], variant: AnalysisVariant
) -> tuple[Scenario, str]:
    """Return the scenario with LS and SAM at the one learning rate, of those that both have, that is best for LS."""
    common = set.intersection(*rates.values())
    if not common:
        return scenario, "LS and SAM have no learning rate in common"
    smoothed = scenario.of_method("ls")
    smoothed = smoothed[smoothed["lr"].isin(common)]
    point = best_point(smoothed, scenario.grid("ls"), variant.selection)
    if point is None:
        return scenario, "no learning rate can be picked"
    rate = at_point(smoothed, point)["lr"].iloc[0]
    kept = ~scenario.runs["method"].isin(BASELINES) | np.isclose(scenario.runs["lr"], rate)
    return scenario.with_runs(scenario.runs[kept]), ""


def _published_difference(scenario: Scenario, method: str) -> float:
    return _published(scenario, "ivon") - _published(scenario, method)


def _published(scenario: Scenario, method: str) -> float:
    """Return a point of the paper's own curve in Fig. 7, in percent; NaN beyond the paper's scale."""
    if "noise_kappa" not in scenario.runs.columns:
        return NAN
    curve = scenario.description["options"].get("published", {}).get(method, ())
    kappa = scenario.runs["noise_kappa"].iloc[0]
    places = [place for place, level in enumerate(LEVELS) if np.isclose(level["noise_kappa"], kappa)]
    if scenario.description["scale"] != "paper" or not places or len(curve) != len(LEVELS):
        return NAN
    return float(curve[places[0]])
