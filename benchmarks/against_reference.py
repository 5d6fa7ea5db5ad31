"""Whole trainings against plain scripts: python benchmarks/against_reference.py [--seeds N].

The small scale's runs with 20 % symmetric noise, each method once with this library and once as a literal script
(benchmarks/reference/: DataLoader, transforms image by image, .item() at every step), on the same network, images,
labels, steps, hyper-parameters and seeds, on one thread. In turn, in one process; a whole run is opening the data,
making the model, training and evaluating. The library evaluates more (training and validation images, for IVON 16
samples of the posterior) and writes its metrics with fsync; the scripts evaluate the test images alone, at the same
epochs. Prints each method's median processor times (on an idle machine those are the wall times: all is one thread),
their ratio, and mean ± standard deviation over seeds of the last test accuracy.
"""

import argparse
import contextlib
import importlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from reference import common
from torch.utils.data import DataLoader

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.specification import NoiseSpec, RunSpec
from adaptive_smoothing.data import labels, prepare, storage
from adaptive_smoothing.models import build
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.training import job

SCALE = "small"
NOISE = "symmetric20"
RUNS: dict[str, dict[str, Any]] = {"ls": {"alpha": 0.3}, "sam": {"rho": 0.1}, "ols": {}, "ivon": {"hessian": "learned"}}


def spec_of(planned: plan.Plan, method: str, seed: int) -> RunSpec:
    """Return a run's specification: of a method with the noise, the seed and the hyper-parameters that RUNS names."""
    for run in planned.runs.values():
        settings = run.spec.hyperparameters
        chosen = all(settings.get(key) == value for key, value in RUNS[method].items())
        if run.setup == "digits" and run.method == method and chosen:
            noise = NoiseSpec(key=NOISE, **planned.noise(NOISE))
            return run.spec.model_copy(update={"noise": noise, "seed": seed})
    raise LookupError(f"no run of {method} with {RUNS[method]} in scale {SCALE}")


def written(folder: Path, planned: plan.Plan) -> tuple[str, str]:
    """Make dataset and noisy labels as the rules do; return the dataset's folder and the labels' file."""
    run = next(run for run in planned.runs.values() if run.setup == "digits")
    source = planned.sources()[run.dataset_folder]
    dataset = folder / run.dataset_folder
    files = {name: str(dataset / name) for name in paths.DATASET_FILES}
    prepare.prepare(**source, files=files, source={"root": str(folder), "mirrors": [], "fetch": False})
    noisy = str(folder / "labels.parquet")
    split = planned.split(run.dataset_folder)
    labels.corrupt_labels(str(dataset), planned.noise(NOISE), planned.scale.noise_seed, **split, output=noisy)
    return str(dataset), noisy


def library(folder: Path, spec: RunSpec, dataset: str, noisy: str) -> float:
    """Train with the library; return the last test accuracy."""
    metrics = str(folder / "metrics.parquet")
    with contextlib.redirect_stdout(io.StringIO()):
        job.train(
            specification=spec.plain(),
            run="run",
            scale=SCALE,
            dataset=dataset,
            labels=noisy,
            metrics=metrics,
            code={},
            checkpoint_minutes=10,
            machine={"device": "cpu"},
        )
    accuracy: float = pq.read_table(metrics).column("test_accuracy")[-1].as_py()
    return accuracy


def script(spec: RunSpec, dataset: str, noisy: str) -> float:
    """Train with the literal script; return the last test accuracy."""
    prepared = storage.open_prepared(dataset)
    frame, _ = parquet.read_frame(noisy)
    rows = np.flatnonzero(frame["split"] == "train")
    arrays = prepared.arrays
    transform = common.transform(prepared.mean.tolist(), prepared.std.tolist())
    train = common.Images(np.asarray(arrays.train_images)[rows], frame["noisy"].to_numpy()[rows], transform)
    test = common.Images(np.asarray(arrays.test_images), np.asarray(arrays.test_labels), transform)
    torch.manual_seed(spec.seed)
    model = build.build_model(spec, prepared)
    method = importlib.import_module(f"reference.{spec.method}")
    extra = {"classes": len(arrays.classes), "train_size": len(train)}
    accuracy: float = method.train(
        model,
        DataLoader(train, spec.batch_size, shuffle=True),
        DataLoader(test, 1000),
        spec.epochs,
        spec.evaluate_every,
        {**spec.hyperparameters, **extra},
    )
    return accuracy


def timed(function: Callable[..., float], *arguments: object) -> tuple[float, float]:
    """Return processor time and test accuracy of a training."""
    began = time.process_time()
    accuracy = function(*arguments)
    return time.process_time() - began, accuracy


def spread(values: list[float]) -> str:
    """Return mean ± standard deviation, in per cent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f} %"


def main() -> None:
    """Print a line a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    planned = plan.Plan(SCALE)
    print("method | script | library | script / library | test accuracy: script | library")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset, noisy = written(folder, planned)
        for method in RUNS:
            specifications = [spec_of(planned, method, seed) for seed in seeds]
            library(folder, specifications[0], dataset, noisy)  # whatever is imported or compiled once a process
            pairs = [
                (timed(script, one, dataset, noisy), timed(library, folder, one, dataset, noisy))
                for one in specifications
            ]
            slow, fast = (statistics.median(seconds for seconds, _ in column) for column in zip(*pairs, strict=True))
            accuracies = [spread([accuracy for _, accuracy in column]) for column in zip(*pairs, strict=True)]
            print(f"{method} | {slow:.2f} s | {fast:.2f} s | {slow / fast:.2f} | {' | '.join(accuracies)}", flush=True)


if __name__ == "__main__":
    main()
