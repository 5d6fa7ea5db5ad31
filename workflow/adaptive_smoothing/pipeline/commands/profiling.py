"""A few real steps of a run's own network and method on random images: what a run takes where none has been made."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import types
from adaptive_smoothing.methods.base import Context, Method, method_class
from adaptive_smoothing.models import build
from adaptive_smoothing.pipeline.commands.dataset_sizes import DatasetSize
from adaptive_smoothing.pipeline.plan import Specification
from adaptive_smoothing.theory import label_noise
from adaptive_smoothing.training import batches, devices, evaluation

WARM_UP, STEPS = {"cpu": 1, "cuda": 5}, {"cpu": 5, "cuda": 15}
IMAGES = batches.EVALUATION_BATCH  # evaluated at most
FEWEST_IMAGES = 8
GAIN = 3  # a training step costs about so many evaluations of its images
PROBE_IMAGES = 2  # evaluated first, to learn what a step may take
SLOW_S = 1.0  # a call that takes longer is not made a second time
TABLE_FEATURES, TABLE_CLASSES = 1000, 10  # of the linear network that tells how much state a method keeps


@dataclass(frozen=True)
class Timing:
    """Measured on a device: seconds of a step, and of an image in each kind of look at a trained network."""

    device: str
    steps: int  # that were timed
    images: int  # in each of them, where a whole batch would have taken too long; the time is scaled to one
    step: float
    evaluation: float  # an image
    readying: float  # a training image, before an evaluation
    averaged: bool  # whether the last evaluation averages over a posterior
    measuring: float | None  # an image and a sample of the label noise; None: not asked for, or no posterior


def profile_run(
    specification: Specification, size: DatasetSize, threads: int, device: str, seconds: float, measured: bool = False
) -> Timing:
    """Time a run's parts, measuring its label noise among them if asked, in about so many seconds (at least one step).

    Images are random ones of the dataset's shape, in memory; weights are random, too. Raises UserError for a device
    that is not there.
    """
    spec = RunSpec.model_validate(specification)
    chosen = devices.choose_device(device)
    devices.be_deterministic(chosen, threads, specification["performance"]["tf32"])
    count = specification["batch_size"] * (WARM_UP[chosen.type] + STEPS[chosen.type])
    prepared = _random_images(count, size)
    torch.manual_seed(specification["seed"])
    model = devices.configure(build.build_model(spec, prepared), spec.performance, chosen)
    method = _method(model, specification, size)
    images = batches.open_source(
        prepared, "train", None, chosen, specification["performance"]["channels_last"], 0, Path()
    )
    labels = torch.from_numpy(prepared.arrays.train_labels).to(chosen)
    two = next(images.in_order(PROBE_IMAGES))
    image = _timed(chosen, lambda: evaluation.log_probabilities(model, lambda: iter([two]))) / PROBE_IMAGES
    whole: int = specification["batch_size"]
    batch = min(whole, max(PROBE_IMAGES, int(seconds / 4 / (GAIN * image))))
    step, steps = _time_steps(method, images, labels, {**specification, "batch_size": batch}, seconds / 2)
    few = int(np.clip(seconds / 10 / image, FEWEST_IMAGES, IMAGES))
    some = _repeated(next(images.in_order(few)), few)
    return Timing(
        device=devices.device_name(chosen),
        steps=steps,
        images=batch,
        step=step * whole / batch,
        evaluation=_timed(chosen, lambda: evaluation.log_probabilities(model, lambda: iter([some]))) / len(some),
        readying=_timed(chosen, lambda: _ready(method, some)) / len(some),
        averaged=method.posterior_std() is not None,
        measuring=_time_measuring(model, method, some, specification["seed"]) if measured else None,
    )


def _random_images(count: int, size: DatasetSize) -> types.Prepared:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, *size.shape), dtype=np.uint8)
    labels = generator.integers(0, size.classes, count, dtype=np.int64)
    classes = tuple(map(str, range(size.classes)))
    arrays = types.Arrays(pixels, labels, labels, pixels[:1], labels[:1], classes, "random numbers")
    middle, spread = (np.full(size.shape[0], value, dtype=np.float32) for value in (0.5, 0.25))
    return types.Prepared(arrays, middle, spread, "")


def _repeated(images: Tensor, count: int) -> Tensor:
    """Return so many images, the same ones again where there are fewer."""
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def _method(model: nn.Module, specification: Specification, size: DatasetSize) -> Method:
    module = registry.load("method", specification["method"])
    hyperparameters = module.Hyperparameters(**specification["hyperparameters"])
    method: Method = method_class(module)(model, hyperparameters, Context(size.train, size.classes))
    method.set_learning_rate(hyperparameters.lr / 100)  # random labels: the loss shall stay finite
    return method


def _time_steps(
    method: Method, images: batches.ImageSource, labels: Tensor, specification: Specification, seconds: float
) -> tuple[float, int]:
    """Return the median time of a step, and of how many; the first ones are not counted, unless time is up."""
    method.model.train()
    marks = [time.perf_counter()]
    for pixels, indices in images.shuffled(specification["batch_size"], specification["augment"], 0, 0):
        method.step(pixels, labels[indices], indices)
        _synchronise(labels.device)
        marks.append(time.perf_counter())
        if marks[-1] - marks[0] > seconds:
            break
    steps = np.diff(marks)
    steps = steps[WARM_UP[labels.device.type] :] if len(steps) > WARM_UP[labels.device.type] else steps
    return float(np.median(steps)), len(steps)


def _ready(method: Method, images: Tensor) -> None:
    with method.evaluation_mode(lambda: iter([images])):
        pass


def _time_measuring(model: nn.Module, method: Method, images: Tensor, seed: int) -> float | None:
    """Return the time of one sample of label noise for one image; None where the method has no posterior."""
    if (std := method.posterior_std()) is None:
        return None
    scales = {name: value.detach() for name, value in std.items()}
    mean = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def measure(samples: int) -> Callable[[], Any]:
        generator = torch.Generator().manual_seed(seed)
        return lambda: label_noise.estimate_label_noise(model, mean, scales, lambda: iter([images]), samples, generator)

    one = _timed(images.device, measure(1))
    if one > SLOW_S:
        return one / len(images)  # a little too much: the mean's own look at the images comes once a measurement
    return max(_timed(images.device, measure(2)) - one, one / 2) / len(images)


def _timed(device: torch.device, call: Callable[[], Any]) -> float:
    """Return the time of the faster of two calls, the first of which may prepare kernels; of one where that is slow."""
    times: list[float] = []
    while len(times) < 2 and sum(times) < SLOW_S:
        _synchronise(device)
        begun = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - begun)
    return min(times)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stored_bytes(specification: Specification, size: DatasetSize) -> tuple[int, int]:
    """Return the bytes of a run's checkpoint and of its posterior.pt, from its network's shapes; nothing is trained."""
    prepared = _random_images(1, size)
    with torch.device("meta"):
        model = build.build_model(RunSpec.model_validate(specification), prepared)
    weights = _bytes(dict(model.state_dict()))
    parameters = sum(parameter.nbytes for parameter in model.parameters())
    kept, spread = _kept_by_method(specification)
    return round(weights + kept * parameters), round(weights + spread * parameters)


def _kept_by_method(specification: Specification) -> tuple[float, float]:
    """Return how many times the parameters' bytes a method keeps in a checkpoint, and in a posterior."""
    network = nn.Linear(TABLE_FEATURES, TABLE_CLASSES)
    size = DatasetSize(TABLE_CLASSES, 0, 1, (1, 1, TABLE_FEATURES), TABLE_CLASSES, False, False)
    method = _method(network, specification, size)
    labels = torch.arange(TABLE_CLASSES)
    method.step(torch.randn(TABLE_CLASSES, TABLE_FEATURES), labels, labels)
    own = sum(parameter.nbytes for parameter in network.parameters())
    return _bytes(method.state_dict()) / own, _bytes(method.posterior_std() or {}) / own


def _bytes(state: Any) -> int:
    """Return the bytes of all tensors in nested mappings and sequences."""
    if isinstance(state, Tensor):
        return state.nbytes
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list | tuple) else 0
