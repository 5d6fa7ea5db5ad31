"""Claims about the label noise itself: C2 (logistic regression), C3 (example by example) and C4 (IVON and OLS)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from adaptive_smoothing.results.claims.samples import AnalysisVariant, Table, paired_difference, unpaired_values
from adaptive_smoothing.results.claims.thresholds import C2_FADED, C2_NEAR, C2_ZERO, DISTINCT, RESEMBLES
from adaptive_smoothing.results.claims.verdicts import (
    NAN,
    NOT_REPRODUCED,
    REPRODUCED,
    CheckResult,
    Estimate,
    Requirement,
    SeedValues,
    check_sample,
    not_tested,
)

Labels = dict[int, "pd.Series[float]"]  # seed → values off the diagonal, by label and other class


def c2(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """|ε| zero at mean 0, largest near it, gone far from it, for each variance; exact, so without an interval."""
    frame, _ = tables["fig2"]
    for variance in sorted(frame["variance"].unique()):
        rows = frame[frame["variance"] == variance].reset_index(drop=True)
        magnitude, mean = rows["noise"].abs(), rows["mean"].abs()
        peak, largest, farthest = mean[magnitude.argmax()], magnitude.max(), magnitude[mean == mean.max()].max()
        scenario = f"variance {variance:g}"
        if mean.min() > 0:
            yield not_tested(scenario, "the table has no point at mean 0")
            continue
        checks = {
            f"|ε| is {magnitude[mean == 0].max():.2g} at mean 0": magnitude[mean == 0].max() <= C2_ZERO,
            f"largest at a mean of ±{peak:.3g}": 0 < peak <= C2_NEAR,
            f"at ±{mean.max():g} {farthest / largest:.2g} of the maximum": farthest <= C2_FADED * largest,
        }
        failed = [text for text, holds in checks.items() if not holds]
        verdict = NOT_REPRODUCED if failed else REPRODUCED
        why = f"not so: {'; '.join(failed)}" if failed else ""
        yield CheckResult(
            scenario, "; ".join(checks), verdict, why, Estimate(effect=float(peak)), "mean of f", margin=-peak
        )


def c3(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """How unlike the noise of a run's examples is, and whether unclear ones get more of it.

    Unlike: the 95th over the 5th percentile, in decades; label smoothing's is 0. The paper judges by eye what is
    unclear; here it is the share of an example's nearest images (by pixels) that bear another label, which no network
    has a say in.
    """
    frame, _ = tables["fig3"]
    equations = {"magnitude_linearised": "Eq. 20", "magnitude_exact": "Eq. 16"}
    for column, text in equations.items():
        yield _own_noise(f"every example its own noise, ‖ε‖ of {text}", frame, column)
    for column, text in equations.items():
        yield _more_on_unclear(f"more noise on unclear examples, ‖ε‖ of {text}", frame, column)


def _own_noise(scenario: str, frame: pd.DataFrame, column: str) -> CheckResult:
    finite = frame[np.isfinite(frame[column].astype(float))]
    percentiles = finite.groupby("run")[column].quantile(np.array([0.05, 0.95])).unstack()
    if percentiles.empty or not (percentiles[0.05] > 0).all():
        return not_tested(scenario, "fewer than 95 % of the examples have a finite noise above zero")
    # In decades: ratios of several seeds are skewed, and so would be an interval for their mean.
    ratio = pd.Series(np.log10((percentiles[0.95] / percentiles[0.05]).to_numpy()))
    remarks = _left_out(len(frame) - len(finite))
    compared = f"95th over 5th percentile of {len(finite)} examples; 0 decades (× 1) for label smoothing, by Eq. 1"
    requirement = Requirement(low=np.log10(DISTINCT))
    return check_sample(scenario, compared, SeedValues(ratio, remarks), requirement, unit="decades")


def _left_out(count: int) -> tuple[str, ...]:
    return (f"{count} examples without a finite noise are left out",) if count else ()


def _more_on_unclear(scenario: str, frame: pd.DataFrame, column: str) -> CheckResult:
    columns = [column, "neighbours_disagree"]
    finite = frame[np.isfinite(frame[columns].astype(float)).all(axis=1)]
    varied = finite.groupby("run")[columns].nunique()
    if varied.empty or not (varied > 1).to_numpy().all():
        return not_tested(scenario, "noise or nearest labels do not differ between examples")
    by_run = {run: stats.spearmanr(rows[columns].astype(float)).statistic for run, rows in finite.groupby("run")}
    remarks = _left_out(len(frame) - len(finite))
    compared = f"rank correlation with the share of nearest images of another label, {len(finite)} examples"
    sample = SeedValues(pd.Series(by_run).reset_index(drop=True), remarks)
    return check_sample(scenario, compared, sample, Requirement(low=0.0), unit="rank correlation")


def c4(tables: Mapping[str, Table], variant: AnalysisVariant) -> Iterator[CheckResult]:
    """IVON's class-wise labels and OLS's: rank correlation off the diagonal, and the mass there.

    Aspects: 'control', against the correlation that an ordinary network's softmax has with OLS; 'absolute', IVON's
    labels as the mean |ε| of Eq. 16 instead of E_q[softmax].
    """
    frame, _ = tables["fig4"]
    quantity = "absolute_noise" if variant.aspect == "absolute" else "softmax_mc"
    for dataset, rows in frame.groupby("dataset", sort=False):
        ivon, ols = _labels(rows, "ivon", quantity), _labels(rows, "ols", "soft_label")
        if not ivon or not ols:
            yield not_tested(str(dataset), "runs of IVON and OLS are not both here")
            continue
        seeds = {*ivon, *ols}
        alike = _correlations(ivon, ols)
        if variant.aspect == "control":
            control = _labels(rows[rows["alpha"] == 0], "ls", "softmax")
            if not control:
                yield not_tested(str(dataset), "no plain network (LS with α = 0) is here")
                continue
            sample = paired_difference(alike, _correlations(control, ols), seeds)
            text = f"ρ(IVON, OLS) − ρ(plain softmax, OLS) = {alike.mean():.2f} − {(alike - sample.values).mean():.2f}"
            yield check_sample(str(dataset), text, sample, Requirement(low=0.0), unit="rank correlation")
            continue
        sample = unpaired_values(alike, seeds)
        text = "rank correlation of IVON's and OLS's labels off the diagonal"
        yield check_sample(f"{dataset}, resemblance", text, sample, Requirement(low=RESEMBLES), unit="rank correlation")
        sample = paired_difference(_mass(ivon), _mass(ols), seeds)
        text = "label mass off the diagonal, IVON − OLS"
        yield check_sample(f"{dataset}, the stronger noise", text, sample, Requirement(low=0.0))


def _labels(rows: pd.DataFrame, method: str, quantity: str) -> Labels:
    """Return, by seed, a method's class-wise labels: the values off the diagonal."""
    rows = rows[(rows["method"] == method) & (rows["quantity"] == quantity) & (rows["label"] != rows["other"])]
    keys = ["label", "other"]
    return {seed: rows[rows["seed"] == seed].groupby(keys)["value"].mean() for seed in sorted(rows["seed"].unique())}


def _correlations(first: Labels, second: Labels) -> "pd.Series[float]":
    """Return Spearman's rank correlation of two methods' label vectors, by seed."""
    values = {}
    for seed in first.keys() & second.keys():
        pairs = pd.concat([first[seed], second[seed]], axis=1, join="inner").to_numpy(float)
        values[seed] = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic) if np.isfinite(pairs).all() else NAN
    return pd.Series(values, dtype=float).sort_index()


def _mass(labels: Labels) -> "pd.Series[float]":
    """Return the mean over labels of the mass on other classes, in percent, by seed."""
    sums = {seed: vectors.groupby("label").agg(lambda row: row.sum(skipna=False)) for seed, vectors in labels.items()}
    return pd.Series({seed: 100 * of_label.mean(skipna=False) for seed, of_label in sums.items()}, dtype=float)
