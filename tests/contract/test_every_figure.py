"""What every registered figure must do: draw the runs of every registered method, or what its options ask for.

Tables of label noise need trained runs; figures of those tables have tests of their own.
"""

import io
from pathlib import Path
from typing import Any

import generated
import pandas as pd
import pytest
from matplotlib.figure import Figure

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import BaseHyperparameters
from adaptive_smoothing.figures._style import style_context
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.results.inputs import Inputs
from adaptive_smoothing.training.metrics import metrics_table

NOISES = {
    f"kappa{level:g}": {"kind": "class_dependent", "kappa": level, "beta": 0.05} for level in (0.1, 0.2)
}  # what figures over a noise's level need; any other figure takes them too
CONFIG = Path(__file__).parents[2] / "config"
OF_TRAINED_RUNS = ("examples", "soft_labels")  # tables
SEEDS, EPOCHS = (0, 1), (5, 10)
BINS = {"count": [10, 0, 30], "confidence": [0.3, None, 0.9], "accuracy": [0.2, None, 0.8]}


@pytest.mark.parametrize("name", registry.names("figure"))
def test_it_names_its_table(name):
    registry.check("table", str(registry.constant("figure", name, "TABLE")), "here")


def settings_of(method: str) -> list[dict[str, Any]]:
    """Return a grid of a method: its own alternatives, else two values of its own first number, if it has one."""
    first, *others = generated.options("method", method)
    own = {key: value for key, value in first.items() if key not in BaseHyperparameters.model_fields}
    grid = [one for one in others if any(one.get(key) != first.get(key) for key in own)]
    number = next((key for key, value in own.items() if isinstance(value, float)), None)
    return [first, *(grid or ([{**first, number: first[number] / 2}] if number else []))]


def runs() -> pd.DataFrame:
    """Return the metrics of every registered method over its grid, on two noises."""
    tables = []
    for noise, parameters in NOISES.items():
        for place, method in enumerate(registry.names("method")):
            for number, values in enumerate(settings_of(method)):
                for seed in SEEDS:
                    run = {"run": f"{noise}/{method}{number}/{seed}", "scale": "s", "dataset": "d", "model": "m"}
                    run |= {"noise": noise, "method": method, "data_seed": 0, "noise_seed": 0, "seed": seed}
                    run |= {f"noise_{key}": value for key, value in parameters.items()}
                    level = 0.5 + 0.02 * place + 0.1 * number
                    tables.append(metrics_table(run, values, [epoch_row(epoch, level, seed) for epoch in EPOCHS]))
    return parquet.concatenated(tables).to_pandas()


def epoch_row(epoch: int, level: float, seed: int) -> dict[str, Any]:
    accuracy = (level + 0.01 * seed) * epoch / EPOCHS[-1]
    row: dict[str, Any] = {"epoch": epoch, "diverged": False, "test_accuracy": accuracy, "test_nll": 1.0}
    row |= {"test_ece": 0.1, "train_memorised": 0.2, "gradient_evaluations": 40 * epoch, "seconds": 10.0 + seed}
    row |= {"processor_seconds": 9.0 + seed, "device": "cpu", "threads": 1, "posterior_std": 0.1}
    return row | ({f"test_bin_{key}": values for key, values in BINS.items()} if epoch == EPOCHS[-1] else {})


def description(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    grids = {}
    for method in registry.names("method"):
        sets = settings_of(method)
        grids[method] = [key for key in sets[0] if len({str(one.get(key)) for one in sets}) > 1]
    said = {"figure": name, "kind": name, "scale": "s", "label": "a test", "title": "A title", "noises": NOISES}
    return {**said, "grids": grids, "runs": list(frame["run"].unique())}


def candidates(name: str) -> list[dict[str, Any]]:
    """Return sets of options: generated ones, then those of the scales."""
    scales = [plan.Plan(scale, CONFIG).scale for scale in plan.scale_names(CONFIG)]
    used = [
        figure.options for scale in scales for key, figure in scale.every_figure.items() if figure.kind_of(key) == name
    ]
    declared = registry.options_class("figure", name)
    return [declared(**options).model_dump(mode="json") for options in [*generated.options("figure", name), *used]]


def drawn(name: str, options: dict[str, Any]) -> Figure:
    """Return the figure of the runs of every method, or of what its options alone ask for."""
    kind = str(registry.constant("figure", name, "TABLE"))
    frame = runs() if kind == "metrics" else pd.DataFrame({"run": []})
    said = {**description(name, frame), "options": options}
    if kind != "metrics":
        table, additions = registry.load("table", kind).make(Inputs(said, (), (), (), ()))
        frame, said = table.to_pandas(), {**said, **additions}
    module = registry.load("figure", name)
    with style_context():
        figure: Figure = module.draw(module.data(frame, said), said)
        figure.savefig(io.BytesIO(), format="png")
    return figure


@pytest.mark.parametrize("name", registry.names("figure"))
def test_it_draws_what_a_scale_may_ask_for(name):
    if (kind := registry.constant("figure", name, "TABLE")) in OF_TRAINED_RUNS:
        pytest.skip(f"a table of {kind} needs trained runs")
    refusals = []
    for options in candidates(name):
        try:
            figure = drawn(name, options)
            break
        except UserError as error:
            refusals.append(str(error))
    else:
        pytest.fail(f"no options that can be drawn: {'; '.join(refusals)}")
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "A title" in texts and "a test" in texts
