"""A few real steps and a real evaluation of a run's trainer on random images: its cost where no past run tells it."""

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data.types import Arrays, Prepared
from adaptive_smoothing.pipeline.commands.estimate.dataset_sizes import DatasetSize
from adaptive_smoothing.theory import label_noise
from adaptive_smoothing.training import devices, evaluation
from adaptive_smoothing.training.devices import Machine
from adaptive_smoothing.training.evaluator import Evaluator
from adaptive_smoothing.training.loop import Trainer
from adaptive_smoothing.training.split import TrainingLabels, open_splits

WARM_UP, STEPS = {"cpu": 1, "cuda": 5}, {"cpu": 5, "cuda": 15}  # steps before those that count, and those
FEWEST_IMAGES, MOST_IMAGES = 8, 1000  # of an evaluation
PROBE_IMAGES = 2  # evaluated first, to learn how long a step may take
GAIN = 3  # forward and backward pass of an image take about as long as this number of evaluations of it
SLOW_S = 1.0  # a call that takes longer is not repeated


@dataclass(frozen=True)
class Timing:
    """Seconds on a device: of a step with a whole batch, and of an image in each kind of look at a trained network."""

    device: str
    steps: int  # that were timed
    images: int  # in each of them; fewer than a batch if a whole one takes too long, and then `step` is scaled
    step: float
    evaluation: float  # an image
    readying: float  # a training image, before an evaluation
    measuring: float | None  # an image and a sample of the label noise; None: not asked for, or no posterior


def profile_run(spec: RunSpec, size: DatasetSize, machine: Machine, seconds: float, measured: bool = False) -> Timing:
    """Time the parts of a run, its label noise among them if `measured`, in about `seconds` (at least one step).

    Images and weights are random; images are in memory. Raises UserError for a device that is not available.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the trainer's log lines
        return _profile(spec, size, machine, seconds, measured)


def _profile(spec: RunSpec, size: DatasetSize, machine: Machine, seconds: float, measured: bool) -> Timing:
    rate = spec.hyperparameters["lr"] / 100  # random labels: the loss shall stay finite
    spec = spec.model_copy(update={"hyperparameters": {**spec.hyperparameters, "lr": rate}, "train_eval_subset": None})
    device = devices.start(machine)
    count = spec.batch_size * (WARM_UP[device.type] + STEPS[device.type])
    trainer = Trainer(spec, *random_data(count, size), machine, pretrained=False)
    two = next(trainer.splits.train.images.in_order(PROBE_IMAGES))
    image = _timed(device, lambda: evaluation.log_probabilities(trainer.model, lambda: iter([two]))) / PROBE_IMAGES
    batch = _batch_that_fits(trainer, image, seconds / 2)
    step, steps = _time_steps(trainer, batch, seconds / 2)
    few = int(np.clip(seconds / 10 / image, FEWEST_IMAGES, MOST_IMAGES))
    readying, evaluating = _time_evaluation(trainer, few, size, machine)
    return Timing(
        device=devices.device_name(device),
        steps=steps,
        images=batch,
        step=step * spec.batch_size / batch,
        evaluation=evaluating,
        readying=readying,
        measuring=_time_measuring(trainer, few, evaluating) if measured else None,
    )


def random_data(count: int, size: DatasetSize) -> tuple[Prepared, TrainingLabels]:
    """Return `count` random training images of a dataset's shape, which are the test images as well, with labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *size.shape), dtype=np.uint8)
    labels = generator.integers(0, size.classes, count, dtype=np.int64)
    classes = tuple(map(str, range(size.classes)))
    arrays = Arrays(images, labels, labels, images, labels, classes, "random numbers")
    mean, std = (np.full(size.shape[0], value, dtype=np.float32) for value in (0.5, 0.25))
    return Prepared(arrays, mean, std, ""), TrainingLabels(labels, labels, np.zeros(count, dtype=np.bool_))


def _batch_that_fits(trainer: Trainer, image: float, seconds: float) -> int:
    """Return the images of a step that takes about `seconds` at most: a whole batch, else a part of one.

    `image` is the time in which an image is evaluated.
    """
    fitting = seconds / (image * GAIN * trainer.method.gradients_per_step)
    return min(trainer.spec.batch_size, max(PROBE_IMAGES, int(fitting)))


def _time_steps(trainer: Trainer, batch: int, seconds: float) -> tuple[float, int]:
    """Return the median time of a step, and of how many; the first ones do not count, unless time is up."""
    warm_up, count = WARM_UP[trainer.device.type], STEPS[trainer.device.type]
    batches = trainer.splits.train.images.shuffled(batch, trainer.spec.augment, trainer.spec.seed, epoch=0)
    trainer.model.train()
    marks = [time.perf_counter()]
    while len(marks) <= warm_up + count and marks[-1] - marks[0] <= seconds:
        trainer.step(*next(batches))
        _synchronise(trainer.device)
        marks.append(time.perf_counter())
    steps = np.diff(marks)
    steps = steps[warm_up:] if len(steps) > warm_up else steps
    return float(np.median(steps)), len(steps)


def _time_evaluation(trainer: Trainer, count: int, size: DatasetSize, machine: Machine) -> tuple[float, float]:
    """Return the time in which a training image is readied for an evaluation, and the one in which one is evaluated."""
    splits = open_splits(trainer.spec, *random_data(count, size), trainer.device, machine)
    evaluator = Evaluator(trainer.method, splits, None)

    def ready() -> None:
        with trainer.method.evaluation_mode(splits.train.images.in_order):
            pass

    readying = _timed(trainer.device, ready)
    whole = _timed(trainer.device, lambda: evaluator.evaluate(last=False))
    images = len(splits.train_subset) + len(splits.test)
    return readying / count, max(whole - readying, 0.0) / images


def _time_measuring(trainer: Trainer, count: int, evaluating: float) -> float | None:
    """Return the time of one sample of label noise for one image; None if the method has no posterior.

    A draw serves all images of a run, so only the time counts that grows with the images, from few of them to `count`.
    It is at least that of `evaluating` an image.
    """
    if (std := trainer.method.posterior_std()) is None:
        return None
    images = next(trainer.splits.train.images.in_order(count))
    mean = {name: parameter.detach() for name, parameter in trainer.model.named_parameters()}
    scales = {name: value.detach() for name, value in std.items()}

    def seconds_for(part: Tensor) -> float:
        noise = partial(label_noise.estimate_label_noise, trainer.model, mean, scales, lambda: iter([part]), 1)
        return _timed(trainer.device, lambda: noise(torch.Generator().manual_seed(0)))

    slope = (seconds_for(images) - seconds_for(images[:PROBE_IMAGES])) / (len(images) - PROBE_IMAGES)
    return max(slope, evaluating)


def _timed(device: torch.device, call: Callable[[], object]) -> float:
    """Return the time of the faster of two calls, the first of which may prepare kernels; of one if that is slow."""
    times: list[float] = []
    while len(times) < 2 and sum(times) < SLOW_S:
        _synchronise(device)
        began = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - began)
    return min(times)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
