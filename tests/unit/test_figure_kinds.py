"""A figure of a known kind is configuration only: planned, collected and drawn under a name of its own."""

import copy
from pathlib import Path

import pandas as pd
import pytest
import yaml

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.figures import draw
from adaptive_smoothing.pipeline import figure_plans, plan, stages, yaml_files
from adaptive_smoothing.results import collect
from adaptive_smoothing.training import metrics

ROOT = Path(__file__).parents[2]
SMALL = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
RUNS = [{"setup": "digits", "noises": ["pair20"], "methods": {"ivon": {}, "sam": {"rho": [0.1, 0.2]}}, "seeds": [0, 1]}]
OVER_GRID = {"title": "My own comparison", "kind": "accuracy_over_grid", "runs": RUNS}


def planned(folder: Path, key: str, name: str, block: dict) -> figure_plans.FigurePlan:
    """Plan the small scale with one figure more; return that figure."""
    content = copy.deepcopy(SMALL)
    content[key][name] = block
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return plan.Plan("mine", folder).figure(name)


def test_fig_5_8_and_9_are_one_kind_and_the_others_are_their_own():
    kinds = {name: figure.description["kind"] for name, figure in plan.Plan("paper", ROOT / "config").figures.items()}
    assert [name for name, kind in kinds.items() if kind == "accuracy_over_grid"] == ["fig5", "fig8", "fig9"]
    assert all(kind == name for name, kind in kinds.items() if kind != "accuracy_over_grid")


@pytest.mark.parametrize(("key", "name"), [("figures", "fig11"), ("figures", "my_noise"), ("extras", "extra_noise")])
def test_a_free_name_is_planned_by_its_kind(tmp_path, key, name):
    figure = planned(tmp_path, key, name, OVER_GRID)
    assert figure.name == name and len(figure.runs) == 6
    said = figure.description
    assert (said["figure"], said["kind"], said["table"]) == (name, "accuracy_over_grid", "metrics")
    assert figure.drawing_code == stages.code("draw", figure="accuracy_over_grid")
    assert plan.Plan("small", ROOT / "config").figure("fig5").drawing_code == figure.drawing_code


def test_a_figure_of_a_known_kind_is_collected_and_drawn(tmp_path, monkeypatch):
    figure = planned(tmp_path, "figures", "fig11", OVER_GRID)
    monkeypatch.chdir(tmp_path)
    files = []
    for number, run in enumerate(figure.runs):
        described = {"run": run.name, "noise": run.noise, "method": run.method, "seed": run.spec.seed}
        epoch = {"epoch": 1, "diverged": False, "test_accuracy": 0.5 + 0.01 * number, "test_nll": 1.0, "device": "cpu"}
        table = metrics.metrics_table(described, run.spec.hyperparameters, [epoch])
        files.append(str(tmp_path / f"{number}.parquet"))
        parquet.write(files[-1], table, {"specification": run.specification, "code": {}, **environment.snapshot()})
    table = paths.TABLE.format(scale="mine", figure="fig11")
    names = [run.name for run in figure.runs]
    fields = {"description": figure.description, "runs": names, "metrics": files, "folders": [""] * len(names)}
    collect.collect(**fields, asked=figure.asked, output=table, code=figure.code, strict=False)
    outputs = paths.figure_files("mine", "fig11")
    numbers, record = (pattern.format(scale="mine", figure="fig11") for pattern in (paths.NUMBERS, paths.DRAWN))
    draw.draw(table, outputs, numbers, record)
    assert all(Path(output).stat().st_size > 5000 for output in outputs)
    frame = pd.read_csv(numbers)
    assert {"task", "method", "value", "accuracy", "accuracy_std", "n"} <= set(frame.columns)
    assert set(frame["method"]) == {run.method for run in figure.runs}


@pytest.mark.parametrize(
    ("key", "name", "kind", "sentence"),
    [
        (
            "figures",
            "fig11",
            "accuracy_over_grids",
            r"figures\.fig11\.kind: unknown figure kind 'accuracy_over_grids' "
            r"\(did you mean 'accuracy_over_grid'\?\); legal: accuracy_over_grid, extra_calibration, ",
        ),
        ("figures", "fig11", None, r"figures\.fig11: unknown figure kind 'fig11' \(did you mean 'fig10'\?\); legal: "),
        ("figures", "extra_mine", "accuracy_over_grid", "'extra_mine' belongs under 'extras'"),
        ("extras", "mine", "accuracy_over_grid", "'mine' belongs under 'figures'"),
        (
            "figures",
            "fig5.1",
            "accuracy_over_grid",
            r"\"fig5\.1\" is not allowed; it must consist of letters, digits and",
        ),
    ],
)
def test_a_wrong_kind_or_name_is_one_sentence(tmp_path, key, name, kind, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        planned(tmp_path, key, name, {**OVER_GRID, "kind": kind})
    assert "\n" not in str(caught.value) and "mine.yaml" in str(caught.value)
