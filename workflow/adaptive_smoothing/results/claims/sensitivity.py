"""Claims about a hyper-parameter's influence: C5b (SAM's ρ), C6 (Σ learned or fixed) and C10 (IVON's h₀).

A range is the difference, by seed, between the values of highest and of lowest mean accuracy. Such a range is above
zero by construction, and the seeds' spread makes it wider: it favours C5b and counts against C10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adaptive_smoothing.results.claims.baselines import ABOVE, THREE_NOISES
from adaptive_smoothing.results.claims.samples import (
    AnalysisVariant,
    Scenario,
    Table,
    by_seed,
    lacks_average,
    paired_difference,
    scenarios,
    unpaired_values,
)
from adaptive_smoothing.results.claims.thresholds import C10_FEWEST, C10_VARIES, SAME_SIGMA, SENSITIVE
from adaptive_smoothing.results.claims.verdicts import (
    INCONCLUSIVE,
    NAN,
    NOT_REPRODUCED,
    REPRODUCED,
    CheckResult,
    Requirement,
    SeedValues,
    check_sample,
    not_tested,
)
from adaptive_smoothing.results.names import parameter_name
from adaptive_smoothing.results.summary import runs_along

GRID_FIGURES = ("fig5", "fig8", "fig9")  # those over SAM's ρ
NO_AVERAGE = "no posterior-averaged accuracy was measured"


@dataclass(frozen=True)
class Range:
    """The difference between the best and the worst value of a hyper-parameter, by seed, and what it is about."""

    sample: SeedValues
    text: str
    diverged: tuple[float, ...]  # values at which a seed diverged; they are left out


def c5b(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """SAM's accuracy varies over ρ by more than what the paper calls little, in every noise of Fig. 5, 8 and 9."""
    for figure in GRID_FIGURES:
        if figure not in tables:
            yield not_tested(f"Fig. {figure[3:]}", "the scale has no such table")
            continue
        for scenario in scenarios(tables[figure]):
            name = f"Fig. {figure[3:]}, {scenario.name}"
            over_rho = _range_over_rho(scenario)
            if over_rho is None:
                yield not_tested(name, "fewer than two values of ρ are left")
            else:
                result = check_sample(name, over_rho.text, over_rho.sample, Requirement(low=SENSITIVE))
                yield _wide_despite_diverged(result, over_rho)


def c6(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """A learned Σ above a fixed one in all three noises; for the aspect 'sigma', whether the two differ at all."""
    for scenario in scenarios(tables["fig6"], THREE_NOISES):
        yield _learned_against_fixed(scenario, variant)


def _learned_against_fixed(scenario: Scenario, variant: AnalysisVariant) -> CheckResult:
    if scenario.runs.empty:
        return not_tested(scenario.name, "the scale lacks this noise")
    if "hessian" not in scenario.runs.columns:
        return not_tested(scenario.name, "no run says whether Σ is learned")
    runs = scenario.of_method("ivon")
    values = runs_along(runs, "hessian", scenario.grid("ivon"))
    if not {"learned", "fixed"} <= values.keys():
        return not_tested(scenario.name, "runs with a learned and with a fixed Σ are not both here")
    learned, fixed = values["learned"], values["fixed"]
    if variant.aspect == "sigma":
        return _deviations(scenario.name, "s.d. of the posterior, learned Σ against fixed", learned, fixed)
    if lacks_average(runs, variant):
        return not_tested(scenario.name, NO_AVERAGE)
    column = variant.column("ivon")
    sample = paired_difference(by_seed(learned, column), by_seed(fixed, column), scenario.seeds)
    return check_sample(scenario.name, "IVON, learned Σ − fixed Σ", sample, ABOVE)


def c10(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON's range over h₀ at most 10 points above some h₀, smaller than SAM's over ρ; aspects 'whole' and 'sigma'."""
    for scenario in scenarios(tables["fig10"]):
        runs, axes = scenario.of_method("ivon"), scenario.grid("ivon")
        if "hess_init" not in axes:
            yield not_tested(scenario.name, "the figure has no grid of h₀")
            continue
        values = runs_along(runs, "hess_init", axes)
        if variant.aspect == "sigma":
            low, high = min(values), max(values)
            compared = f"s.d. of the posterior, h₀ = {high:g} against {low:g}"
            yield _deviations(scenario.name, compared, values[high], values[low])
        elif len(values) < C10_FEWEST:
            yield not_tested(scenario.name, f"fewer than {C10_FEWEST} values of h₀")
        elif lacks_average(runs, variant):
            yield not_tested(scenario.name, NO_AVERAGE)
        else:
            result, tail = _over_h0(scenario, values, variant)
            yield result
            yield _against_sam(scenario, tail, tables)


def _over_h0(
    scenario: Scenario, values: dict[float, pd.DataFrame], variant: AnalysisVariant
) -> tuple[CheckResult, Range | None]:
    """Return the result on the widest part of the grid, from some h₀ up, within 10 points; else on the shortest."""
    name = f"{scenario.name}, range over h₀"
    paper = C10_VARIES if scenario.description["scale"] == "paper" else NAN
    starts = [0] if variant.aspect == "whole" else range(len(values) - C10_FEWEST + 1)
    result, tail = not_tested(name, "every value of h₀ has a diverged seed"), None
    for start in starts:
        part = dict(list(values.items())[start:])
        tail = _range(part, "hess_init", variant.column("ivon"))
        if tail is None:
            continue
        compared = f"IVON: {tail.text}"
        result = check_sample(name, compared, tail.sample, Requirement(high=C10_VARIES), paper=paper)
        result = _narrow_unless_diverged(result, tail)
        if result.verdict == REPRODUCED:
            break
    return result, tail


def _against_sam(scenario: Scenario, tail: Range | None, tables: Mapping[str, Table]) -> CheckResult:
    """Return the result on SAM's range over ρ minus IVON's over h₀, in the same noise of Fig. 5, 8 or 9."""
    name = f"{scenario.name}, SAM's range over ρ − IVON's over h₀"
    keys = ["dataset", "model", "noise"]
    for figure in GRID_FIGURES:
        if figure not in tables or tail is None:
            continue
        for other in scenarios(tables[figure]):
            if not (other.runs[keys].iloc[0] == scenario.runs[keys].iloc[0]).all():
                continue
            over_rho = _range_over_rho(other)
            if over_rho is not None:
                seeds = other.seeds | scenario.seeds
                sample = paired_difference(over_rho.sample.values, tail.sample.values, seeds)
                result = check_sample(name, f"SAM: {over_rho.text}; IVON: {tail.text}", sample, ABOVE)
                return _wide_despite_diverged(_narrow_unless_diverged(result, tail), over_rho)
    return not_tested(name, "no runs of SAM over ρ on this dataset and noise")


def _range_over_rho(scenario: Scenario) -> Range | None:
    axes = scenario.grid("sam")
    if "rho" not in axes:
        return None
    return _range(runs_along(scenario.of_method("sam"), "rho", axes), "rho", "accuracy")


def _range(values: Mapping[float, pd.DataFrame], axis: str, column: str) -> Range | None:
    """Return the range over values at which no seed diverged; None if fewer than two are left."""
    samples = {value: by_seed(runs, column) for value, runs in values.items()}
    whole = {value: sample for value, sample in samples.items() if sample.notna().all()}
    if len(whole) < 2:
        return None
    means = {value: sample.mean() for value, sample in whole.items()}
    best, worst = max(means, key=lambda value: means[value]), min(means, key=lambda value: means[value])
    seeds = {seed for sample in samples.values() for seed in sample.index}
    symbol = parameter_name(axis)
    text = f"{symbol} = {best:g} − {symbol} = {worst:g}, of {symbol} from {min(whole):g} to {max(whole):g}"
    diverged = tuple(value for value in samples if value not in whole)
    return Range(paired_difference(whole[best], whole[worst], seeds), text, diverged)


def _wide_despite_diverged(result: CheckResult, over: Range) -> CheckResult:
    """Return the result that a range is wide: values that diverged can only widen it, so only a failure is in doubt."""
    if not over.diverged:
        return result
    remark = f"left out, a seed diverged: {', '.join(f'{value:g}' for value in over.diverged)}"
    return _with_remark(result, INCONCLUSIVE if result.verdict == NOT_REPRODUCED else result.verdict, remark)


def _narrow_unless_diverged(result: CheckResult, over: Range) -> CheckResult:
    """Return the result that a range is narrow: a value that diverged may lie far below, so it proves nothing."""
    if not over.diverged:
        return result
    remark = f"a seed diverged at h₀ = {', '.join(f'{value:g}' for value in over.diverged)}"
    return _with_remark(result, INCONCLUSIVE if result.verdict == REPRODUCED else result.verdict, remark)


def _with_remark(result: CheckResult, verdict: str, remark: str) -> CheckResult:
    why = "; ".join(filter(None, [result.why, remark]))
    return replace(result, verdict=verdict, why=why)


def _deviations(name: str, compared: str, first: pd.DataFrame, second: pd.DataFrame) -> CheckResult:
    """Return the result on whether two posteriors' standard deviations differ, in percent of the second."""
    ours, theirs = by_seed(first, "posterior_std"), by_seed(second, "posterior_std")
    percent = 100 * (ours / theirs - 1)
    percent = percent.where(np.isfinite(percent))[ours.index.intersection(theirs.index)]
    requirement = Requirement(low=-SAME_SIGMA, high=SAME_SIGMA, outside=True)
    sample = unpaired_values(percent, {*first["seed"], *second["seed"]})
    return check_sample(name, compared, sample, requirement, unit="%")
