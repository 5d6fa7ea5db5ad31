"""The one training loop. A run is a pure function of its specification.

The same specification on the same kind of machine gives the same metrics, timings aside.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import BaseHyperparameters
from adaptive_smoothing.core.progress import Clock, ProgressWriter
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data.types import Prepared
from adaptive_smoothing.methods.base import Context, Method, method_class
from adaptive_smoothing.models.build import build_model, load_pretrained
from adaptive_smoothing.training import devices
from adaptive_smoothing.training.checkpoint import Checkpoint, State, generators, set_generators
from adaptive_smoothing.training.cuda_graph import CapturedStep
from adaptive_smoothing.training.devices import Machine
from adaptive_smoothing.training.evaluator import Evaluator, Row
from adaptive_smoothing.training.schedules import learning_rate
from adaptive_smoothing.training.split import TrainingLabels, open_splits


@dataclass
class Position:
    """How far a run is, between two steps."""

    loss_sum: Tensor  # of the examples of the current epoch, a scalar on the device
    epoch: int = 0  # finished epochs
    steps: int = 0  # of the current epoch
    rows: list[Row] = field(default_factory=list)  # of the evaluated epochs
    restarts: int = 0
    seconds: float = 0.0  # that earlier attempts spent, up to their last checkpoint
    processor_seconds: float = 0.0  # likewise, of processor time


class Trainer:
    """Data, model and method of one run, and its position."""

    def __init__(
        self,
        spec: RunSpec,
        prepared: Prepared,
        labels: TrainingLabels,
        machine: Machine,
        pretrained: bool = True,
    ) -> None:
        """Make model and method; the training seed determines the initial weights.

        Without `pretrained` all weights are random, also where the specification names pretrained ones.
        """
        self.began, self.processor_began = time.perf_counter(), time.process_time()
        self.spec = spec
        self.device = devices.start(machine, spec.performance.tf32)
        self.splits = open_splits(spec, prepared, labels, self.device, machine)
        torch.manual_seed(spec.seed)
        network = build_model(spec, prepared)
        if pretrained:
            load_pretrained(network, spec, machine.data_root, machine.fetch)
        self.model = devices.configure(network, spec.performance, self.device)
        module = registry.load("method", spec.method)
        self.hyperparameters: BaseHyperparameters = module.Hyperparameters(**spec.hyperparameters)
        context = Context(train_size=len(self.splits.train), classes=len(prepared.arrays.classes))
        self.method: Method = method_class(module)(self.model, self.hyperparameters, context)
        self.evaluator = Evaluator(self.method, self.splits, spec.eval_mc_samples)
        captured = spec.batch_size if spec.performance.cuda_graph else None
        self.method_step = CapturedStep(self.method.step, captured, self.device)
        self.position = Position(torch.zeros((), device=self.device))
        self.rate = math.nan  # of the last step

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches of an epoch; the last one may be smaller."""
        return -(-len(self.splits.train) // self.spec.batch_size)

    @property
    def finished(self) -> bool:
        """Return whether all epochs are trained, or the loss was no longer finite."""
        rows = self.position.rows
        return self.position.epoch >= self.spec.epochs or (bool(rows) and rows[-1]["diverged"])

    def steps(self) -> Iterator[None]:
        """Do what is left of the current epoch; yield after each step."""
        spec, position = self.spec, self.position
        self.model.train()
        for images, indices in self.splits.train.images.shuffled(
            spec.batch_size, spec.augment, spec.seed, position.epoch, skipped=position.steps
        ):
            self.step(images, indices)
            yield

    def step(self, images: Tensor, indices: Tensor) -> None:
        """Do one step on a batch of training images (B × C × H × W) at places `indices` (B) of the training set."""
        position, settings = self.position, self.hyperparameters
        number = position.epoch * self.steps_per_epoch + position.steps
        self.rate = learning_rate(settings.schedule, settings.lr, number, self.steps_per_epoch, self.spec.epochs)
        self.method.set_learning_rate(self.rate)
        loss = self.method_step(images, self.splits.train.labels[indices], indices)
        position.loss_sum += loss * len(indices)
        position.steps += 1

    def end_epoch(self) -> float:
        """Finish the current epoch; return the mean loss over all its examples."""
        position = self.position
        self.method.epoch_end()
        loss = position.loss_sum.item() / len(self.splits.train)
        position.epoch, position.steps = position.epoch + 1, 0
        position.loss_sum.zero_()
        return loss

    def is_evaluated(self, loss: float) -> bool:
        """Return whether the epoch that has just ended with this loss is evaluated: every n-th, and the last."""
        epoch, spec = self.position.epoch, self.spec
        return math.isfinite(loss) and (epoch == spec.epochs or epoch % spec.evaluate_every == 0)

    def record_epoch(self, loss: float) -> Row | None:
        """Evaluate the epoch that has just ended; return its row of metrics, None if it has none.

        An epoch whose loss is not finite has a row that says so, and is the run's last.
        """
        epoch = self.position.epoch
        row: Row = {"epoch": epoch, "train_loss": loss, "diverged": not math.isfinite(loss)}
        if self.is_evaluated(loss):
            row |= self.evaluator.evaluate(last=epoch == self.spec.epochs)
        elif not row["diverged"]:
            return None
        row["gradient_evaluations"] = epoch * self.steps_per_epoch * self.method.gradients_per_step
        self.position.rows.append(row)
        return row

    def seconds(self) -> float:
        """Return the time spent on this run, earlier attempts up to their last checkpoint included."""
        return self.position.seconds + time.perf_counter() - self.began

    def processor_seconds(self) -> float:
        """Return the processor time of all threads of the training's process; whatever runs beside it adds nothing."""
        return self.position.processor_seconds + time.process_time() - self.processor_began

    def state_dict(self) -> State:
        """Return everything that a resumed run needs, between two steps."""
        return {
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "generators": generators(),
            "position": {
                **vars(self.position),
                "seconds": self.seconds(),
                "processor_seconds": self.processor_seconds(),
            },
        }

    def load_state_dict(self, state: State) -> None:
        """Resume where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        set_generators(state["generators"])
        position = Position(**state["position"])
        position.loss_sum = position.loss_sum.to(self.device)
        position.restarts += 1
        self.position = position


def train_epochs(trainer: Trainer, checkpoint: Checkpoint, heartbeat: ProgressWriter) -> list[Row]:
    """Train what is left of all epochs; return a row of measures for each evaluated one (always the last).

    A run that diverges ends there: nothing comes after a loss that is not finite.
    """
    spec, position = trainer.spec, trainer.position
    clock = Clock(spec.epochs, position.epoch, position.steps / trainer.steps_per_epoch)
    device = devices.device_name(trainer.device)
    heartbeat.begin(clock, trainer.steps_per_epoch, spec.batch_size, device, position.restarts)
    while not trainer.finished:
        began, left = time.perf_counter(), trainer.steps_per_epoch - position.steps
        for _ in trainer.steps():
            checkpoint.after_step(trainer.state_dict)
            heartbeat.step(position.epoch, position.steps)
        loss = trainer.end_epoch()
        images_per_second = left * spec.batch_size / (time.perf_counter() - began)
        if trainer.is_evaluated(loss):
            heartbeat.evaluate(position.epoch, images_per_second)
        row = trainer.record_epoch(loss)
        log(clock.line(position.epoch, loss, trainer.rate, images_per_second, row or {}))
        heartbeat.epoch_end(position.epoch, images_per_second)
        checkpoint.after_epoch(position.epoch, trainer.state_dict)
    return position.rows
