"""Figures beyond the paper: from no run of their own, right numbers, and drawn from bad tables too, saying so."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from adaptive_smoothing.core import parquet, paths, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.figures import extra_cost
from adaptive_smoothing.figures._style import save, style_context
from adaptive_smoothing.pipeline import plan, yaml_files
from adaptive_smoothing.theory import moons
from adaptive_smoothing.training import metrics

ROOT = Path(__file__).parents[2]
FROM_RUNS = ("extra_calibration", "extra_cost", "extra_memorisation")
NOISES = {"symmetric20": {"kind": "symmetric", "rate": 0.2}, "pair20": {"kind": "pair", "rate": 0.2}}
SEEDS, EPOCHS, BINS = (0, 1, 2), (5, 10), 3
PASSES = {"ivon": 1, "ls": 1, "sam": 2}


@pytest.mark.parametrize("scale", plan.scale_names(ROOT / "config"))
def test_extras_add_no_run_and_are_no_part_of_the_scale(scale):
    planned = plan.Plan(scale, ROOT / "config")
    alone = plan.Plan(scale, ROOT / "config")
    alone.scale = planned.scale.model_copy(update={"extras": {}})
    assert set(planned.runs) == set(alone.runs)
    assert list(planned.figures) == list(alone.figures)
    assert {run.specification["keep_posterior"] for run in planned.runs.values()} == {
        run.specification["keep_posterior"] for run in alone.runs.values()
    }
    assert planned.figure_files() == alone.figure_files()
    assert not any("extra_" in file for file in planned.figure_files())


@pytest.mark.parametrize("scale", ["paper", "small", "laptop", "rehearsal"])
def test_scales_with_all_figures_have_all_extras(scale):
    planned = plan.Plan(scale, ROOT / "config")
    extras = [name for name in registry.names("figure") if name.startswith(paths.EXTRA)]
    assert sorted(planned.scale.extras) == extras
    folder = "paper_figures" if scale == "paper" else f"paper_figures/{scale}"
    assert f"{folder}/extra_cost.pdf" in planned.extra_files() and len(planned.extra_files()) == 2 * len(extras)
    for name in FROM_RUNS:
        assert {run.name for run in planned.figure(name).runs} == {run.name for run in planned.figure("fig5").runs}
    assert planned.figure("extra_moons").runs == ()


def test_a_scale_without_extras_says_so():
    with pytest.raises(UserError, match=r"tuning\.yaml: has no extras"):
        plan.Plan("tuning", ROOT / "config").extra_files()


@pytest.mark.parametrize(
    ("key", "name", "sentence"),
    [
        ("figures", "extra_cost", r"figures: 'extra_cost' belongs under 'extras'"),
        ("extras", "fig7", r"extras: 'fig7' belongs under 'figures'"),
        (
            "extras",
            "extra_costs",
            r"extras\.extra_costs: unknown figure kind 'extra_costs' \(did you mean 'extra_cost'\?\)",
        ),
        ("figures", "fig11", r"unknown figure kind 'fig11' \(did you mean 'fig10'\?\); legal: accuracy_over_grid, "),
    ],
)
def test_extras_are_told_from_figures_by_name(tmp_path, key, name, sentence):
    content = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    content[key][name] = {"title": "x"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=sentence) as caught:
        plan.Plan("mine", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_of_an_extra_is_refused(tmp_path):
    content = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    content["extras"]["extra_cost"]["run"] = []
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"extras\.extra_cost: unknown key 'run' \(did you mean 'runs'\?\)"):
        plan.Plan("mine", tmp_path)


def epochs(method: str, level: float, seed: int) -> list[dict[str, Any]]:
    """Return the rows of a run: `level` is its last test accuracy, half of it the one before."""
    rows = []
    for place, epoch in enumerate(EPOCHS, 1):
        accuracy = (level + 0.01 * seed) * place / 2
        row = {"epoch": epoch, "diverged": False, "test_accuracy": accuracy, "test_nll": 1.0, "test_ece": 0.1 * level}
        row |= {"train_memorised": 0.2 * place, "gradient_evaluations": 40 * epoch * PASSES[method]}
        row |= {"seconds": 10.0 + seed, "processor_seconds": 5.0 + seed, "device": "cpu", "threads": 1}
        rows.append(row)
    bins = {"count": [10 + seed, 0, 30], "confidence": [0.3, None, 0.9], "accuracy": [0.2, None, 0.8]}
    rows[-1] |= {f"test_bin_{name}": values for name, values in bins.items()}
    if method == "ivon":
        rows[-1] |= {f"test_bin_{name}_mc": values for name, values in bins.items()}
        rows[-1] |= {"test_accuracy_mc": level, "test_nll_mc": 0.5, "test_ece_mc": 0.02, "posterior_std": 0.1}
    return rows


def table(seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Return the metrics of IVON, LS (α = 0 and 0.3, the best) and SAM (ρ = 0.1, the best, and 0.5) on two noises."""
    grid = [("ivon", {}, 0.8), ("ls", {"alpha": 0.0}, 0.5), ("ls", {"alpha": 0.3}, 0.7)]
    grid += [("sam", {"rho": 0.1}, 0.75), ("sam", {"rho": 0.5}, 0.6)]
    tables = []
    for noise, parameters in NOISES.items():
        for method, values, level in grid:
            for seed in seeds:
                run = {"run": f"{noise}/{method}{values}/{seed}", "scale": "s", "dataset": "d", "model": "m"}
                run |= {"noise": noise, "method": method, "data_seed": 0, "noise_seed": 0, "seed": seed}
                run |= {f"noise_{key}": value for key, value in parameters.items()}
                tables.append(metrics.metrics_table(run, {"lr": 0.1, **values}, epochs(method, level, seed)))
    return parquet.concatenated(tables).to_pandas()


def description(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Return what a table says of itself; its runs are all of `table()`, whatever `frame` holds."""
    said = {"figure": name, "scale": "s", "label": "a test", "title": "T", "options": {}, "noises": NOISES}
    grids = {"ivon": [], "ls": ["alpha"], "sam": ["rho"]}
    return {**said, "grids": grids, "runs": dict.fromkeys(frame["run"])}


def data_of(name: str, frame: pd.DataFrame, of: pd.DataFrame | None = None) -> pd.DataFrame:
    made: pd.DataFrame = registry.load("figure", name).data(frame, description(name, frame if of is None else of))
    return made


def footer(name: str, frame: pd.DataFrame, of: pd.DataFrame, folder: Path) -> str:
    """Draw a figure into a PDF, and return the text at its foot, in one line."""
    said = description(name, of)
    module = registry.load("figure", name)
    with style_context():
        figure = module.draw(module.data(frame, said), said)
        save(figure, [str(folder / "f.pdf")], said, "keywords")
    assert (folder / "f.pdf").stat().st_size > 5000
    return " ".join(figure.get_supxlabel().split())


def one(data: pd.DataFrame, series: str, **where: Any) -> pd.Series:
    rows = data[(data["series"] == series) & (data["task"] == "symmetric 20 %")]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_each_method_is_shown_at_its_best_beside_the_control():
    for name in FROM_RUNS:
        data = data_of(name, table())
        picked = data.drop_duplicates(["task", "series"]).set_index(["task", "series"])["chosen"].to_dict()
        assert picked.pop(("pair flip 20 %", "ls")) == "α = 0.3"
        assert picked.pop(("symmetric 20 %", "sam")) == "ρ = 0.1"
        assert picked[("pair flip 20 %", "plain")] == picked[("pair flip 20 %", "ivon")] == ""


def test_calibration_pools_bins_and_averages_measures():
    data = data_of("extra_calibration", table())
    ls = one(data, "ls")
    assert (ls["n"], ls["diverged"], ls["epoch"], ls["missing"]) == (3, 0, 10, 0)
    assert ls["ece"] == pytest.approx(7) and ls["nll"] == 1 and ls["ece_std"] == pytest.approx(0)
    assert ls["count"] == [10 + 11 + 12, 90]
    assert ls["confidence"] == pytest.approx([30, 90]) and ls["accuracy"] == pytest.approx([20, 80])
    averaged = one(data, "ivon_mc")
    assert averaged["ece"] == pytest.approx(2) and averaged["nll"] == 0.5 and averaged["n"] == 3


def test_memorisation_and_cost_are_means_over_seeds_by_epoch():
    frame = table()
    data = data_of("extra_memorisation", frame)
    first, last = one(data, "sam", epoch=5), one(data, "sam", epoch=10)
    assert (first["memorised"], last["memorised"]) == (pytest.approx(20), pytest.approx(40))
    assert last["accuracy"] == pytest.approx(76) and last["accuracy_std"] == pytest.approx(1)
    cost = one(data_of("extra_cost", frame), "sam", epoch=10)
    assert cost["gradient_evaluations"] == 800 and cost["grid_gradient_evaluations"] == 1600
    assert cost["time"] == pytest.approx(6) and cost["grid_time"] == pytest.approx(12)
    ivon = one(data_of("extra_cost", frame), "ivon", epoch=10)
    assert ivon["gradient_evaluations"] == 400 and math.isnan(ivon["grid_time"])


@pytest.mark.parametrize(
    ("change", "clock", "seconds"),
    [
        ({}, extra_cost.PROCESSOR, 6),
        ({"device": "GPU A"}, extra_cost.WALL, 11),  # its processor waits for the GPU
        ({"processor_seconds": None}, extra_cost.WALL, 11),  # a table of earlier code
    ],
)
def test_time_is_the_processors_where_that_is_the_cost(change, clock, seconds, tmp_path):
    frame = table().assign(**change)
    cost = one(data_of("extra_cost", frame), "sam", epoch=10)
    assert (cost["clock"], cost["time"]) == (clock, pytest.approx(seconds))
    assert extra_cost.ABOUT[clock] in footer("extra_cost", frame, frame, tmp_path)


@pytest.mark.parametrize("name", FROM_RUNS)
def test_each_row_of_panels_names_its_own_choice(name):
    frame = table()
    other = (frame["noise"] == "pair20") & (frame["rho"] == 0.5)
    frame["test_accuracy"] += 0.3 * other
    said, module = description(name, frame), registry.load("figure", name)
    with style_context():
        figure = module.draw(module.data(frame, said), said)
    figure.canvas.draw()
    columns = len(figure.axes) // 2
    for task, best in enumerate(["ρ = 0.1", "ρ = 0.5"]):
        row = figure.axes[columns * task : columns * (task + 1)]
        texts = [axes.get_title(loc="left") for axes in row] + [
            t.get_text() for axes in row for t in axes.get_xticklabels()
        ]
        assert {text[-8:] for text in texts if "ρ" in text} == {f"{best}*"}  # both values of ρ are ends of its grid


def diverging(frame: pd.DataFrame, lost: "pd.Series[bool]") -> pd.DataFrame:
    """Return the table with these runs diverged in their last epoch, as training.py leaves them."""
    rows = lost & (frame["epoch"] == EPOCHS[-1])
    measures = [name for name in metrics.EPOCH_COLUMNS if name not in ("epoch", "diverged", "gradient_evaluations")]
    changed = frame.copy()
    for name in measures:
        changed[name] = changed[name].astype(object).where(~rows, None)
        if metrics.EPOCH_COLUMNS[name] == "double":
            changed[name] = changed[name].astype(float)
    return changed.assign(diverged=frame["diverged"] | rows)


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_good_table_says_how_many_seeds_and_how_the_best_was_chosen(name, tmp_path):
    text = footer(name, table(), table(), tmp_path)
    assert "n = 3 seeds" in text and "LS and SAM at the best hyper-parameter on the test set" in text
    assert "missing" not in text and "×" not in text
    assert "a test" in text


@pytest.mark.parametrize("name", [*FROM_RUNS, "accuracy_over_grid"])
@pytest.mark.parametrize("case", ["missing seeds", "a method gone", "one seed", "diverged", "all diverged", "NaN"])
def test_bad_tables_are_drawn_all_the_same_and_tell(name, case, tmp_path):
    whole = table()
    of = whole
    match case:
        case "missing seeds":
            frame = whole[~((whole["method"] == "ls") & (whole["seed"] == 2))]
            expected = ["n = 2 to 3 seeds", "4 of the runs are missing from the table"]
        case "a method gone":
            frame, expected = whole[whole["method"] != "sam"], ["12 of the runs are missing from the table"]
        case "one seed":
            frame = of = table(seeds=(0,))
            expected = ["one seed (n = 1): no error bars"]
        case "diverged":
            frame = diverging(whole, (whole["method"] == "ivon") & (whole["seed"] == 1))
            expected = ["×: a seed diverged", "n = 2 to 3 seeds"]
        case "all diverged":
            frame, expected = diverging(whole, whole["seed"] >= 0), ["×: a seed diverged", "no run is left"]
        case "NaN":
            frame = whole.assign(test_nll=whole["test_nll"].where(whole["seed"] != 0))
            expected = ["×: a seed diverged", "n = 2 seeds"]
    if name == "accuracy_over_grid":  # the paper's figures tell seeds, not runs that a table lacks altogether
        expected = [words for words in expected if "missing" not in words]
    text = footer(name, frame, of, tmp_path)
    assert [words for words in expected if words not in text] == [], text


def test_where_no_wrong_label_is_known_it_is_said(tmp_path):
    frame = table()
    frame["train_memorised"] = frame["train_memorised"].where(frame["noise"] != "pair20")
    assert "no wrong label is known, or no run is left: pair flip 20 %" in footer(
        "extra_memorisation", frame, frame, tmp_path
    )


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_table_of_earlier_code_is_refused_in_a_sentence(name):
    lacking = ["train_memorised", "gradient_evaluations", "test_bin_count"]
    with pytest.raises(UserError, match=rf"figure {name}: its table lacks the column '\w+'; delete it and run again"):
        data_of(name, table().drop(columns=lacking))


OPTIONS = {"examples": 60, "spread": 0.25, "seed": 0, "degree": 2, "delta": 0.5}
TRAININGS = {"rate_gd": 0.1, "steps_gd": 200, "rate_von": 0.5, "steps_von": 30}


def test_moons_hold_the_label_noise_of_each_example_and_draw(tmp_path):
    frame = moons.table({**OPTIONS, **TRAININGS}, "here")
    assert list(frame.groupby(["method", "kind"]).size()) == 2 * [60, moons.ACROSS**2]
    examples = frame[frame["kind"] == "example"]
    assert set(examples["label"]) == {0, 1} and frame.loc[frame["kind"] == "grid", "label"].isna().all()
    fixed = examples[examples["method"] == "variational GD"]
    assert fixed["variance"].mean() == pytest.approx(1)  # φᵀφ on average, Σ = I
    right = (fixed["mean"] > 0) == (fixed["label"] == 1)
    assert right.mean() > 0.8
    assert (np.sign(examples["noise"]) == np.sign(examples["mean"])).all()  # E σ(f) lies nearer to a half
    said = {"figure": "extra_moons", "scale": "s", "label": None, "title": "T", "options": {**OPTIONS, **TRAININGS}}
    module = registry.load("figure", "extra_moons")
    with style_context():
        figure = module.draw(module.data(frame, said), said)
        save(figure, [str(tmp_path / "f.png")], said, "keywords")
    assert "60 examples of make_moons, one draw (n = 1)" in " ".join(figure.get_supxlabel().split())


def test_a_training_on_moons_that_does_not_end_is_refused():
    with pytest.raises(UserError, match=r"here: variational GD has not come to rest in 2 steps"):
        moons.table({**OPTIONS, **TRAININGS, "steps_gd": 2}, "here")
