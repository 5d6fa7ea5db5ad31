"""The one training loop: from a run's specification to metrics.parquet and, where asked for, posterior.pt.

A run is a pure function of its specification: the same specification on the same kind of machine gives the same
metrics, timings aside.
"""

import hashlib
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adaptive_smoothing import datasets, evaluation, provenance, records, registry
from adaptive_smoothing.batches import ImageBatches
from adaptive_smoothing.checkpoint import Checkpoint, State, generators, set_generators
from adaptive_smoothing.errors import UserError
from adaptive_smoothing.files import written_whole
from adaptive_smoothing.methods import Context, Method
from adaptive_smoothing.schedules import learning_rate

Row = dict[str, Any]


def train(
    specification: dict[str, Any],
    run: str,
    scale: str,
    dataset: str,
    labels: str,
    metrics: str,
    posterior: str | None,
    code: dict[str, str],
    threads: int,
    checkpoint_minutes: float,
) -> None:
    """Train one run and write its metrics (and posterior).

    Args: `specification` as made by plan.py; `dataset` the prepared folder; `labels` the noisy labels' file;
    `metrics` and `posterior` the files to write; `code` module → digest; `threads` CPU threads to use;
    `checkpoint_minutes` how often the state is saved. Raises Stopped after SIGTERM or SIGUSR2, the state saved.
    """
    be_deterministic(threads)
    trainer = Trainer(specification, dataset, labels)
    print(f"run {run}\nspecification {specification}\n{provenance.versions()}", flush=True)
    print(f"device {trainer.device_name}, {threads} threads, {trainer.parameter_count:,} parameters", flush=True)
    checkpoint = Checkpoint(
        Path(metrics).with_name("checkpoint.pt"),
        {
            "specification": json.dumps(specification, sort_keys=True),
            "code": json.dumps(code, sort_keys=True),
            "labels": trainer.labels_sha256,
        },
        checkpoint_minutes,
    )
    if (state := checkpoint.restore()) is not None:
        trainer.load_state_dict(state)
        print(f"goes on from epoch {trainer.epoch}, step {trainer.steps_done} (restart {trainer.restarts})", flush=True)
    with checkpoint.listening():
        rows = trainer.train_all(checkpoint)
    cost = {
        "seconds": trainer.seconds(),
        "device": trainer.device_name,
        "threads": threads,
        "peak_memory_mb": trainer.peak_memory_mb(),
        "restarts": trainer.restarts,
    }
    metadata = {"specification": specification, "code": code, **provenance.of_this_process()}
    if posterior is not None:
        with written_whole(posterior) as temporary:
            torch.save(trainer.posterior(), temporary)
    described = describe(specification, run, scale)
    table = records.metrics_table(described, specification["hyperparameters"], [{**row, **cost} for row in rows])
    records.write(metrics, table, metadata)
    checkpoint.remove()


def be_deterministic(threads: int) -> None:
    """Use so many CPU threads and, on a GPU, kernels that give the same bytes every time."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():  # the CPU kernels used here always do, and the call imports torch's compiler (2 s)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def describe(specification: dict[str, Any], run: str, scale: str) -> Row:
    """Return the columns that say which run a row belongs to."""
    noise = {f"noise_{key}": value for key, value in specification["noise"].items() if key != "key"}
    return {
        "run": run,
        "scale": scale,
        "dataset": specification["dataset"]["key"],
        "model": specification["model"]["name"],
        "noise": specification["noise"]["key"],
        "method": specification["method"],
        "data_seed": specification["dataset"]["data_seed"],
        "noise_seed": specification["noise_seed"],
        "seed": specification["seed"],
        **noise,
    }


def build_model(specification: dict[str, Any], prepared: datasets.Prepared) -> nn.Module:
    """Return the specification's network for the prepared dataset, initialised from torch's global generator."""
    wanted = specification["model"]
    module = registry.load("model", wanted["name"])
    channels, *size = prepared.arrays.train_images.shape[1:]
    model: nn.Module = module.build(
        module.Options(**wanted["options"]), channels, tuple(size), len(prepared.arrays.classes)
    )
    return model


class Trainer:
    """Data, model and method of one run."""

    def __init__(self, specification: dict[str, Any], dataset: str, labels: str) -> None:
        """Open the data and make model and method; the training seed determines the initial weights."""
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.specification = specification
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        prepared = datasets.open_prepared(dataset)
        self._load(prepared, labels)
        torch.manual_seed(specification["seed"])
        memory = torch.channels_last if specification["channels_last"] else torch.contiguous_format
        self.model = build_model(specification, prepared).to(self.device).to(memory_format=memory)
        module = registry.load("method", specification["method"])
        self.hyperparameters = module.Hyperparameters(**specification["hyperparameters"])
        context = Context(train_size=len(self.train), classes=len(prepared.arrays.classes))
        self.method: Method = module.Training(self.model, self.hyperparameters, context)
        self.steps_per_epoch = -(-len(self.train) // specification["batch_size"])
        self.epoch, self.steps_done, self.restarts = 0, 0, 0
        self.loss_sum = torch.zeros((), device=self.device)
        self.rows: list[Row] = []

    def _load(self, prepared: datasets.Prepared, labels: str) -> None:
        frame, _ = records.read_frame(labels)
        arrays = prepared.arrays
        channels_last = self.specification["channels_last"]
        if len(frame) != len(arrays.train_images):
            raise UserError(f"{labels}: has {len(frame)} labels for {len(arrays.train_images)} training images")

        def part(split: str) -> ImageBatches:
            chosen = np.asarray(arrays.train_images)[(frame["split"] == split).to_numpy()]
            return ImageBatches(chosen, prepared.mean, prepared.std, self.device, channels_last)

        def on_device(values: Any) -> Tensor:
            return torch.from_numpy(np.array(values, dtype=np.int64)).to(self.device)

        training = frame[frame["split"] == "train"]
        self.train, self.validation = part("train"), part("validation")
        self.test = ImageBatches(arrays.test_images, prepared.mean, prepared.std, self.device, channels_last)
        self.noisy = on_device(training["noisy"])
        self.labels_sha256 = hashlib.sha256(training["noisy"].to_numpy().tobytes()).hexdigest()
        self.clean = on_device(training["clean"].fillna(datasets.UNKNOWN))
        self.validation_labels = on_device(frame.loc[frame["split"] == "validation", "noisy"])
        self.test_labels = on_device(arrays.test_labels)

    @property
    def device_name(self) -> str:
        """Return the device's name as it is recorded."""
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"

    @property
    def parameter_count(self) -> int:
        """Return the number of trained parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train_all(self, checkpoint: Checkpoint) -> list[Row]:
        """Train what is left of all epochs; return a row of measures for each evaluated one (always the last)."""
        total = self.specification["epochs"]
        while self.epoch < total:
            began, left = time.perf_counter(), self.steps_per_epoch - self.steps_done
            loss = self._train_epoch(checkpoint)
            speed = left * self.specification["batch_size"] / (time.perf_counter() - began)
            last = self.epoch == total
            if last or self.epoch % self.specification["evaluate_every"] == 0:
                row = {"epoch": self.epoch, "train_loss": loss, **self._evaluate(last)}
                print(
                    f"epoch {self.epoch}/{total} loss {loss:.4f} test {row['test_accuracy']:.4f} "
                    f"train noisy {row['train_accuracy_noisy']:.4f} {speed:.0f} images/s",
                    flush=True,
                )
                self.rows.append(row)
        return self.rows

    def _train_epoch(self, checkpoint: Checkpoint) -> float:
        """Train what is left of the current epoch; return the mean loss over all its examples."""
        spec = self.specification
        self.model.train()
        batches = self.train.shuffled(
            spec["batch_size"], spec["augment"], spec["seed"], self.epoch, skipped=self.steps_done
        )
        for images, indices in batches:
            number = self.epoch * self.steps_per_epoch + self.steps_done
            rate = learning_rate(
                self.hyperparameters.schedule, self.hyperparameters.lr, number, self.steps_per_epoch, spec["epochs"]
            )
            self.method.set_learning_rate(rate)
            self.loss_sum += self.method.step(images, self.noisy[indices], indices) * len(indices)
            self.steps_done += 1
            checkpoint.after_step(self.state_dict)
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
        with self.method.evaluation_ready(self.train.in_order):
            train = evaluation.log_probabilities(self.model, self.train.in_order)
            known = self.clean != datasets.UNKNOWN
            test = evaluation.measures(evaluation.log_probabilities(self.model, self.test.in_order), self.test_labels)
            row: Row = {
                "train_accuracy_noisy": evaluation.accuracy(train, self.noisy),
                "train_accuracy_clean": evaluation.accuracy(train[known], self.clean[known]) if known.any() else None,
                "test_accuracy": test.accuracy,
                "test_nll": test.nll,
                "test_ece": test.ece,
            }
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
        samples = self.specification["posterior_samples"]
        total = torch.zeros(())
        for _ in range(samples):
            with self.method.sampled_weights():
                total = total + evaluation.log_probabilities(self.model, self.test.in_order).exp()
        averaged = evaluation.measures((total / samples).log(), self.test_labels)
        return {
            "test_accuracy_mc": averaged.accuracy,
            "test_nll_mc": averaged.nll,
            "test_ece_mc": averaged.ece,
        }

    def posterior(self) -> dict[str, Any]:
        """Return what posterior.pt holds: weights (the mean), standard deviations and the method's soft labels."""
        with self.method.evaluation_ready(self.train.in_order):
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


def _on_cpu(tensors: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if tensors is None else {name: tensor.detach().clone().cpu() for name, tensor in tensors.items()}


def load_posterior(path: str | Path) -> dict[str, Any]:
    """Return what `Trainer.posterior` gave; raise UserError for a damaged file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise UserError(f"{path}: is damaged ({type(error).__name__}); delete it and run again") from error
    return state
