"""Claims about a hyper-parameter's influence: C5b (SAM's ρ), C6 (Σ learned or fixed) and C10 (IVON's h₀).

A range is the difference, by seed, between the values of highest and of lowest mean accuracy. Such a range is above
zero by construction, and the seeds' spread makes it wider: it favours C5b and goes against C10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adaptive_smoothing.results.claims.baselines import THREE_NOISES
from adaptive_smoothing.results.claims.samples import (
    SYMBOLS,
    AnalysisVariant,
    Table,
    along,
    by_seed,
    difference,
    final,
    grid_of,
    lacks_average,
    of_method,
    scenarios,
    unpaired,
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
    judged,
    not_tested,
)

GRID_FIGURES = ("fig5", "fig8", "fig9")  # those over SAM's ρ


@dataclass(frozen=True)
class Range:
    """The difference between the best and the worst value of a hyper-parameter, by seed, and what it is about."""

    sample: SeedValues
    text: str
    lost: tuple[float, ...]  # values at which a seed diverged; they are left out


def c5b(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """SAM's accuracy varies over ρ by more than what the paper calls little, in every noise of Fig. 5, 8 and 9."""
    for figure in GRID_FIGURES:
        if figure not in tables:
            yield not_tested(f"Fig. {figure[3:]}", "the scale has no such table")
            continue
        frame, description = tables[figure]
        for name, runs in scenarios(final(frame)):
            scenario = f"Fig. {figure[3:]}, {name}"
            found = _range_of(runs, "sam", "rho", grid_of(description, "sam", runs), "accuracy")
            if found is None:
                yield not_tested(scenario, "fewer than two values of ρ are left")
            else:
                yield _although_lost(judged(scenario, found.text, found.sample, Requirement(low=SENSITIVE)), found)


def c6(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """A learned Σ above a fixed one in all three noises; in the variant 'sigma', whether the two differ at all."""
    frame, description = tables["fig6"]
    for name, runs in scenarios(final(frame), THREE_NOISES):
        if runs is None or "hessian" not in runs.columns:
            yield not_tested(name, "the scale lacks this noise" if runs is None else "no run says whether Σ is learned")
            continue
        rows = of_method(runs, "ivon")
        values = _along_text(rows, "hessian", grid_of(description, "ivon", rows))
        if not {"learned", "fixed"} <= values.keys():
            yield not_tested(name, "runs with a learned and with a fixed Σ are not both here")
            continue
        learned, fixed = values["learned"], values["fixed"]
        if reading.variant == "sigma":
            text = "s.d. of the posterior, learned Σ against fixed"
            yield _deviations(name, text, learned, fixed)
            continue
        column = reading.column("ivon")
        if lacks_average(rows, reading):
            yield not_tested(name, "no posterior-averaged accuracy was measured")
            continue
        sample = difference(by_seed(learned, column), by_seed(fixed, column), runs["seed"])
        yield judged(name, "IVON, learned Σ − fixed Σ", sample, Requirement(low=0.0))


def c10(tables: Mapping[str, Table], reading: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON's range over h₀ at most 10 points above some h₀, smaller than SAM's over ρ; variants 'whole' and 'sigma'."""
    frame, description = tables["fig10"]
    for name, runs in scenarios(final(frame)):
        rows = of_method(runs, "ivon")
        axes = grid_of(description, "ivon", rows)
        if "hess_init" not in axes:
            yield not_tested(name, "the figure has no grid of h₀")
            continue
        values = along(rows, "hess_init", axes)
        if reading.variant == "sigma":
            low, high = min(values), max(values)
            yield _deviations(name, f"s.d. of the posterior, h₀ = {high:g} against {low:g}", values[high], values[low])
            continue
        if len(values) < C10_FEWEST:
            yield not_tested(name, f"fewer than {C10_FEWEST} values of h₀")
            continue
        column = reading.column("ivon")
        if lacks_average(rows, reading):
            yield not_tested(name, "no posterior-averaged accuracy was measured")
            continue
        finding, tail = _over_h0(name, values, column, reading.variant == "whole", description["scale"] == "paper")
        yield finding
        yield _against_sam(name, runs, tail, tables)


def _over_h0(
    name: str, values: dict[float, pd.DataFrame], column: str, whole: bool, own: bool
) -> tuple[CheckResult, Range | None]:
    """Return the finding on the widest part of the grid, from some h₀ up, within 10 points; else the shortest."""
    paper, scenario = (C10_VARIES if own else NAN), f"{name}, range over h₀"
    starts = [0] if whole else range(len(values) - C10_FEWEST + 1)
    found, tail = not_tested(scenario, "every value of h₀ has a diverged seed"), None
    for start in starts:
        part = dict(list(values.items())[start:])
        tail = _range(part, "hess_init", column)
        if tail is None:
            continue
        found = judged(scenario, f"IVON: {tail.text}", tail.sample, Requirement(high=C10_VARIES), paper=paper)
        found = _unless_lost(found, tail)
        if found.verdict == REPRODUCED:
            break
    return found, tail


def _against_sam(name: str, runs: pd.DataFrame, tail: Range | None, tables: Mapping[str, Table]) -> CheckResult:
    """Return the finding on SAM's range over ρ minus IVON's over h₀, in the same noise of Fig. 5, 8 or 9."""
    scenario = f"{name}, SAM's range over ρ − IVON's over h₀"
    keys = ["dataset", "model", "noise"]
    for figure in GRID_FIGURES:
        if figure not in tables or tail is None:
            continue
        frame, description = tables[figure]
        same = final(frame)
        same = same[(same[keys] == runs[keys].iloc[0]).all(axis=1)]
        found = _range_of(same, "sam", "rho", grid_of(description, "sam", same), "accuracy")
        if found is not None:
            sample = difference(found.sample.values, tail.sample.values, {*same["seed"], *runs["seed"]})
            finding = judged(scenario, f"SAM: {found.text}; IVON: {tail.text}", sample, Requirement(low=0.0))
            return _although_lost(_unless_lost(finding, tail), found)
    return not_tested(scenario, "no runs of SAM over ρ on this dataset and noise")


def _range_of(runs: pd.DataFrame, method: str, axis: str, axes: list[str], column: str) -> Range | None:
    rows = of_method(runs, method)
    return _range(along(rows, axis, axes), axis, column) if axis in axes else None


def _range(values: Mapping[float, pd.DataFrame], axis: str, column: str) -> Range | None:
    """Return the range over values at which no seed diverged; None if fewer than two are left."""
    samples = {value: by_seed(rows, column) for value, rows in values.items()}
    whole = {value: sample for value, sample in samples.items() if sample.notna().all()}
    if len(whole) < 2:
        return None
    means = {value: sample.mean() for value, sample in whole.items()}
    best, worst = max(means, key=lambda value: means[value]), min(means, key=lambda value: means[value])
    seeds = {seed for sample in samples.values() for seed in sample.index}
    symbol = SYMBOLS.get(axis, axis)
    text = f"{symbol} = {best:g} − {symbol} = {worst:g}, of {symbol} from {min(whole):g} to {max(whole):g}"
    lost = tuple(value for value in samples if value not in whole)
    return Range(difference(whole[best], whole[worst], seeds), text, lost)


def _although_lost(finding: CheckResult, found: Range) -> CheckResult:
    """Return a finding that a range is wide: values that diverged can only widen it, so only a failure is in doubt."""
    if not found.lost:
        return finding
    remark = f"left out, a seed diverged: {', '.join(f'{value:g}' for value in found.lost)}"
    return _with(finding, INCONCLUSIVE if finding.verdict == NOT_REPRODUCED else finding.verdict, remark)


def _unless_lost(finding: CheckResult, found: Range) -> CheckResult:
    """Return a finding that a range is narrow: what diverges varies by more than can be said, so it proves nothing."""
    if not found.lost:
        return finding
    remark = f"a seed diverged at h₀ = {', '.join(f'{value:g}' for value in found.lost)}"
    return _with(finding, INCONCLUSIVE if finding.verdict == REPRODUCED else finding.verdict, remark)


def _with(finding: CheckResult, verdict: str, remark: str) -> CheckResult:
    why = "; ".join(filter(None, [finding.why, remark]))
    return replace(finding, verdict=verdict, why=why)


def _along_text(runs: pd.DataFrame, axis: str, axes: list[str]) -> dict[str, pd.DataFrame]:
    """Return `along` for a hyper-parameter whose values are words."""
    return {str(value): rows for value, rows in along(runs, axis, axes).items()}


def _deviations(name: str, text: str, first: pd.DataFrame, second: pd.DataFrame) -> CheckResult:
    """Return the finding on whether two posteriors' standard deviations differ, in percent of the second."""
    ours, theirs = by_seed(first, "posterior_std"), by_seed(second, "posterior_std")
    percent = 100 * (ours / theirs - 1)
    percent = percent.where(np.isfinite(percent))[ours.index.intersection(theirs.index)]
    demand = Requirement(low=-SAME_SIGMA, high=SAME_SIGMA, outside=True)
    return judged(name, text, unpaired(percent, {*first["seed"], *second["seed"]}), demand, unit="%")
