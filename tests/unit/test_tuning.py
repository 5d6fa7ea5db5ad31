"""Hyper-parameters picked from a tuning scale's tables, on made-up tables in the true format."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from json_fields import undocumented

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import cli, tune
from adaptive_smoothing.training.metrics import metrics_table

ROOT = Path(__file__).parents[2]
SHIPPED = {"ls": ("lr", "alpha"), "sam": ("lr", "rho"), "ivon": ("lr", "hess_init")}  # the last but IVON's: per noise


def written(scale, score, **changes):
    """Write the tables of a scale's figures; score(run) is a run's accuracy on held-out labels, None if it diverged."""
    for figure in plan.load(scale).figures.values():
        rows = []
        for run in figure.runs:
            given = {"run": run.name, "scale": scale, "dataset": "digits", "model": "cnn", "noise": run.noise}
            given |= {"method": run.method, "seed": run.spec.seed}
            found = score(run)
            epoch = {"epoch": 40, "diverged": found is None, "validation_accuracy": found}
            hyperparameters = run.specification["hyperparameters"]
            # the better a run would look on the test set, the worse it is for the judge
            epoch |= {"test_accuracy": 1 - (found or 0), "test_nll": 1.0, **changes}
            rows.append(metrics_table(given, hyperparameters, [epoch]))
        description = {**figure.description, "runs": {}}
        parquet.write(paths.TABLE.format(scale=scale, figure=figure.name), parquet.concatenated(rows), description)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a project with the shipped scales, whose tables are not made yet."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    plan.load.cache_clear()
    yield tmp_path
    plan.load.cache_clear()


def changed(scale, change):
    """Rewrite a scale's file."""
    file = Path(f"config/{scale}.yaml")
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    plan.load.cache_clear()


def value_of(run, axis):
    return run.specification["hyperparameters"][axis]


def expected(figure, scores, method):
    """Return the pick for a method: the plain way, one loop in another."""
    runs = [run for run in figure.runs if run.method == method]
    shared, last = ("lr",), SHIPPED[method][1]
    if method == "ivon":
        shared = ("lr", last)
    best = {}
    for choice in itertools.product(*(sorted({value_of(run, axis) for run in runs}) for axis in shared)):
        of_noises = []
        for noise in {run.noise for run in runs}:
            of_axis = {}
            for run in runs:
                if run.noise == noise and tuple(value_of(run, axis) for axis in shared) == choice:
                    of_axis.setdefault(value_of(run, last), []).append(scores[run.name])
            of_noises.append(max(np.mean(values) for values in of_axis.values()))
        best[choice] = np.mean(of_noises)
    choice = max(best, key=best.get)
    return dict(zip(shared, choice, strict=True)), 100 * best[choice]


@pytest.mark.parametrize("scale", ["tuning", "laptop_tuning"])
def test_the_shipped_scales_pick_learning_rates_with_the_best_alpha_and_rho_and_ivons_pair(project, scale):
    random = np.random.default_rng(3)
    scores = {run: random.uniform(0.2, 0.9) for run in plan.load(scale).runs}
    written(scale, lambda run: scores[run.name])
    picks = tune.tuned(scale).picks
    figures = plan.load(scale).figures
    assert [(pick.figure, pick.method) for pick in picks] == [(name, method) for name in figures for method in SHIPPED]
    for pick in picks:
        choice, score = expected(figures[pick.figure], scores, pick.method)
        assert pick.choice == choice
        assert pick.score == pytest.approx(score)
        assert len(pick.scores) == (9 if pick.method == "ivon" else 3)
        noises = {run.noise for run in figures[pick.figure].runs}
        assert len(pick.by_noise) == (0 if pick.method == "ivon" else len(noises))


def own_method(project):
    """Put OLS, in place of a method of the user's own, into the scale and its tuning."""

    def change(content):
        methods = content["setups"]["digits"]["methods"]
        methods["ols"] = {**methods["ls"], "alpha": 0.5, "first_epoch_alpha": 0.1}
        grid = {"lr": [0.1, 0.2], "weight_decay": [0.1, 0.2], "alpha": [0.3, 0.6]}
        content["figures"]["fig5"]["runs"][0]["methods"] = {"ols": grid}

    changed("tuning", change)
    changed("small", lambda content: content["figures"]["fig5"]["runs"][0]["methods"].update(ols={"alpha": [0.3, 0.6]}))


def test_an_own_method_is_picked_by_the_axes_that_the_figures_show(project, capsys):
    own_method(project)
    good = {"symmetric40": 0.3, "pair20": 0.6, "kappa0.3": 0.3}

    def score(run):
        shared = 0.3 * (value_of(run, "lr") == 0.1) + 0.2 * (value_of(run, "weight_decay") == 0.2)
        return shared + 0.4 * (value_of(run, "alpha") == good[run.noise])

    written("tuning", score)
    assert cli.main(["tune", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["scale"], document["tunes"]) == ("tuning", "small")
    assert undocumented(document, "tune") == set()
    (pick,) = document["picks"]
    assert (pick["method"], pick["choice"]) == ("ols", {"lr": 0.1, "weight_decay": 0.2})
    assert pick["score"] == pytest.approx(90)
    assert list(pick["by_noise"].values()) == [{"alpha": 0.3}, {"alpha": 0.6}, {"alpha": 0.3}]
    assert len(pick["scores"]) == 4
    assert pick["edges"][:2] == [
        "learning rate = 0.1 is the lowest of its grid: a lower one may be better",
        "weight decay = 0.2 is the highest of its grid: a higher one may be better",
    ]


def test_the_text_shows_scores_pick_and_edges(project, capsys):
    middle = {"lr": 0.02, "alpha": 0.6, "rho": 0.2}
    written(
        "tuning", lambda run: 0.5 + 0.1 * sum(value_of(run, axis) == middle.get(axis) for axis in SHIPPED[run.method])
    )
    assert cli.main(["tune"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "# Tuning (fig5)\n\n## LS\n\n| learning rate | accuracy on held-out labels (%), mean over noises |\n"
    )
    assert "| 0.02 | 70.0 |" in text
    assert "Pick: learning rate = 0.02.\n- symmetric 40 %: best at α = 0.6\n" in text
    assert "Pick: learning rate = 0.1, h₀ = 0.2.\n- learning rate = 0.1 is the lowest of its grid" in text
    assert text.count("of its grid") == 2  # both of IVON's: nothing else lies at an end


def test_a_choice_that_diverges_under_one_noise_is_not_picked(project, capsys):
    """Otherwise the noise that it fails under would not count against it."""
    written("tuning", lambda run: (None if run.noise == "pair20" else 0.9) if value_of(run, "lr") == 0.02 else 0.5)
    ls = tune.tuned("tuning").picks[0]
    assert ls.choice["lr"] != 0.02 and ls.score == pytest.approx(50)
    assert cli.main(["tune"]) == 0
    assert "| 0.02 | diverged |" in capsys.readouterr().out
    written("tuning", lambda run: None)
    assert cli.main(["tune"]) == 0
    assert capsys.readouterr().out.count("No pick: every choice diverged under some noise.") == 3


@pytest.mark.parametrize(
    ("scale", "change", "message"),
    [
        (
            "tuning",
            None,
            "results/tuning/figures/fig5.parquet: does not exist; to make what is missing: "
            "snakemake results/tuning/figures/fig5.parquet --cores 2",
        ),
        (
            "small",
            None,
            "config/small.yaml: has no key 'tunes', so it is no tuning scale; set it to the scale that gets",
        ),
        (
            "tuning",
            {"tunes": "smal"},
            "config/tuning.yaml, tunes: unknown scale 'smal' (did you mean 'small'?); legal: ",
        ),
    ],
)
def test_what_cannot_be_tuned_is_one_sentence(project, scale, change, message, capsys):
    if change:
        changed(scale, lambda content: content.update(change))
    assert cli.main(["tune", scale]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"error: {message}") and printed.err.count("\n") == 1


def test_runs_without_held_out_labels_are_one_sentence(project, capsys):
    written("tuning", lambda run: 0.5, validation_accuracy=None)
    assert cli.main(["tune"]) == 1
    assert (
        "figure fig5: its runs hold out no labels to judge by; set datasets.digits.validation"
        in capsys.readouterr().err
    )
