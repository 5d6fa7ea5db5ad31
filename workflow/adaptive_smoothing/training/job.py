"""One training as a job: from a run's specification to metrics.parquet and, if a figure needs it, posterior.pt."""

import json
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment, parquet, progress
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.data import storage
from adaptive_smoothing.training import devices
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.devices import Machine
from adaptive_smoothing.training.evaluator import Row
from adaptive_smoothing.training.loop import Trainer, train_epochs
from adaptive_smoothing.training.metrics import metrics_table
from adaptive_smoothing.training.posterior import save_posterior
from adaptive_smoothing.training.split import read_labels


class TrainJob(Strict):
    """A run, the files that it reads and writes, and the machine that trains it."""

    specification: RunSpec
    run: str  # the run's name in its scale
    scale: str
    dataset: Path  # folder of the prepared dataset
    labels: Path  # file of noisy labels
    metrics: Path
    posterior: Path | None = None  # None: the trained state is not written
    code: dict[str, str]  # module → digest of the code that the job reaches
    checkpoint_minutes: float
    checkpoint_epochs: int = 0  # epochs between two checkpoints; 0: by minutes alone
    machine: Machine


def train(**fields: Any) -> None:
    """Train one run and write its metrics (and posterior); `fields` are those of TrainJob, as plain values.

    A checkpoint that matches the run is resumed. Raises Stopped after SIGTERM or SIGUSR2, the state saved.
    """
    job = TrainJob.model_validate(fields)
    made_with = environment.snapshot()
    heartbeat = progress.ProgressWriter(job.metrics.with_name(progress.FILE), job.specification.epochs)
    trainer, checkpoint = _open(job)
    if (state := checkpoint.restore()) is not None:
        trainer.load_state_dict(state)
        position = trainer.position
        log(f"resuming from epoch {position.epoch}, step {position.steps} (restart {position.restarts})")
    with checkpoint.listening(), heartbeat:
        rows = train_epochs(trainer, checkpoint, heartbeat)
    _write(job, trainer, rows, made_with)
    checkpoint.remove()
    heartbeat.remove()


def _open(job: TrainJob) -> tuple[Trainer, Checkpoint]:
    """Return the job's trainer at its beginning, and its checkpoint; log what is trained."""
    spec = job.specification
    devices.choose_device(job.machine.device)  # before anything is read
    prepared = storage.open_prepared(job.dataset)
    labels = read_labels(job.labels, prepared)
    trainer = Trainer(spec, prepared, labels, job.machine)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    log(progress.head(job.run, spec, devices.device_name(trainer.device), job.machine.threads, parameters))
    identity = {
        "specification": spec.as_text(),
        "code": json.dumps(job.code, sort_keys=True),
        "labels": labels.sha256,
    }
    path = job.metrics.with_name("checkpoint.pt")
    return trainer, Checkpoint(path, identity, job.checkpoint_minutes, job.checkpoint_epochs)


def _write(job: TrainJob, trainer: Trainer, rows: list[Row], made_with: dict[str, Any]) -> None:
    spec = job.specification
    cost = {
        "seconds": trainer.seconds(),
        "processor_seconds": trainer.processor_seconds(),
        "device": devices.device_name(trainer.device),
        "threads": job.machine.threads,
        "peak_memory_mb": devices.peak_memory_mb(trainer.device),
        "restarts": trainer.position.restarts,
    }
    if job.posterior is not None:
        save_posterior(job.posterior, trainer.method, trainer.splits.train.images.in_order)
    table = metrics_table(describe(spec, job.run, job.scale), spec.hyperparameters, [{**row, **cost} for row in rows])
    parquet.write(job.metrics, table, {"specification": spec.plain(), "code": job.code, **made_with})


def describe(spec: RunSpec, run: str, scale: str) -> Row:
    """Return the columns that say which run a row belongs to."""
    return {
        "run": run,
        "scale": scale,
        "dataset": spec.dataset.key,
        "model": spec.model.name,
        "noise": spec.noise.key,
        "method": spec.method,
        "data_seed": spec.dataset.data_seed,
        "noise_seed": spec.noise_seed,
        "seed": spec.seed,
        **{f"noise_{key}": value for key, value in spec.noise.parameters().items()},
    }
