"""Accuracies of every method from made-up tables in the true format: which, how they are written, and their errors."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from json_fields import undocumented

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import cli
from adaptive_smoothing.results import accuracy
from adaptive_smoothing.training.metrics import metrics_table

ROOT = Path(__file__).parents[2]
KAPPA = {"noise_kind": "class_dependent", "noise_kappa": 0.1, "noise_beta": 0.05}
SYMMETRIC = {"noise_kind": "symmetric", "noise_rate": 0.2}
NOISES = {
    "symmetric20": {"kind": "symmetric", "rate": 0.2},
    "symmetric40": {"kind": "symmetric", "rate": 0.4},
    "kappa0.1": {"kind": "class_dependent", "kappa": 0.1, "beta": 0.05},
}


def run(method, correct, seed=0, noise="symmetric20", diverged=False, **hyperparameters):
    """Return the last epoch of a run whose test accuracy is `correct` (a share)."""
    settings = "-".join(f"{name}{value}" for name, value in hyperparameters.items())
    given = {"run": f"digits/{noise}/{method}-{settings}/seed{seed}", "scale": "mine", "dataset": "digits"}
    given |= {"model": "cnn", "noise": noise, "method": method, "seed": seed}
    epoch = {"epoch": 2, "diverged": diverged, "test_accuracy": correct, "test_nll": 1.0}
    return metrics_table(given, hyperparameters, [epoch])


def written(figure, runs, grids, kind="accuracy_over_grid", **said):
    """Write a figure's table as `collect` does."""
    description = {"figure": figure, "kind": kind, "table": "metrics", "scale": "mine", "grids": grids}
    description |= {"noises": NOISES, "runs": {}, **said}
    parquet.write(paths.TABLE.format(scale="mine", figure=figure), parquet.concatenated(runs), description)


def grid(setup, methods, noises=("symmetric20",)):
    return {"setup": setup, "noises": list(noises), "methods": methods}


FIGURES = {
    "fig2": {"title": "a", "options": {"variances": [1], "largest_mean": 15, "points": 6}},
    "fig5": {
        "title": "a",
        "kind": "accuracy_over_grid",
        "runs": [grid("digits", {"ls": {"alpha": [0.1, 0.3]}, "ivon": {}, "ols": {}})],
    },
    "fig7": {"title": "a", "runs": [grid("digits", {"sam": {"rho": [0.1]}}, ["kappa0.1"])]},
    "fig10": {"title": "a", "runs": [grid("digits", {"ivon": {"hess_init": [0.1, 1]}})]},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a project with the scale 'mine', whose tables are not made yet."""
    (tmp_path / "config").mkdir()
    (tmp_path / "Snakefile").touch()
    scale = yaml.safe_load((ROOT / "config/small.yaml").read_text())
    scale |= {"figures": FIGURES, "extras": {}}
    (tmp_path / "config/mine.yaml").write_text(yaml.safe_dump(scale, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    plan.load.cache_clear()
    yield tmp_path
    plan.load.cache_clear()


@pytest.fixture
def tables(project):
    """Write the tables of the scale 'mine'."""
    ls = [run("ls", 0.5 + seed / 100, seed, alpha=0.1) for seed in (0, 1)]
    ls += [run("ls", 0.7 + seed / 100, seed, alpha=0.3) for seed in (0, 1)]
    others = [run("ols", 0.6), run("ivon", 0.8, 0), run("ivon", 0.9, 1, diverged=True)]
    written("fig5", [*ls, *others], {"ls": ["alpha"], "ivon": [], "ols": []})
    written("fig7", [run("sam", 0.4, noise="kappa0.1", rho=0.1)], {"sam": ["rho"]}, kind="fig7")
    initial = [run("ivon", correct, hess_init=value) for correct, value in ((0.3, 0.1), (0.2, 1.0))]
    written("fig10", initial, {"ivon": ["hess_init"]}, kind="fig10")


TABLE = """\
| figure | noise | LS | SAM | IVON | OLS |
| --- | --- | --- | --- | --- | --- |
| 5 | symmetric 20 % | 70.5 ± 0.7 (α = 0.3) | – | 80.0 (1 of 2 runs diverged) | 60.0 |
| 7 | class-dependent κ = 0.1, β = 0.05 | – | 40.0 (ρ = 0.1) | – | – |
"""


def test_every_method_of_every_figure_that_compares_methods_is_in_the_table(tables, capsys):
    assert cli.main(["accuracy", "mine"]) == 0
    assert capsys.readouterr().out == TABLE


def test_a_figure_of_one_method_is_shown_where_it_is_named(tables, capsys):
    assert cli.main(["accuracy", "paper_figures/mine/fig10.pdf"]) == 0
    assert capsys.readouterr().out.endswith("| 10 | symmetric 20 % | 30.0 (h₀ = 0.1) |\n")


def test_json_has_the_numbers_and_null_where_one_seed_gives_no_spread(tables, capsys):
    assert cli.main(["accuracy", "mine", "fig7", "fig5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert undocumented(document, "accuracy") == set()
    sam, *others = document["accuracies"]
    assert sam == {
        "figure": "fig7",
        "noise": "class-dependent κ = 0.1, β = 0.05",
        "method": "sam",
        "chosen": "ρ = 0.1",
        "accuracy": 40.0,
        "accuracy_std": None,
        "n": 1,
        "diverged": 0,
        "epoch": 2,
    }
    assert [row["method"] for row in others] == ["ls", "ols", "ivon"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["accuracy", "mine"],
            "results/mine/figures/fig5.parquet and 1 other table: do not exist; to make what is missing: "
            "snakemake results/mine/figures/fig5.parquet results/mine/figures/fig7.parquet --cores 2",
        ),
        (
            ["accuracy", "mine", "fig10"],
            "results/mine/figures/fig10.parquet: does not exist; to make what is missing: "
            "snakemake results/mine/figures/fig10.parquet --cores 2",
        ),
        (
            ["accuracy", "mine", "fig2"],
            "fig2 of scale 'mine' has no test accuracies; figures that have some: fig5, fig7, fig10",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(project, arguments, message, capsys):
    assert cli.main(arguments) == (2 if message.startswith("unknown") else 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and message in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine", "fig55"], "config/mine.yaml: unknown figure 'fig55' (did you mean 'fig5'?); legal: "),
        (["my"], "config: unknown scale 'my'"),
    ],
)
def test_a_figure_or_scale_that_does_not_exist_is_misuse(project, arguments, message, capsys):
    assert cli.main(["accuracy", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"error: {message}")


def test_a_scale_that_compares_nothing_says_so(project, capsys):
    scale = yaml.safe_load((project / "config/mine.yaml").read_text())
    scale["figures"] = {"fig10": FIGURES["fig10"]}
    (project / "config/mine.yaml").write_text(yaml.safe_dump(scale, sort_keys=False))
    assert cli.main(["accuracy", "mine"]) == 1
    assert "config/mine.yaml: none of its figures compares methods" in capsys.readouterr().err


def test_a_table_of_an_older_version_is_one_sentence(tables, capsys):
    table, description = parquet.read(paths.TABLE.format(scale="mine", figure="fig7"))
    parquet.write(paths.TABLE.format(scale="mine", figure="fig7"), table.drop_columns(["test_nll"]), description)
    assert cli.main(["accuracy", "mine"]) == 1
    file = "results/mine/figures/fig7.parquet"
    assert f"{file}: has no column 'test_nll'; delete it and make it again: snakemake {file}" in capsys.readouterr().err


def test_a_method_whose_runs_all_diverged_and_an_empty_table(project):
    written("fig5", [run("ls", 0.5, diverged=True, alpha=0.1), run("ivon", 0.5)], {"ls": ["alpha"], "ivon": []})
    rows = accuracy.of_figure(*parquet.read_frame(paths.TABLE.format(scale="mine", figure="fig5")))
    assert "| diverged | 50.0 |" in "\n".join(accuracy.markdown(rows))
    frame, description = parquet.read_frame(paths.TABLE.format(scale="mine", figure="fig5"))
    assert accuracy.of_figure(frame.iloc[:0], description).empty
    assert list(accuracy.markdown(accuracy.of_figures([]))) == ["| figure | noise |", "| --- | --- |"]


def test_the_readmes_table_has_the_form_that_is_printed():
    """Its numbers are those of a small scale once made; all else is as the command has it."""
    text = (ROOT / "README.md").read_text()
    lines = text[text.index("| figure | noise |") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    small = plan.Plan("small", ROOT / "config")
    comparing = [figure for figure in small.figures.values() if accuracy.compares(figure.description)]
    noises = [
        (figure.name.removeprefix("fig"), noise)
        for figure in comparing
        for noise in dict.fromkeys(run.noise for run in figure.runs)
    ]
    assert cells[0] == ["figure", "noise", "LS", "SAM", "IVON"]
    assert [row[0] for row in cells[2:]] == [figure for figure, _ in noises]
    rows = pd.DataFrame({"figure": "fig5", "noise": "x", "method": ["ls"], "chosen": "α = 0.6", "accuracy": 91.14})
    rows = rows.assign(accuracy_std=0.6, n=3, diverged=0, epoch=40)
    assert list(accuracy.markdown(rows))[2] == "| 5 | x | 91.1 ± 0.6 (α = 0.6) |"
    assert "smoothing accuracy small" in text
