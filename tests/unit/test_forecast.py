"""What runs cost: records that may be compared, the calibration's arithmetic, sizes before anything is made."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from cases import NOWHERE, arguments, specification

from adaptive_smoothing.core import parquet, paths, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import cost_model, dataset_sizes, history, profiling
from adaptive_smoothing.pipeline.commands.dataset_sizes import DatasetSize
from adaptive_smoothing.pipeline.commands.history import PastRun
from adaptive_smoothing.pipeline.commands.profiling import Timing
from adaptive_smoothing.pipeline.plan import Run
from adaptive_smoothing.pipeline.scales import Resources
from adaptive_smoothing.training import job, loop

DIGITS = DatasetSize(177, 20, 1600, (1, 8, 8), 10, False, False)


def run_of(spec, **resources):
    asked = {"threads": 1, "gpu": 0, "mem_mb": 1, "runtime": 1, "checkpoint_minutes": 1, **resources}
    recipe = json.dumps(spec, sort_keys=True)
    return Run("name", "setup", "noise", spec["method"], "folder", "labels", Resources(**asked), spec, recipe)


def past(spec, seconds, device="cpu", threads=1):
    return PastRun(history.kind_of(spec), tuple(spec[key] for key in history.BUDGET), device, threads, seconds)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cost_model.gpus, "devices", lambda: [])
    return tmp_path


def test_records_of_past_runs(digits, tmp_path):
    folder = tmp_path / "results/tiny/runs/a/seed0"
    folder.mkdir(parents=True)
    spec = specification("ls")
    job.train(**arguments(digits, folder, spec))
    table, metadata = parquet.read(folder / "metrics.parquet")
    (one,) = history.read(tmp_path / "results")
    assert one == replace(past(spec, one.seconds), seconds=table.column("seconds")[0].as_py())
    diverged = table.set_column(table.schema.get_field_index("diverged"), "diverged", pa.array([False, False, True]))
    for name, content in (("b", diverged), ("c", table.slice(0, 2))):  # the latter was cut short
        parquet.write(tmp_path / f"results/tiny/runs/{name}/metrics.parquet", content, metadata)
    damaged = tmp_path / "results/tiny/runs/d/metrics.parquet"
    damaged.parent.mkdir()
    damaged.write_text("no parquet")
    assert history.read(tmp_path / "results") == [one]


def test_runs_that_cost_the_same_and_runs_that_do_not():
    ivon = specification("ivon")
    same = [
        specification("ivon", seed=5, noise={"key": "other"}),
        {**ivon, "hyperparameters": {**ivon["hyperparameters"], "lr": 0.7}},
        specification("ivon", epochs=9),
    ]
    other = [
        specification("ls"),
        specification("ivon", batch_size=10),
        specification("ivon", augment=[]),
        {**ivon, "hyperparameters": {**ivon["hyperparameters"], "train_mc_samples": 2}},
        {**ivon, "hyperparameters": {**ivon["hyperparameters"], "hessian": "fixed"}},
        {**ivon, "dataset": {**ivon["dataset"], "options": {"test_size": 5}}},
    ]
    assert {history.kind_of(spec) for spec in same} == {history.kind_of(ivon)}
    assert history.kind_of(ivon) not in {history.kind_of(spec) for spec in other}


def test_devices_and_numbers_of_threads_are_never_mixed(project, monkeypatch):
    spec = specification("ls")
    pasts = [past(spec, 10.0), past(spec, 30.0), past(spec, 11.0), past(spec, 5.0, threads=4), past(spec, 1.0, "GPU A")]
    monkeypatch.setattr(history, "read", lambda: pasts)

    def cost(device=None, **resources):
        return cost_model.CostModel([], [], device, 0.0).of(run_of(spec, **resources))

    assert (cost().seconds, cost().source) == (11.0, "3 past runs on cpu")
    assert cost(threads=4).seconds == 5.0
    assert (cost(threads=2).seconds, cost(threads=2).source) == (11.0, "3 past runs on cpu, with 1 of its 2 threads")
    assert cost("gpu a", threads=2).source == "1 past run on GPU A"
    assert (cost(gpu=1).seconds, cost(gpu=1).source) == (
        1.0,
        "1 past run on GPU A",
    )  # no GPU here: a cluster's login node
    assert cost("cpu", gpu=1).seconds == 11.0
    assert cost("gpu a").seconds == 1.0
    with pytest.raises(UserError, match=r"unknown device 'H100'.*legal: GPU A, cpu"):
        cost_model.CostModel([], [], "H100", 0.0)


def test_another_budget_is_scaled_unless_there_is_the_same(project, monkeypatch):
    spec = specification("ls", epochs=30)
    pasts = [past(specification("ls", epochs=10), 7.0), past(specification("ls", epochs=20), 16.0)]
    monkeypatch.setattr(history, "read", lambda: pasts)
    scaled = cost_model.CostModel([], [], None, 0.0).of(run_of(spec))
    assert (scaled.seconds, scaled.source) == (22.5, "2 past runs on cpu, scaled by epochs")
    pasts.append(past(spec, 99.0))
    assert cost_model.CostModel([], [], None, 0.0).of(run_of(spec)).seconds == 99.0


def test_the_arithmetic_of_a_calibration():
    spec = specification("ivon", epochs=7, evaluate_every=3, batch_size=50, eval_mc_samples=5)
    timing = Timing("cpu", 5, 50, step=2.0, evaluation=0.1, readying=0.01, averaged=True, measuring=0.3)
    steps, evaluations = 7 * 4 * 2.0, 3 * (0.1 * (177 + 20 + 1600) + 0.01 * 177)
    expected = steps + evaluations + 5 * 1600 * 0.1
    assert cost_model.training_seconds(run_of(spec), DIGITS, timing) == pytest.approx(expected)
    few = cost_model.training_seconds(run_of({**spec, "train_eval_subset": 7}), DIGITS, replace(timing, averaged=False))
    assert few == pytest.approx(steps + 3 * (0.1 * (7 + 20 + 1600) + 0.01 * 177))


@pytest.mark.parametrize("method", registry.names("method"))
def test_a_calibration_times_real_steps_and_leaves_the_threads_as_asked(method, monkeypatch):
    steps = []
    module = registry.load("method", method)
    real = module.Training.step
    monkeypatch.setattr(
        module.Training, "step", lambda self, *given: (steps.append(len(given[0])), real(self, *given))[1]
    )
    spec = specification(method)
    timing = profiling.profile_run(spec, DIGITS, 1, "cpu", 30.0, measured=True)
    assert steps == [spec["batch_size"]] * (profiling.WARM_UP["cpu"] + timing.steps)
    assert timing.steps == profiling.STEPS["cpu"] and timing.device == "cpu"
    assert 0 < timing.evaluation < timing.step
    assert timing.averaged == (method == "ivon") == (timing.measuring is not None)
    steps.clear()
    short = profiling.profile_run(spec, DIGITS, 1, "cpu", 0.0)
    assert (short.steps, short.images, steps) == (1, 2, [2])
    assert short.measuring is None
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("method", registry.names("method"))
def test_bytes_of_checkpoints_and_posteriors(digits, tmp_path, method):
    spec = specification(method)
    saved = {}
    keep = loop.Trainer.state_dict

    def state_dict(self):
        saved["bytes"] = profiling._bytes(keep(self))
        return keep(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "state_dict", state_dict)
        job.train(**{**arguments(digits, tmp_path, spec), "checkpoint_epochs": 3})
    checkpoint, posterior = profiling.stored_bytes(spec, DIGITS)
    assert checkpoint == pytest.approx(saved["bytes"], rel=0.1)
    assert posterior == pytest.approx((tmp_path / "posterior.pt").stat().st_size, rel=0.15)


@pytest.mark.parametrize("name", ["digits", "digits_weak", "digit_pairs"])
def test_sizes_before_and_after_preparing(project, name):
    small = plan.Plan("small", Path(__file__).parents[2] / "config")
    run = next(run for run in small.runs.values() if run.specification["dataset"]["name"] == name)
    before = dataset_sizes.dataset_size(run)
    files = {file: f"{paths.DATASET.format(dataset=run.dataset_folder)}/{file}" for file in paths.DATASET_FILES}
    source = run.specification["dataset"]
    prepare.prepare(name, source["options"], source["data_seed"], files, None, NOWHERE)
    assert dataset_sizes.dataset_size(run) == replace(before, prepared=True)
    arrays = sum(Path(file).stat().st_size for file in files.values() if file.endswith(".npy"))
    assert before.data_bytes == pytest.approx(arrays, abs=1000)


def test_published_sizes_and_data_of_unknown_size(project):
    root = Path(__file__).parents[2] / "config"
    by_dataset = {run.setup: dataset_sizes.dataset_size(run) for run in plan.Plan("paper", root).runs.values()}
    assert {setup: (size.train, size.test, size.shape, size.classes) for setup, size in by_dataset.items()} == {
        "mnist": (60_000, 10_000, (1, 28, 28), 10),
        "cifar10": (50_000, 10_000, (3, 32, 32), 10),
        "cifar100": (50_000, 10_000, (3, 32, 32), 100),
        "clothing1m": (1_000_000, 10_526, (3, 224, 224), 14),
    }
    laptop = {run.setup: dataset_sizes.dataset_size(run) for run in plan.Plan("laptop", root).runs.values()}
    assert math.prod(laptop["fashion_pairs"].shape) == 14 * 28 and laptop["fashion_pairs"].classes == 100
    rehearsal = plan.Plan("rehearsal", root)
    assert {dataset_sizes.dataset_size(run) for run in rehearsal.runs.values()} == {
        None
    }  # other data in the same formats
    cost = cost_model.CostModel([], [], None, 60.0).of(next(iter(rehearsal.runs.values())))
    assert cost.seconds is None and "is known once it is prepared" in cost.source


def test_random_images_have_the_datasets_shape():
    prepared = profiling._random_images(7, replace(DIGITS, shape=(3, 5, 6)))
    assert prepared.arrays.train_images.shape == (7, 3, 5, 6)
    assert np.unique(prepared.arrays.train_labels).max() < 10


def test_no_torch_without_a_calibration(project, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('not to be imported')")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import adaptive_smoothing.pipeline.commands.cost_model"
    code += "; forecast.Costs([], [], 'cpu', 0.0)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
