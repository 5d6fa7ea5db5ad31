"""The result of a check, and how its verdict follows: a 95 % interval over seeds against what the claim requires.

A claim holds where the whole interval lies where it must; it fails where the whole interval lies outside; anything else
is inconclusive. Intervals are those of scipy's t test, over the seeds' differences where runs are paired by seed.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from adaptive_smoothing.results.claims.thresholds import CONFIDENCE

REPRODUCED = "reproduced"
INCONCLUSIVE = "inconclusive"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested"
NAN = float("nan")


@dataclass(frozen=True)
class SeedValues:
    """A value a seed (index), NaN where the run diverged; `remarks` say which seeds are not there at all."""

    values: "pd.Series[float]"
    remarks: tuple[str, ...] = ()

    @property
    def finite(self) -> "pd.Series[float]":
        """The values of the seeds that did not diverge."""
        return self.values[self.values.notna()]


@dataclass(frozen=True)
class Estimate:
    """A mean over `seeds` seeds and its interval (NaN where fewer than two seeds are left)."""

    effect: float = NAN
    low: float = NAN
    high: float = NAN
    seeds: int = 0


@dataclass(frozen=True)
class Requirement:
    """Where an effect must lie: in (low, high], or, with `outside`, not between the two; or at a `number` above low."""

    low: float = -math.inf
    high: float = math.inf
    outside: bool = False
    number: float | None = None

    def margin(self, effect: float) -> float:
        """Return how far the effect lies on the claim's side, negative on the other."""
        if self.number is not None:
            return -abs(effect - self.number)
        inside = min(effect - self.low, self.high - effect)
        return -inside if self.outside else inside

    def verdict(self, estimate: Estimate) -> str:
        """Return what the interval says; a number is reproduced if the interval holds it and lies above low."""
        if self.number is not None and not estimate.low <= self.number <= estimate.high:
            return NOT_REPRODUCED
        inside = estimate.low > self.low and estimate.high <= self.high
        beyond = estimate.high < self.low or estimate.low > self.high
        if inside or beyond:
            return REPRODUCED if beyond == self.outside else NOT_REPRODUCED
        return INCONCLUSIVE

    def bounds(self) -> str:
        """Return the finite bounds as text."""
        return " or ".join(f"{bound:g}" for bound in (self.low, self.high) if math.isfinite(bound))


@dataclass(frozen=True)
class CheckResult:
    """One check of one claim in one scenario."""

    scenario: str
    compared: str
    verdict: str
    why: str = ""
    estimate: Estimate = Estimate()
    unit: str = ""
    paper: float = NAN
    margin: float = NAN


def estimate(sample: SeedValues) -> Estimate:
    """Return mean and interval over the seeds that did not diverge."""
    values = sample.finite
    if len(values) < 2:
        return Estimate(effect=float(values.mean()), seeds=len(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal values: the interval is their value, as it should be
        interval = stats.ttest_1samp(values.to_numpy(float), 0.0).confidence_interval(CONFIDENCE)
    return Estimate(float(values.mean()), float(interval.low), float(interval.high), len(values))


def check_sample(
    scenario: str, compared: str, sample: SeedValues, requirement: Requirement, unit: str = "points", paper: float = NAN
) -> CheckResult:
    """Return the result of a sample against what the claim requires; diverged or too few seeds settle nothing."""
    mean = estimate(sample)
    remarks = list(sample.remarks)
    diverged = sample.values.index[sample.values.isna()]
    if len(diverged):
        verdict = INCONCLUSIVE
        remarks.append(f"seed {', '.join(map(str, diverged))} diverged")
    elif mean.seeds < 2:
        verdict = INCONCLUSIVE
        remarks.append("one seed: no interval" if mean.seeds else "no seed is left")
    else:
        verdict = requirement.verdict(mean)
        if verdict == INCONCLUSIVE:
            bounds = requirement.bounds()
            remarks.append("the interval covers zero" if bounds == "0" else f"the interval reaches across {bounds}")
    margin = requirement.margin(mean.effect)
    return CheckResult(scenario, compared, verdict, "; ".join(remarks), mean, unit, paper, margin)


def not_tested(scenario: str, why: str, compared: str = "") -> CheckResult:
    """Return the result of a check that could not be made."""
    return CheckResult(scenario, compared, NOT_TESTED, why)


def deciding_check(results: Sequence[CheckResult]) -> CheckResult:
    """Return the result that decides: of the worst verdict, the one that lies least on the claim's side."""
    order = (NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED, REPRODUCED)
    worst = min((result.verdict for result in results), key=order.index)
    same = [result for result in results if result.verdict == worst]
    return min(same, key=lambda result: math.inf if math.isnan(result.margin) else result.margin)


def overall_verdict(results: Sequence[CheckResult]) -> str:
    """Return the verdict on all results: reproduced only if each is; one that fails is enough to fail."""
    verdicts = {result.verdict for result in results}
    if NOT_REPRODUCED in verdicts:
        return NOT_REPRODUCED
    return verdicts.pop() if len(verdicts) == 1 else INCONCLUSIVE
