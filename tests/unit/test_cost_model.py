"""What runs cost: which past runs may be compared, the arithmetic of a profile, sizes before anything is prepared."""

import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from cases import NOWHERE, ROOT, arguments, has_posterior, specification

from adaptive_smoothing.core import parquet, paths, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare
from adaptive_smoothing.methods.base import method_class
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands.estimate import cost_model, history, profiling
from adaptive_smoothing.pipeline.commands.estimate.cost_model import CostModel, Profiler
from adaptive_smoothing.pipeline.commands.estimate.dataset_sizes import DatasetSize, dataset_size
from adaptive_smoothing.pipeline.commands.estimate.history import PastRun
from adaptive_smoothing.pipeline.commands.estimate.profiling import Timing
from adaptive_smoothing.pipeline.plan import Run
from adaptive_smoothing.pipeline.scales import Resources
from adaptive_smoothing.training import job
from adaptive_smoothing.training.devices import Machine

DIGITS = DatasetSize(177, 20, 1600, (1, 8, 8), 10, False)
NO_STEPS = Profiler("cpu", 0.0)


def run_of(spec, **resources):
    asked = {"threads": 1, "gpu": 0, "mem_mb": 1, "runtime": 1, "checkpoint_minutes": 1, **resources}
    return Run("name", "setup", "noise", spec.method, "folder", "labels", Resources(**asked), spec, spec.as_text())


def past(spec, seconds, device="cpu", threads=1):
    return PastRun(history.kind_of(spec), history.budget_of(spec), device, threads, seconds)


def test_records_of_past_runs(digits, tmp_path):
    folder = tmp_path / "results/tiny/runs/a/seed0"
    folder.mkdir(parents=True)
    spec = specification("ls")
    job.train(**arguments(digits, folder, spec))
    table, metadata = parquet.read(folder / "metrics.parquet")
    (one,) = history.read(tmp_path / "results")
    assert one == past(spec, table.column("seconds")[0].as_py())
    diverged = table.set_column(table.schema.get_field_index("diverged"), "diverged", pa.array([False, False, True]))
    for name, content in (("b", diverged), ("c", table.slice(0, 2))):  # the latter was cut short
        parquet.write(tmp_path / f"results/tiny/runs/{name}/metrics.parquet", content, metadata)
    damaged = tmp_path / "results/tiny/runs/d/metrics.parquet"
    damaged.parent.mkdir()
    damaged.write_text("no parquet")
    assert history.read(tmp_path / "results") == [one]


def test_runs_that_cost_the_same_and_runs_that_do_not():
    same = [
        specification("ivon", seed=5, noise={"key": "other"}),
        specification("ivon", hyperparameters={"lr": 0.7}),
        specification("ivon", epochs=9),
    ]
    other = [
        specification("ls"),
        specification("ivon", batch_size=10),
        specification("ivon", augment=[]),
        specification("ivon", hyperparameters={"train_mc_samples": 2}),
        specification("ivon", hyperparameters={"hessian": "fixed"}),
        specification("ivon", dataset={"options": {"test_size": 5}}),
    ]
    ivon = history.kind_of(specification("ivon"))
    assert {history.kind_of(spec) for spec in same} == {ivon}
    assert ivon not in {history.kind_of(spec) for spec in other}


def test_devices_and_numbers_of_threads_are_never_mixed():
    spec = specification("ls")
    pasts = [past(spec, 10.0), past(spec, 30.0), past(spec, 11.0), past(spec, 5.0, threads=4), past(spec, 1.0, "GPU A")]

    def cost(device=None, **resources):
        estimate = CostModel(pasts, NO_STEPS, device).of_training(run_of(spec, **resources))
        return estimate.seconds, estimate.source

    assert cost() == (11.0, "3 past runs on cpu")
    assert cost(threads=4) == (5.0, "1 past run on cpu")
    assert cost(threads=2) == (11.0, "3 past runs on cpu, with 1 of its 2 threads")
    assert cost("gpu a", threads=2) == (1.0, "1 past run on GPU A")
    assert cost(gpu=1) == (1.0, "1 past run on GPU A")  # no GPU here: a cluster's login node
    assert cost("cpu", gpu=1) == (11.0, "3 past runs on cpu")
    with pytest.raises(UserError, match=r"unknown device 'H100'.*legal: GPU A, cpu"):
        CostModel(pasts, NO_STEPS, "H100")


def test_another_budget_is_scaled_unless_there_is_the_same():
    run = run_of(specification("ls", epochs=30))
    pasts = [past(specification("ls", epochs=10), 7.0), past(specification("ls", epochs=20), 16.0)]
    scaled = CostModel(pasts, NO_STEPS).of_training(run)
    assert (scaled.seconds, scaled.source) == (22.5, "2 past runs on cpu, scaled by epochs")
    assert CostModel([*pasts, past(run.spec, 99.0)], NO_STEPS).of_training(run).seconds == 99.0


def test_the_arithmetic_of_a_profile():
    spec = specification("ivon", epochs=7, evaluate_every=3, batch_size=50, eval_mc_samples=5)
    timing = Timing("cpu", 5, 50, step=2.0, evaluation=0.1, readying=0.01, measuring=0.3)
    steps, evaluations = 7 * 4 * 2.0, 3 * (0.1 * (177 + 20 + 1600) + 0.01 * 177)
    expected = steps + evaluations + 5 * 1600 * 0.1
    assert cost_model.training_seconds(run_of(spec), DIGITS, timing) == pytest.approx(expected)
    few = spec.model_copy(update={"train_eval_subset": 7, "eval_mc_samples": None})
    assert cost_model.training_seconds(run_of(few), DIGITS, timing) == pytest.approx(
        steps + 3 * (0.1 * (7 + 20 + 1600) + 0.01 * 177)
    )


@pytest.mark.parametrize("name", registry.names("method"))
def test_a_profile_times_real_steps_on_the_threads_of_the_run(name, monkeypatch, capsys):
    batches = []
    method = method_class(registry.load("method", name))
    monkeypatch.setattr(
        method, "step", lambda self, *batch, real=method.step: (batches.append(len(batch[0])), real(self, *batch))[1]
    )
    spec = specification(name)
    timing = profiling.profile_run(spec, DIGITS, Machine(), 30.0, measured=True)
    assert batches == [spec.batch_size] * (profiling.WARM_UP["cpu"] + timing.steps)
    assert timing.steps == profiling.STEPS["cpu"] and timing.device == "cpu"
    assert 0 < timing.evaluation < timing.step
    assert has_posterior(name) == (timing.measuring is not None)
    batches.clear()
    short = profiling.profile_run(spec, DIGITS, Machine(), 0.0)
    assert (short.steps, short.images, batches) == (1, 2, [2])
    assert short.measuring is None
    assert torch.get_num_threads() == 1
    assert capsys.readouterr().out == ""


def test_kinds_of_runs_are_profiled_once_and_share_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing is prepared here
    profiler = Profiler("cpu", 1.0)
    model = CostModel([], profiler)
    runs = [run_of(spec) for spec in (specification("ls"), specification("ls", seed=2, epochs=6), specification("sam"))]
    model.expect(runs, [])
    first, second, other = (model.of_training(run) for run in runs)
    assert second.seconds == pytest.approx(2 * first.seconds) and other.seconds != first.seconds
    assert all(cost.source.startswith("measured here: ") for cost in (first, second, other))
    assert profiler.left > 0
    assert "no time left" in CostModel([], NO_STEPS).of_training(runs[0]).source


@pytest.mark.parametrize("name", ["digits", "digits_weak", "digit_pairs"])
def test_sizes_before_and_after_preparing(tmp_path, monkeypatch, name):
    small = plan.Plan("small", ROOT / "config")
    monkeypatch.chdir(tmp_path)
    run = next(run for run in small.runs.values() if run.spec.dataset.name == name)
    before = dataset_size(run)
    files = {file: f"{paths.DATASET.format(dataset=run.dataset_folder)}/{file}" for file in paths.DATASET_FILES}
    prepare.prepare(name, run.spec.dataset.options, run.spec.dataset.data_seed, files, None, NOWHERE)
    assert dataset_size(run) == before


def test_published_sizes_and_data_of_unknown_size(tmp_path, monkeypatch):
    paper, laptop, rehearsal = (plan.Plan(scale, ROOT / "config") for scale in ("paper", "laptop", "rehearsal"))
    monkeypatch.chdir(tmp_path)  # nothing is prepared here
    sizes = {run.setup: dataset_size(run) for run in paper.runs.values()}
    assert {setup: (size.train, size.test, size.shape, size.classes) for setup, size in sizes.items()} == {
        "mnist": (60_000, 10_000, (1, 28, 28), 10),
        "cifar10": (50_000, 10_000, (3, 32, 32), 10),
        "cifar100": (50_000, 10_000, (3, 32, 32), 100),
        "clothing1m": (1_000_000, 10_526, (3, 224, 224), 14),
    }
    pairs = {run.setup: dataset_size(run) for run in laptop.runs.values()}["fashion_pairs"]
    assert (pairs.shape, pairs.classes) == ((1, 14, 28), 100)
    unknown = next(iter(rehearsal.runs.values()))  # other data in the same formats
    assert {dataset_size(run) for run in rehearsal.runs.values()} == {None}
    cost = CostModel([], Profiler("cpu", 60.0)).of_training(unknown)
    assert cost.seconds is None and "is known once it is prepared" in cost.source


def test_random_data_have_the_datasets_shape():
    prepared, labels = profiling.random_data(7, replace(DIGITS, shape=(3, 5, 6)))
    assert prepared.arrays.train_images.shape == (7, 3, 5, 6)
    assert labels.noisy.max() < 10 and len(labels.train_rows) == 7


def test_no_torch_without_a_profile(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('not to be imported')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from adaptive_smoothing.pipeline.commands.estimate import command"
    )
    code += "; command.CostModel(command.history.read(), command.Profiler('cpu', 0.0))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
