"""Verdicts on the paper's claims, from small tables in the figures' true formats whose effects are known."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import code_digest, stages
from adaptive_smoothing.results.claims import judge, thresholds
from adaptive_smoothing.results.tables import examples, quadrature
from adaptive_smoothing.results.tables import soft_labels as soft_label_table
from adaptive_smoothing.theory import logistic
from adaptive_smoothing.training import metrics

NOISES = {
    "symmetric20": {"kind": "symmetric", "rate": 0.2},
    "symmetric40": {"kind": "symmetric", "rate": 0.4},
    "pair20": {"kind": "pair", "rate": 0.2},
    **{f"kappa{k}": {"kind": "class_dependent", "kappa": k, "beta": 0.05} for k in (0.1, 0.2, 0.3, 0.4, 0.5)},
    "weak": {"kind": "natural"},
}
THREE = ("symmetric20", "symmetric40", "pair20")
LEVELS = ("kappa0.1", "kappa0.2", "kappa0.3", "kappa0.4", "kappa0.5")
NAN = float("nan")
Accuracies = list[float]  # percent, one a seed


def runs(method: str, noise: str, accuracies: Accuracies, **given: Any) -> list[pa.Table]:
    """Return a metrics table a seed; `given`: hyper-parameters, and columns of an epoch as one value or one a seed."""
    columns = {name: given.pop(name) for name in list(given) if name in metrics.EPOCH_COLUMNS}
    given = {"lr": 0.1, **given}
    tables = []
    for seed, accuracy in enumerate(accuracies):
        epoch = {name: value[seed] if isinstance(value, list) else value for name, value in columns.items()}
        last = {"epoch": 2, "diverged": bool(np.isnan(accuracy)), "test_accuracy": accuracy / 100, "test_nll": 1.0}
        name = f"digits/{noise}/{method}-{json.dumps(given)}/seed{seed}"
        run = {"run": name, "scale": "tiny", "dataset": "digits", "model": "cnn", "noise": noise, "method": method}
        run |= {"data_seed": 0, "noise_seed": 0, "seed": seed}
        run |= {f"noise_{key}": value for key, value in NOISES[noise].items()}
        first = {"epoch": 1, "diverged": False, "test_accuracy": 0.01, "test_nll": 1.0}
        tables.append(metrics.metrics_table(run, given, [first, {**last, **epoch}]))
    return tables


def write(folder: Path, figure: str, tables: list[pa.Table], **description: Any) -> None:
    """Write a figure's table as `collect` does."""
    grids = {"ls": ["alpha"], "sam": ["rho"]}
    said = {"figure": figure, "scale": "tiny", "options": {}, "grids": grids, "classes": {"digits": 10}}
    parquet.write(folder / f"{figure}.parquet", parquet.concatenated(tables), {**said, **description})
    (folder / "claims.parquet").unlink(missing_ok=True)


def judged(folder: Path) -> pd.DataFrame:
    """Return the rows of claims.parquet for all tables in `folder`, judged once for the same tables."""
    tables, output = sorted(map(str, folder.glob("fig*.parquet"))), folder / "claims.parquet"
    if not output.exists():
        judge.judge("tiny", "a label", tables, str(folder / "claims.md"), str(output), {"claims": "x"})
    return parquet.read_frame(output)[0]


def row(folder: Path, claim: str, scenario: str = "all", reading: str = "as the paper") -> Any:
    """Return the one row of a claim, scenario and reading."""
    rows = judged(folder)
    chosen = rows[(rows["claim"] == claim) & (rows["scenario"] == scenario) & (rows["reading"] == reading)]
    assert len(chosen) == 1, rows[rows["claim"] == claim][["scenario", "reading", "verdict"]].to_string()
    return chosen.iloc[0]


def three_noises(ivon: dict[str, Accuracies], **columns: Any) -> list[pa.Table]:
    """Return runs of Fig. 5: LS about 80 (α = 0.3) and 70, SAM about 85 (ρ = 0.2) and 60."""
    tables = []
    for noise in THREE:
        tables += runs("ivon", noise, ivon[noise], **columns)
        tables += runs("ls", noise, [70, 71, 72], alpha=0.0, validation_accuracy=0.7)
        tables += runs("ls", noise, [80, 81, 82], alpha=0.3, validation_accuracy=0.6)
        tables += runs("sam", noise, [60, 61, 62], rho=0.05, validation_accuracy=0.7)
        tables += runs("sam", noise, [85, 86, 87], rho=0.2, validation_accuracy=0.8)
    return tables


WINS = [95.0, 96.5, 97.2]


def test_a_claim_that_holds_everywhere_is_reproduced_with_scipys_interval(tmp_path):
    write(tmp_path, "fig5", three_noises(dict.fromkeys(THREE, WINS)))
    assert row(tmp_path, "C5a")["verdict"] == "reproduced"
    found = row(tmp_path, "C5a", "pair20, against SAM")
    paired = stats.ttest_rel(WINS, [85.0, 86.0, 87.0])
    interval = paired.confidence_interval(0.95)
    assert found["effect"] == pytest.approx(np.mean(WINS) - 86)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert (found["seeds"], found["verdict"], found["unit"]) == (3, "reproduced", "points")
    assert found["compared"] == "IVON (lr 0.1) − SAM (ρ = 0.2, lr 0.1)"
    assert found["low"] > 0 and np.isnan(found["paper"])


def test_the_last_epoch_is_what_counts(tmp_path):
    write(tmp_path, "fig5", list(reversed(three_noises(dict.fromkeys(THREE, WINS)))))
    assert row(tmp_path, "C5a", "pair20, against LS")["effect"] == pytest.approx(np.mean(WINS) - 81)


@pytest.mark.parametrize(
    ("pair", "verdict", "why"),
    [
        ([83, 84, 85.5], "not reproduced", "fails: pair20, against SAM (−1.8 ["),
        ([85, 86, 89], "inconclusive", "not settled: pair20, against SAM (the interval covers zero)"),
    ],
)
def test_one_scenario_is_enough_and_nothing_is_rounded_up(tmp_path, pair, verdict, why):
    write(tmp_path, "fig5", three_noises({"symmetric20": WINS, "symmetric40": WINS, "pair20": pair}))
    found = row(tmp_path, "C5a")
    assert found["verdict"] == verdict == row(tmp_path, "C5a", "pair20, against SAM")["verdict"]
    assert found["why"].startswith(why)
    assert found["compared"].startswith("pair20, against SAM: IVON")
    assert row(tmp_path, "C5a", "pair20, against LS")["verdict"] == "reproduced"


def test_a_noise_that_the_scale_lacks_keeps_the_claim_open(tmp_path):
    tables = [table for table in three_noises(dict.fromkeys(THREE, WINS)) if table["noise"][0].as_py() != "pair20"]
    write(tmp_path, "fig5", tables)
    found = row(tmp_path, "C5a")
    assert found["verdict"] == "inconclusive"
    assert found["why"] == "not tested: pair flip 20 % (the scale lacks this noise)"


def test_a_fig_7_of_noises_without_kappa_is_judged_on_them(tmp_path):
    write(tmp_path, "fig7", three_noises(dict.fromkeys(THREE, WINS)))
    assert row(tmp_path, "C7a", "pair20, against SAM")["verdict"] == "reproduced"
    assert row(tmp_path, "C7b")["verdict"] == "not tested"


@pytest.mark.parametrize(("figure", "claim"), [("fig2", "C2"), ("fig3", "C3"), ("fig4", "C4"), ("fig5", "C5a")])
def test_a_figure_of_another_kind_than_the_papers_leaves_its_claim_untested(tmp_path, figure, claim):
    table = "quadrature" if figure == "fig5" else "metrics"
    write(tmp_path, figure, runs("ivon", "pair20", WINS), table=table)
    assert row(tmp_path, claim)["verdict"] == "not tested"


@pytest.mark.parametrize("method", ["ivon", "sam"])
def test_a_diverged_run_settles_nothing_and_is_named(tmp_path, method):
    tables = three_noises(dict.fromkeys(THREE, WINS))
    if method == "ivon":
        tables = [table for table in tables if not table["run"][0].as_py().startswith("digits/pair20/ivon")]
        tables += runs("ivon", "pair20", [95, NAN, 97.2])
    else:
        tables += runs("sam", "pair20", [88, NAN, 90], rho=0.5)  # the best of the grid, by the seeds that are left
    write(tmp_path, "fig5", tables)
    found = row(tmp_path, "C5a", "pair20, against SAM")
    assert (found["verdict"], found["seeds"], found["why"]) == ("inconclusive", 2, "seed 1 diverged")
    assert row(tmp_path, "C5a")["verdict"] == "inconclusive"


def test_runs_that_all_diverged_or_have_no_finite_loss_count_as_diverged(tmp_path):
    tables = [table for table in three_noises(dict.fromkeys(THREE, WINS)) if table["method"][0].as_py() != "ivon"]
    tables += runs("ivon", "pair20", WINS, test_nll=[NAN, float("inf"), 1.0], diverged=[False, False, True])
    write(tmp_path, "fig5", tables)
    found = row(tmp_path, "C5a", "pair20, against LS")
    assert (found["verdict"], found["seeds"]) == ("inconclusive", 0)
    assert found["why"] == "seed 0, 1, 2 diverged" and np.isnan(found["effect"])
    assert "the figure has no runs of IVON here" in row(tmp_path, "C5a", "symmetric20, against LS")["why"]


def test_one_seed_gives_an_effect_without_an_interval(tmp_path):
    tables = [table for table in three_noises(dict.fromkeys(THREE, WINS)) if table["seed"][0].as_py() == 0]
    write(tmp_path, "fig5", tables)
    found = row(tmp_path, "C5a", "pair20, against LS")
    assert (found["effect"], found["seeds"], found["verdict"]) == (pytest.approx(15), 1, "inconclusive")
    assert np.isnan(found["low"]) and found["why"] == "one seed: no interval"
    assert "+15.0 | 1 |" in (tmp_path / "claims.md").read_text()


def test_a_missing_seed_is_named_and_the_others_are_paired(tmp_path):
    tables = three_noises(dict.fromkeys(THREE, WINS))
    gone = "digits/pair20/ivon"
    tables = [t for t in tables if not (t["run"][0].as_py().startswith(gone) and t["seed"][0].as_py() == 0)]
    write(tmp_path, "fig5", tables)
    found = row(tmp_path, "C5a", "pair20, against SAM")
    assert (found["seeds"], found["why"]) == (2, "seed 0 missing") or found["why"].startswith("seed 0 missing;")
    assert found["effect"] == pytest.approx(np.mean(WINS[1:]) - 86.5)


def test_hyper_parameters_picked_on_validation(tmp_path):
    write(tmp_path, "fig5", three_noises({noise: [75.0, 76.5, 77.2] for noise in THREE}))
    reading = "picked on validation"
    assert row(tmp_path, "C5a", "pair20, against LS")["effect"] < 0
    found = row(tmp_path, "C5a", "pair20, against LS", reading)
    assert found["compared"] == "IVON (lr 0.1) − LS (α = 0, lr 0.1)"
    assert found["effect"] == pytest.approx(np.mean([75.0, 76.5, 77.2]) - 71)
    assert row(tmp_path, "C5a", "all", reading)["verdict"] == "not reproduced"  # against SAM at ρ = 0.2, both ways


def test_without_a_validation_split_that_reading_is_not_tested(tmp_path):
    tables = runs("ivon", "weak", WINS) + runs("ls", "weak", [80, 81, 82], alpha=0.3)
    write(tmp_path, "fig9", [*tables, *runs("sam", "weak", [80, 81, 82], rho=0.1)])
    found = row(tmp_path, "C9", reading="picked on validation")
    assert found["verdict"] == "not tested" and "holds no validation split out" in found["why"]


def test_ivon_averaged_over_its_posterior(tmp_path):
    ivon = dict.fromkeys(THREE, WINS)
    write(tmp_path, "fig5", three_noises(ivon, test_accuracy_mc=[0.5, 0.51, 0.53], test_nll_mc=1.0))
    found = row(tmp_path, "C5a", "pair20, against LS", "IVON posterior-averaged")
    assert (found["effect"], found["verdict"]) == (pytest.approx(100 * 1.54 / 3 - 81), "not reproduced")
    write(tmp_path, "fig5", three_noises(ivon, test_accuracy_mc=0.1, test_nll_mc=[1.0, NAN, 1.0]))
    found = row(tmp_path, "C5a", "pair20, against LS", "IVON posterior-averaged")
    assert (found["verdict"], found["why"]) == ("inconclusive", "seed 1 diverged")
    write(tmp_path, "fig5", three_noises(ivon))
    found = row(tmp_path, "C5a", "all", "IVON posterior-averaged")
    assert found["verdict"] == "not tested" and "no posterior-averaged accuracy" in found["why"]


SHARED, OWN = "learning rate shared by LS and SAM", "learning rate of its own for LS and SAM"


@pytest.mark.parametrize(("rate", "tested", "other"), [(0.1, SHARED, OWN), (0.05, OWN, SHARED)])
def test_learning_rates_are_judged_as_the_scale_has_them(tmp_path, rate, tested, other):
    tables = runs("ivon", "weak", WINS) + runs("ls", "weak", [80, 81, 82], alpha=0.3)
    write(tmp_path, "fig9", [*tables, *runs("sam", "weak", [95, 96.4, 97.3], rho=0.1, lr=rate)])
    assert row(tmp_path, "C9")["verdict"] == row(tmp_path, "C9", reading=tested)["verdict"] == "reproduced"
    found = row(tmp_path, "C9", reading=other)
    assert found["verdict"] == "not tested" and "0.1" in found["why"]


def test_a_grid_of_learning_rates_is_read_both_ways(tmp_path):
    tables = runs("ivon", "weak", WINS)
    tables += runs("ls", "weak", [80, 81, 82], alpha=0.3, lr=0.1) + runs("ls", "weak", [70, 71, 72], alpha=0.3, lr=0.01)
    tables += runs("sam", "weak", [75, 76, 77], rho=0.2, lr=0.1) + runs("sam", "weak", [90, 91, 92], rho=0.2, lr=0.01)
    write(tmp_path, "fig9", tables, grids={"ls": ["lr", "alpha"], "sam": ["lr", "rho"]})
    assert row(tmp_path, "C9", "weak, against SAM", OWN)["effect"] == pytest.approx(np.mean(WINS) - 91)
    shared = row(tmp_path, "C9", "weak, against SAM", SHARED)
    assert shared["effect"] == pytest.approx(np.mean(WINS) - 76)
    assert shared["compared"].endswith("SAM (ρ = 0.2, lr 0.1)")


@pytest.mark.parametrize(
    ("sam", "verdict"),
    [([95.1, 96.4, 97.3], "reproduced"), ([85, 86, 87], "not reproduced"), ([93, 97, 99], "inconclusive")],
)
def test_comparable_means_within_a_margin_either_way(tmp_path, sam, verdict):
    tables = runs("ivon", "weak", WINS) + runs("ls", "weak", [80, 81, 82], alpha=0.3)
    write(tmp_path, "fig9", [*tables, *runs("sam", "weak", sam, rho=0.1)])
    assert row(tmp_path, "C9", "weak, against SAM")["verdict"] == row(tmp_path, "C9")["verdict"] == verdict


def levels(scale: str, heaviest: tuple[Accuracies, Accuracies]) -> tuple[list[pa.Table], dict[str, Any]]:
    """Return the runs of Fig. 7 and what their table says; `heaviest`: IVON's and the baselines' at κ = 0.5."""
    tables = []
    for noise in LEVELS:
        ivon, others = heaviest if noise == "kappa0.5" else (WINS, [80.0, 81.0, 82.0])
        tables += runs("ivon", noise, ivon) + runs("ls", noise, others, alpha=0.3) + runs("sam", noise, others, rho=0.1)
    published = {
        "ls": [84, 79.5, 68.5, 18.5, 10],
        "sam": [88, 84, 40.5, 17, 11.5],
        "ivon": [88, 85.5, 82.5, 69.5, 30.5],
    }
    return tables, {"scale": scale, "options": {"published": published}}


@pytest.mark.parametrize(
    ("ivon", "others", "verdict"),
    [
        ([40, 41, 42], [10, 11, 12], "reproduced"),
        ([40, 41, 42], [30, 31, 32], "not reproduced"),
        ([10, 11, 12], [10, 11, 12.5], "not reproduced"),
        ([10, 20, 40], [10, 11, 12], "inconclusive"),
    ],
)
def test_chance_at_the_heaviest_noise(tmp_path, ivon, others, verdict):
    tables, description = levels("tiny", (ivon, others))
    write(tmp_path, "fig7", tables, **description)
    whole = row(tmp_path, "C7b")
    assert whole["verdict"] == verdict
    assert row(tmp_path, "C7b", whole["decides"])["effect"] == whole["effect"]  # the row says whose effect it shows
    found = row(tmp_path, "C7b", "kappa0.5, LS above chance")
    assert found["effect"] == pytest.approx(np.mean(others) - 10) and np.isnan(found["paper"])


def test_the_papers_curves_stand_beside_its_own_scale_alone(tmp_path):
    tables, description = levels("paper", ([40.0, 41.0, 42.0], [10.0, 11.0, 12.0]))
    write(tmp_path, "fig7", tables, **description)
    assert row(tmp_path, "C7a", "kappa0.3, against SAM")["paper"] == pytest.approx(82.5 - 40.5)
    assert row(tmp_path, "C7b", "kappa0.5, IVON above chance")["paper"] == pytest.approx(20.5)
    write(tmp_path, "fig7", tables, **{**description, "scale": "rehearsal"})
    assert judged(tmp_path)["paper"].isna().all()


@pytest.mark.parametrize(
    ("ls", "sam", "verdict"),
    [
        ([80.9, 82, 83], [76.7, 78, 78.5], "reproduced"),
        ([70, 71, 72], [76.7, 78, 78.5], "not reproduced"),  # further apart than the paper's: not its number either
        ([75, 90, 81], [76.7, 78, 78.5], "inconclusive"),
    ],
)
def test_the_papers_numbers_of_fig_8(tmp_path, ls, sam, verdict):
    ivon = [90.0, 91.0, 92.0]
    tables = runs("ivon", "pair20", ivon) + runs("ls", "pair20", ls, alpha=0.1) + runs("sam", "pair20", sam, rho=0.1)
    reading = "by the paper's numbers"
    write(tmp_path, "fig8", tables, scale="paper")
    assert row(tmp_path, "C8", reading=reading)["verdict"] == verdict
    assert row(tmp_path, "C8", "pair20, against SAM", reading)["paper"] == 13.3
    write(tmp_path, "fig8", tables)
    assert row(tmp_path, "C8", reading=reading)["verdict"] == "not tested"


def over_rho(noise: str, *points: tuple[float, Accuracies]) -> list[pa.Table]:
    return [table for rho, accuracies in points for table in runs("sam", noise, accuracies, rho=rho)]


def over_h0(noise: str, *points: tuple[float, Accuracies], **columns: Any) -> list[pa.Table]:
    return [table for h0, accuracies in points for table in runs("ivon", noise, accuracies, hess_init=h0, **columns)]


@pytest.mark.parametrize(
    ("low", "lost", "verdict"),
    [
        ([60, 61, 62.5], [60, 61, 62], "reproduced"),
        ([80, 81, 82.5], [80, 81, 82], "not reproduced"),
        ([80, 81, 82.5], [80, NAN, 82], "inconclusive"),  # what diverged may have been far below
        ([60, 61, 62.5], [60, NAN, 62], "reproduced"),  # it can only widen the range
        ([70, 80, 82], [80, 81, 82], "inconclusive"),
    ],
)
def test_sensitivity_to_rho(tmp_path, low, lost, verdict):
    for figure in ("fig5", "fig8", "fig9"):
        write(tmp_path, figure, over_rho("weak", (0.05, low), (0.1, [85, 86, 87]), (0.2, lost)))
    assert row(tmp_path, "C5b")["verdict"] == verdict
    found = row(tmp_path, "C5b", "Fig. 8, weak")
    assert found["verdict"] == verdict
    assert ("left out, a seed diverged: 0.2" in found["why"]) == bool(np.isnan(lost).any())
    (tmp_path / "fig9.parquet").unlink()
    (tmp_path / "claims.parquet").unlink()
    assert row(tmp_path, "C5b")["verdict"] == ("not reproduced" if verdict == "not reproduced" else "inconclusive")


@pytest.mark.parametrize(
    ("case", "worse", "better", "best", "seeds"),
    [
        ("plain", [70, 71, 72], [80, 81, 82], "α = 0.3", 3),
        ("a tie: the first point", [80, 81, 82], [82, 81, 80], "α = 0", 3),
        ("NaN: one seed is lost", [70, 71, 72], [80, NAN, 82], "α = 0.3", 2),
        ("says diverged, although its accuracy is finite", [70, 71, 72], [80, 99, 82], "α = 0.3", 2),
        ("no finite likelihood", [70, 71, 72], [80, 99, 82], "α = 0.3", 2),
        ("every seed of the grid diverged", [NAN] * 3, [NAN] * 3, "", 0),
    ],
)
def test_picture_and_verdict_agree_on_the_same_table(tmp_path, case, worse, better, best, seeds):
    columns: dict[str, Any] = {
        "says diverged, although its accuracy is finite": {"diverged": [False, True, False]},
        "no finite likelihood": {"test_nll": [1.0, float("inf"), 1.0]},
    }.get(case, {})
    tables = runs("ivon", "kappa0.1", WINS) + runs("ls", "kappa0.1", worse, alpha=0.0)
    tables += runs("ls", "kappa0.1", better, alpha=0.3, **columns)
    write(tmp_path, "fig7", tables, options={"published": {}}, noises=NOISES)
    frame, description = parquet.read_frame(tmp_path / "fig7.parquet")
    picture = registry.load("figure", "fig7").data(frame, description).set_index("method")
    verdict = row(tmp_path, "C7a", "class-dependent κ = 0.1, β = 0.05, against LS")
    assert picture.loc["ls", "chosen"] == best
    assert picture.loc["ls", "n"] == verdict["seeds"] == seeds
    assert bool(picture.loc["ls", "diverged"]) == ("diverged" in verdict["why"]) == (seeds < 3)
    assert f"LS ({best}" in verdict["compared"]
    kept = [0, 2] if seeds == 2 else [0, 1, 2]
    difference = np.mean(np.take(WINS, kept)) - picture.loc["ls", "accuracy"]
    assert verdict["effect"] == pytest.approx(difference, nan_ok=True)


def test_along_a_grid_the_picture_shows_the_values_that_the_range_is_over(tmp_path):
    points = [(0.05, [60.0, 61, 62]), (0.1, [85.0, 86, 87]), (0.2, [99.0, 99, NAN])]
    write(tmp_path, "fig5", over_rho("weak", *points))
    frame, description = parquet.read_frame(tmp_path / "fig5.parquet")
    picture = (
        registry.load("figure", "accuracy_over_grid").data(frame, {**description, "noises": NOISES}).set_index("value")
    )
    verdict = row(tmp_path, "C5b", "Fig. 5, weak")
    assert verdict["compared"] == "ρ = 0.1 − ρ = 0.05, of ρ from 0.05 to 0.1"
    assert verdict["effect"] == pytest.approx(picture.loc[0.1, "accuracy"] - picture.loc[0.05, "accuracy"])
    assert picture["diverged"].to_dict() == {0.05: 0, 0.1: 0, 0.2: 1} and "diverged: 0.2" in verdict["why"]


HIGH = [(0.1, [85.0, 86.0, 87.5]), (0.5, [88.0, 89.0, 90.0]), (1.0, [84.0, 85.0, 86.0])]
H0 = {"grids": {"ivon": ["hess_init"]}}


@pytest.mark.parametrize(
    ("points", "verdict", "whole"),
    [
        ([(0.01, [40, 41, 42.5]), *HIGH], "reproduced", "not reproduced"),
        ([(0.01, [NAN, 41, 42]), *HIGH], "reproduced", "inconclusive"),
        ([(0.01, [82, 83, 84.5]), *HIGH], "reproduced", "reproduced"),
        ([*HIGH, (5.0, [40, 41, 42.5])], "not reproduced", "not reproduced"),
        ([*HIGH, (5.0, [NAN, 41, 42])], "inconclusive", "inconclusive"),
        ([HIGH[0], HIGH[1], (1.0, [70, 80, 90])], "inconclusive", "inconclusive"),
    ],
)
def test_the_range_over_h0(tmp_path, points, verdict, whole):
    write(tmp_path, "fig10", over_h0("pair20", *points), **H0)
    scenario = "pair20, range over h₀"
    assert row(tmp_path, "C10", scenario)["verdict"] == verdict
    assert row(tmp_path, "C10", scenario, "over the whole grid of h₀")["verdict"] == whole
    assert row(tmp_path, "C10")["verdict"] != "reproduced"  # without SAM half of the claim is not tested


def test_the_range_over_h0_against_sams_over_rho(tmp_path):
    write(tmp_path, "fig10", over_h0("pair20", (0.01, [40, 41, 42.5]), *HIGH), **H0)
    write(tmp_path, "fig5", over_rho("pair20", (0.05, [60, 61, 62.5]), (0.1, [85, 86, 87])))
    scenario = "pair20, SAM's range over ρ − IVON's over h₀"
    found = row(tmp_path, "C10", scenario)
    ours = np.subtract([88, 89, 90], [84, 85, 86])
    theirs = np.subtract([85, 86, 87], [60, 61, 62.5])
    interval = stats.ttest_rel(theirs, ours).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert row(tmp_path, "C10")["verdict"] == "reproduced"
    assert found["verdict"] == "reproduced"
    assert row(tmp_path, "C10", scenario, "over the whole grid of h₀")["verdict"] == "not reproduced"


def test_a_range_over_h0_with_a_diverged_value_is_not_smaller_than_sams(tmp_path):
    write(tmp_path, "fig10", over_h0("pair20", *HIGH, (5.0, [NAN, 41, 42])), **H0)
    write(tmp_path, "fig5", over_rho("pair20", (0.05, [60, 61, 62.5]), (0.1, [85, 86, 87])))
    found = row(tmp_path, "C10", "pair20, SAM's range over ρ − IVON's over h₀")
    assert (found["verdict"], found["why"]) == ("inconclusive", "a seed diverged at h₀ = 5")
    assert found["low"] > 0


def test_learned_against_fixed_sigma_beside_the_posteriors_deviation(tmp_path):
    tables = []
    for noise, deviation in zip(THREE, (0.02, 0.0101, 0.01), strict=True):
        tables += runs("ivon", noise, [90, 91, 92], hessian="learned", posterior_std=deviation)
        tables += runs("ivon", noise, [80, 81, 82.5], hessian="fixed", posterior_std=0.01)
    write(tmp_path, "fig6", tables, grids={"ivon": ["hessian"]})
    assert row(tmp_path, "C6")["verdict"] == "reproduced"
    reading = "whether the posterior's s.d. differs"
    found = row(tmp_path, "C6", "symmetric20", reading)
    assert (found["effect"], found["unit"], found["verdict"]) == (pytest.approx(100), "%", "reproduced")
    assert row(tmp_path, "C6", "symmetric40", reading)["verdict"] == "not reproduced"  # 1 %: the same Σ
    assert row(tmp_path, "C6", reading=reading)["verdict"] == "not reproduced"


def test_label_noise_of_logistic_regression(tmp_path):
    def table(variances: list[float], means: Any, noise: Any = logistic.label_noise) -> pa.Table:
        parts = [pd.DataFrame({"variance": v, "mean": means, "noise": noise(means, v)}) for v in variances]
        return pa.Table.from_pandas(pd.concat(parts), schema=quadrature.SCHEMA, preserve_index=False)

    write(tmp_path, "fig2", [table([1.0, 4.0, 16.0], np.linspace(-15, 15, 601))])
    assert row(tmp_path, "C2")["verdict"] == "reproduced"
    assert row(tmp_path, "C2", "variance 1")["effect"] == pytest.approx(1.55)
    write(tmp_path, "fig2", [table([1.0, 4.0, 16.0], np.linspace(-2, 2, 601))])  # too narrow to fade
    assert row(tmp_path, "C2")["verdict"] == "not reproduced"
    write(tmp_path, "fig2", [table([1.0], np.linspace(-15, 15, 601), lambda means, v: np.exp(-(means**2)))])
    assert "not so: |ε| is 1 at mean 0; largest at a mean of ±0" in row(tmp_path, "C2", "variance 1")["why"]
    write(tmp_path, "fig2", [table([1.0], np.linspace(-15, 15, 600))])
    assert "no point at mean 0" in row(tmp_path, "C2")["why"]


@pytest.mark.parametrize(("runs_of_it", "spread"), [(1, 1.0), (3, 1.0), (3, 0.05)])
def test_examples_with_a_noise_of_their_own(tmp_path, runs_of_it, spread):
    parts, ratios = [], []
    for run in range(runs_of_it):
        magnitudes = np.exp(spread * np.random.default_rng(run).normal(size=500))
        low, high = np.percentile(magnitudes, [5, 95])
        ratios.append(np.log10(high / low))
        magnitudes = np.append(magnitudes, NAN)
        frame = pd.DataFrame({"magnitude_exact": magnitudes, "magnitude_linearised": magnitudes, "label": 0})
        frame["neighbours_disagree"] = np.digitize(magnitudes, np.nanpercentile(magnitudes, [50, 80])) / 10
        parts.append(frame.assign(index=frame.index, pixels=None, run=f"r{run}"))
    frame = pd.concat(parts)[examples.SCHEMA.names]
    write(tmp_path, "fig3", [pa.Table.from_pandas(frame, schema=examples.SCHEMA, preserve_index=False)])
    found = row(tmp_path, "C3", "every example its own noise, ‖ε‖ of Eq. 20")
    assert found["effect"] == pytest.approx(np.mean(ratios))
    assert found["why"].startswith(f"{runs_of_it} examples without a finite noise are left out")
    if runs_of_it == 1:
        assert found["verdict"] == "inconclusive" and found["why"].endswith("one seed: no interval")
    else:
        assert found["verdict"] == ("reproduced" if spread == 1 else "not reproduced")
    assert row(tmp_path, "C3")["verdict"] == found["verdict"]


@pytest.mark.parametrize(("sign", "verdict"), [(1, "reproduced"), (-1, "not reproduced")])
def test_more_noise_on_examples_whose_neighbours_bear_other_labels(tmp_path, sign, verdict):
    parts = []
    for run in range(3):
        generator = np.random.default_rng(run)
        unclear = generator.integers(0, 4, 300) / 10
        magnitudes = np.exp(sign * unclear + 0.05 * generator.normal(size=300))
        frame = pd.DataFrame({"neighbours_disagree": unclear, "magnitude_exact": magnitudes, "label": 0})
        frame["magnitude_linearised"] = 1.0
        parts.append(frame.assign(index=frame.index, pixels=None, run=f"r{run}"))
    frame = pd.concat(parts)[examples.SCHEMA.names]
    write(tmp_path, "fig3", [pa.Table.from_pandas(frame, schema=examples.SCHEMA, preserve_index=False)])
    found = row(tmp_path, "C3", "more noise on unclear examples, ‖ε‖ of Eq. 16")
    assert found["verdict"] == verdict and found["effect"] == pytest.approx(sign, abs=0.15)
    constant = row(tmp_path, "C3", "more noise on unclear examples, ‖ε‖ of Eq. 20")
    assert constant["verdict"] == "not tested"


def soft_labels(method: str, quantity: str, vectors: Any, seed: int, alpha: float = NAN) -> pd.DataFrame:
    """Return the rows of label vectors (K × K) in Fig. 4's table."""
    label, other = np.indices(vectors.shape).reshape(2, -1)
    frame = pd.DataFrame({"label": label, "other": other, "value": vectors.ravel()})
    named = {"run": f"{method}{alpha}/seed{seed}", "dataset": "digits", "noise": "clean", "method": method}
    return frame.assign(**named, seed=seed, alpha=alpha, quantity=quantity)


@pytest.mark.parametrize(("seeds", "like"), [(3, "ivon"), (3, "plain"), (1, "ivon")])
def test_labels_that_resemble_olss_beside_a_plain_network(tmp_path, seeds, like):
    generator = np.random.default_rng(0)
    parts = []
    for seed in range(seeds):
        ols = generator.uniform(0.001, 0.01, size=(6, 6))
        near, far = ols * generator.uniform(1.9, 2.1, size=ols.shape), generator.uniform(0.001, 0.01, size=ols.shape)
        ivon, plain = (near, far) if like == "ivon" else (far, near)
        parts += [soft_labels("ols", "soft_label", ols, seed), soft_labels("ivon", "softmax_mc", ivon, seed)]
        parts += [soft_labels("ls", "softmax", plain, seed, alpha) for alpha in (0.0,)]
        parts += [soft_labels("ls", "softmax", ols, seed, 0.1)]  # smoothed, so no control
    frame = pd.concat(parts)[soft_label_table.SCHEMA.names]
    write(tmp_path, "fig4", [pa.Table.from_pandas(frame, schema=soft_label_table.SCHEMA, preserve_index=False)])
    found = row(tmp_path, "C4", "digits, resemblance")
    control = row(tmp_path, "C4", reading="against a plain network's softmax")
    if seeds == 1:
        assert found["effect"] > 0.9 and found["why"] == "one seed: no interval"
        assert {found["verdict"], control["verdict"], row(tmp_path, "C4")["verdict"]} == {"inconclusive"}
    elif like == "ivon":
        assert found["verdict"] == control["verdict"] == row(tmp_path, "C4")["verdict"] == "reproduced"
    else:
        assert found["verdict"] != "reproduced" and control["verdict"] == "not reproduced"
    assert row(tmp_path, "C4", reading="IVON's noise as the mean |ε|")["verdict"] == "not tested"


def test_without_any_table_every_claim_is_there_and_not_tested(tmp_path):
    rows = judged(tmp_path)
    assert set(rows["verdict"]) == {"not tested"} and set(rows["scenario"]) == {"all"}
    assert list(rows["claim"].unique()) == ["C2", "C3", "C4", "C5a", "C5b", "C6", "C7a", "C7b", "C8", "C9", "C10"]
    assert "| C10 | IVON's accuracy varies" in (tmp_path / "claims.md").read_text()


def test_a_damaged_table_is_one_sentence_and_nothing_is_written(tmp_path):
    (tmp_path / "fig5.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"fig5\.parquet: is damaged"):
        judged(tmp_path)
    assert not list(tmp_path.glob("claims*"))


def test_the_page_has_a_row_a_claim_whose_cells_stay_in_their_columns(tmp_path):
    write(tmp_path, "fig5", three_noises(dict.fromkeys(THREE, WINS)))
    rows = judged(tmp_path)
    text = (tmp_path / "claims.md").read_text()
    assert "1 reproduced, 0 not reproduced, 1 inconclusive, 9 not tested, of 11 claims." in text
    lines = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 8 for line in lines)
    whole = int((rows["scenario"] == "all").sum())
    scenarios = int(((rows["scenario"] != "all") & (rows["reading"] == "as the paper")).sum())
    assert len(lines) == whole + scenarios + 3 * 2  # and three tables' heads
    assert "do not account for that picking" in text and "a label" in text


def test_the_record_names_tables_and_limits(tmp_path):
    write(tmp_path, "fig5", three_noises(dict.fromkeys(THREE, WINS)))
    judged(tmp_path)
    metadata = parquet.read(tmp_path / "claims.parquet")[1]
    assert list(metadata["tables"]) == [str(tmp_path / "fig5.parquet")]
    assert metadata["thresholds"]["SENSITIVE"] == thresholds.SENSITIVE
    assert metadata["code"] == {"claims": "x"}


def test_a_limit_is_part_of_the_claims_code_alone_and_nothing_heavy_is_imported():
    assert "results.claims.thresholds" in stages.code("judge_claims")
    for entry in ("training.job", "results.collect", "figures.draw", "results.notes"):
        assert not [module for module in code_digest.code(entry) if module.startswith("results.claims")]
    heavy = "{'torch', 'matplotlib', 'seaborn'}"
    code = f"import sys, adaptive_smoothing.results.claims.judge; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
