"""What a check finds, and how a verdict comes about: a 95 % interval over seeds against what the claim demands.

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

    def slack(self, effect: float) -> float:
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
    slack: float = NAN


def estimate(sample: SeedValues) -> Estimate:
    """Return mean and interval over the seeds that did not diverge."""
    values = sample.finite
    if len(values) < 2:
        return Estimate(effect=float(values.mean()), seeds=len(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal values: the interval is their value, as it should be
        interval = stats.ttest_1samp(values.to_numpy(float), 0.0).confidence_interval(CONFIDENCE)
    return Estimate(float(values.mean()), float(interval.low), float(interval.high), len(values))


def judged(
    scenario: str, compared: str, sample: SeedValues, demand: Requirement, unit: str = "points", paper: float = NAN
) -> CheckResult:
    """Return the finding of a sample against what the claim demands; diverged or too few seeds settle nothing."""
    found = estimate(sample)
    remarks = list(sample.remarks)
    lost = sample.values.index[sample.values.isna()]
    if len(lost):
        verdict = INCONCLUSIVE
        remarks.append(f"seed {', '.join(map(str, lost))} diverged")
    elif found.seeds < 2:
        verdict = INCONCLUSIVE
        remarks.append("one seed: no interval" if found.seeds else "no seed is left")
    else:
        verdict = demand.verdict(found)
        if verdict == INCONCLUSIVE:
            zero = demand.bounds() == "0"
            remarks.append("the interval covers zero" if zero else f"the interval reaches across {demand.bounds()}")
    slack = demand.slack(found.effect)
    return CheckResult(scenario, compared, verdict, "; ".join(remarks), found, unit, paper, slack)


def not_tested(scenario: str, why: str, compared: str = "") -> CheckResult:
    """Return the finding of a check that could not be made."""
    return CheckResult(scenario, compared, NOT_TESTED, why)


def deciding_check(findings: Sequence[CheckResult]) -> CheckResult:
    """Return the finding that decides: of the worst verdict, the one that lies least on the claim's side."""
    order = (NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED, REPRODUCED)
    worst = min((finding.verdict for finding in findings), key=order.index)
    same = [finding for finding in findings if finding.verdict == worst]
    return min(same, key=lambda finding: math.inf if math.isnan(finding.slack) else finding.slack)


def overall_verdict(findings: Sequence[CheckResult]) -> str:
    """Return the verdict on all findings: reproduced only if each is; one that fails is enough to fail."""
    verdicts = {finding.verdict for finding in findings}
    if NOT_REPRODUCED in verdicts:
        return NOT_REPRODUCED
    return verdicts.pop() if len(verdicts) == 1 else INCONCLUSIVE
