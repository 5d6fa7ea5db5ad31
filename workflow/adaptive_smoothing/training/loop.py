"""The one training loop: from a run's specification to metrics.parquet and, where asked for, posterior.pt.

A run is a pure function of its specification: the same specification on the same kind of machine gives the same
metrics, timings aside.
"""

import hashlib
import math
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaptive_smoothing.core import parquet, progress, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.progress import ProgressWriter
from adaptive_smoothing.data import storage, types
from adaptive_smoothing.methods.base import Context, Method, method_class
from adaptive_smoothing.models.build import build_model, load_pretrained
from adaptive_smoothing.training import batches, cuda_graph, devices, evaluation, metrics
from adaptive_smoothing.training.batches import ImageSource
from adaptive_smoothing.training.checkpoint import Checkpoint, State, generators, set_generators
from adaptive_smoothing.training.schedules import learning_rate

Row = dict[str, Any]


class Trainer:
    """Data, model and method of one run."""

    def __init__(
        self,
        specification: dict[str, Any],
        dataset: str,
        labels: str,
        threads: int = 1,
        device: str = "auto",
        data_root: str = "",
        fetch: bool = False,
    ) -> None:
        """Open the data and make model and method; the training seed determines the initial weights."""
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.specification = specification
        self.device = devices.choose_device(device)
        devices.be_deterministic(self.device, threads, specification["performance"]["tf32"])
        prepared = storage.open_prepared(dataset)
        # The training process itself is one of the threads.
        self._load(prepared, labels, workers=threads - 1, data_root=data_root)
        torch.manual_seed(specification["seed"])
        network = build_model(specification, prepared)
        load_pretrained(network, specification, Path(data_root), fetch)
        self.model = devices.configure(network, specification["performance"], self.device)
        module = registry.load("method", specification["method"])
        self.hyperparameters = module.Hyperparameters(**specification["hyperparameters"])
        context = Context(train_size=len(self.train), classes=len(prepared.arrays.classes))
        self.method: Method = method_class(module)(self.model, self.hyperparameters, context)
        captured = specification["batch_size"] if specification["performance"]["cuda_graph"] else None
        self.step = cuda_graph.CapturedStep(self.method.step, captured, self.device)
        self.steps_per_epoch = -(-len(self.train) // specification["batch_size"])
        self.epoch, self.steps_done, self.restarts = 0, 0, 0
        self.rate = math.nan  # of the last step
        self.loss_sum = torch.zeros((), device=self.device)
        self.rows: list[Row] = []

    def _load(self, prepared: types.Prepared, labels: str, workers: int, data_root: str) -> None:
        frame, made = parquet.read_frame(labels)
        if made["dataset_sha256"] != prepared.sha256:
            raise UserError(f"{labels}: was made from other data than the prepared ones; delete it and run again")
        arrays, layout = prepared.arrays, self.specification["performance"]["channels_last"]
        if len(frame) != len(arrays.train_labels):
            raise UserError(f"{labels}: has {len(frame)} labels for {len(arrays.train_labels)} training images")

        def opened(part: str, rows: NDArray[np.int64] | None) -> ImageSource:
            return batches.open_source(prepared, part, rows, self.device, layout, workers, data_root)

        def on_device(values: Any) -> Tensor:
            return torch.from_numpy(np.array(values, dtype=np.int64)).to(self.device)

        split = frame["split"].to_numpy()
        training, held_out = (np.flatnonzero(split == part) for part in ("train", "validation"))
        noisy, clean = frame["noisy"].to_numpy(), frame["clean"].fillna(types.UNKNOWN).to_numpy()
        shown = training[self._shown(len(training))]
        self.train, self.shown, self.validation = (opened("train", rows) for rows in (training, shown, held_out))
        self.test = opened("test", None)
        self.noisy = on_device(noisy[training])
        self.labels_sha256 = hashlib.sha256(noisy[training].tobytes()).hexdigest()
        self.shown_noisy, self.shown_clean = on_device(noisy[shown]), on_device(clean[shown])
        self.validation_labels = on_device(noisy[held_out])
        self.test_labels = on_device(arrays.test_labels)

    def _shown(self, size: int) -> NDArray[np.int64]:
        """Return which of `size` training examples training accuracies are measured on: all, or the same few always."""
        wanted = self.specification["train_eval_subset"]
        if wanted is None or wanted >= size:
            return np.arange(size)
        order = np.random.default_rng([self.specification["dataset"]["data_seed"], size]).permutation(size)
        return np.sort(order[:wanted])

    @property
    def device_name(self) -> str:
        """Return the device's name as it is recorded."""
        return devices.device_name(self.device)

    @property
    def parameter_count(self) -> int:
        """Return the number of trained parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train_all(self, checkpoint: Checkpoint, heartbeat: ProgressWriter) -> list[Row]:
        """Train what is left of all epochs; return a row of measures for each evaluated one (always the last).

        A run that diverges ends there, with a last row that says so: nothing comes after a loss that is not finite.
        """
        total = self.specification["epochs"]
        clock = progress.Clock(total, self.epoch, self.steps_done / self.steps_per_epoch)
        batch_size = self.specification["batch_size"]
        heartbeat.begin(clock, self.steps_per_epoch, batch_size, self.device_name, self.restarts)
        while self.epoch < total and not self.diverged:
            began, left = time.perf_counter(), self.steps_per_epoch - self.steps_done
            loss = self._train_epoch(checkpoint, heartbeat)
            images_per_second = left * batch_size / (time.perf_counter() - began)
            row = None
            if not math.isfinite(loss):
                row = {"epoch": self.epoch, "train_loss": loss, "diverged": True}
            elif self.epoch == total or self.epoch % self.specification["evaluate_every"] == 0:
                row = {"epoch": self.epoch, "train_loss": loss, "diverged": False}
                heartbeat.evaluate(self.epoch, images_per_second)
                row |= self._evaluate(last=self.epoch == total)
            if row is not None:
                row["gradient_evaluations"] = self.epoch * self.steps_per_epoch * self.method.gradients_per_step
                self.rows.append(row)
            log(clock.line(self.epoch, loss, self.rate, images_per_second, row or {}))
            heartbeat.epoch_end(self.epoch, images_per_second)
            checkpoint.after_epoch(self.epoch, self.state_dict)
        return self.rows

    @property
    def diverged(self) -> bool:
        """Return whether the last row says that the loss was no longer finite."""
        return bool(self.rows) and self.rows[-1]["diverged"]

    def _train_epoch(self, checkpoint: Checkpoint, heartbeat: ProgressWriter) -> float:
        """Train what is left of the current epoch; return the mean loss over all its examples."""
        spec = self.specification
        self.model.train()
        shuffled = self.train.shuffled(
            spec["batch_size"], spec["augment"], spec["seed"], self.epoch, skipped=self.steps_done
        )
        for images, indices in shuffled:
            number = self.epoch * self.steps_per_epoch + self.steps_done
            self.rate = learning_rate(
                self.hyperparameters.schedule, self.hyperparameters.lr, number, self.steps_per_epoch, spec["epochs"]
            )
            self.method.set_learning_rate(self.rate)
            self.loss_sum += self.step(images, self.noisy[indices], indices) * len(indices)
            self.steps_done += 1
            checkpoint.after_step(self.state_dict)
            heartbeat.step(self.epoch, self.steps_done)
        self.method.epoch_end()
        loss = self.loss_sum.item() / len(self.train)
        self.epoch, self.steps_done = self.epoch + 1, 0
        self.loss_sum.zero_()
        return loss

    def state_dict(self) -> State:
        """Return everything that a resumed run needs, between two steps."""
        return {
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "generators": generators(),
            "epoch": self.epoch,
            "steps_done": self.steps_done,
            "loss_sum": self.loss_sum,
            "rows": self.rows,
            "restarts": self.restarts,
            "seconds": self.seconds(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        set_generators(state["generators"])
        self.epoch, self.steps_done, self.rows = state["epoch"], state["steps_done"], state["rows"]
        self.loss_sum = state["loss_sum"].to(self.device)
        self.restarts = state["restarts"] + 1
        self.seconds_before = state["seconds"]

    def seconds(self) -> float:
        """Return the time spent on this run so far, earlier attempts up to their last checkpoint included."""
        return self.seconds_before + time.perf_counter() - self.started

    def _evaluate(self, last: bool) -> Row:
        with self.method.evaluation_mode(self.train.in_order):
            train = evaluation.log_probabilities(self.model, self.shown.in_order)
            clean = self.shown_clean
            known = clean != types.UNKNOWN
            wrong = known & (self.shown_noisy != clean)
            predicted = evaluation.log_probabilities(self.model, self.test.in_order)
            test = evaluation.measures(predicted, self.test_labels)
            row: Row = {
                "train_accuracy_noisy": evaluation.accuracy(train, self.shown_noisy),
                "train_accuracy_clean": evaluation.accuracy(train[known], clean[known]) if known.any() else None,
                "train_memorised": evaluation.accuracy(train[wrong], self.shown_noisy[wrong]) if wrong.any() else None,
                "test_accuracy": test.accuracy,
                "test_nll": test.nll,
                "test_ece": test.ece,
            }
            if last:
                row |= _reliability(predicted, self.test_labels)
            if len(self.validation):
                validation = evaluation.log_probabilities(self.model, self.validation.in_order)
                row["validation_accuracy"] = evaluation.accuracy(validation, self.validation_labels)
            if (std := self.method.posterior_std()) is not None:
                row["posterior_std"] = torch.cat([value.flatten() for value in std.values()]).mean().item()
                if last:
                    row |= self._evaluate_posterior_average()
        return row

    def _evaluate_posterior_average(self) -> Row:
        """Return test measures of the mean of the softmax outputs of draws from the posterior."""
        samples = self.specification["eval_mc_samples"]
        mixed = evaluation.posterior_averaged(self.model, self.method.sampled_weights, self.test.in_order, samples)
        averaged = evaluation.measures(mixed, self.test_labels)
        return {
            **_reliability(mixed, self.test_labels, "_mc"),
            "test_accuracy_mc": averaged.accuracy,
            "test_nll_mc": averaged.nll,
            "test_ece_mc": averaged.ece,
        }

    def posterior(self) -> dict[str, Any]:
        """Return what posterior.pt holds: weights (the mean), standard deviations and the method's soft labels."""
        with self.method.evaluation_mode(self.train.in_order):
            return {
                "model": {name: value.cpu() for name, value in self.model.state_dict().items()},
                "std": _on_cpu(self.method.posterior_std()),
                "soft_labels": _on_cpu(
                    {"soft_labels": soft} if (soft := self.method.soft_labels()) is not None else None
                ),
            }

    def peak_memory_mb(self) -> float:
        """Return the most memory held at once: of the GPU where one is used, else of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _reliability(log_probabilities: Tensor, labels: Tensor, of: str = "") -> Row:
    bins = evaluation.reliability(log_probabilities, labels)
    return {f"test_bin_{name}{of}": getattr(bins, name) for name in metrics.BIN_COLUMNS}


def _on_cpu(tensors: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if tensors is None else {name: tensor.detach().clone().cpu() for name, tensor in tensors.items()}
