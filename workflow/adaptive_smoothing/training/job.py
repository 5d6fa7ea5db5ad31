"""One training as a job: from a run's specification to metrics.parquet and, if a figure needs it, posterior.pt."""

import json
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment, finished, parquet, progress
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.core.specification import RunSpec
from adaptive_smoothing.core.writer import Writer, only_writer
from adaptive_smoothing.data import storage
from adaptive_smoothing.data.types import Prepared
from adaptive_smoothing.training import devices
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.devices import Machine
from adaptive_smoothing.training.evaluator import Row
from adaptive_smoothing.training.last_batch import check_last_batch
from adaptive_smoothing.training.loop import Trainer, train_epochs
from adaptive_smoothing.training.metrics import metrics_table
from adaptive_smoothing.training.posterior import save_posterior
from adaptive_smoothing.training.split import TrainingLabels, read_labels


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

    @property
    def results(self) -> list[Path]:
        """The files that the job makes."""
        return [self.metrics] if self.posterior is None else [self.metrics, self.posterior]

    def identity(self, labels: TrainingLabels) -> dict[str, str]:
        """Return what the run's state depends on."""
        return {
            "specification": self.specification.as_text(),
            "code": json.dumps(self.code, sort_keys=True),
            "labels": labels.sha256,
        }


def train(**fields: Any) -> None:
    """Train one run and write its metrics (and posterior); `fields` are those of TrainJob, as plain values.

    A checkpoint that matches the run is resumed. Results that an earlier start wrote, and that no job has read, are put
    back. Raises Stopped after SIGTERM or SIGUSR2, the state saved, and UserError where another process trains the run.
    """
    job = TrainJob.model_validate(fields)
    record = job.metrics.with_name(progress.FILE)
    with only_writer(record.parent, record.name) as writer:
        with progress.ProgressWriter(record, job.specification.epochs, writer) as heartbeat:
            _train_or_put_back(job, writer, heartbeat)
        heartbeat.remove()


def _train_or_put_back(job: TrainJob, writer: Writer, heartbeat: progress.ProgressWriter) -> None:
    """Make the job's results."""
    made_with = environment.snapshot()
    devices.choose_device(job.machine.device)  # before anything is read
    prepared = storage.open_prepared(job.dataset)
    labels = read_labels(job.labels, prepared)
    made_with |= {"dataset_sha256": prepared.sha256, "labels_sha256": labels.sha256}
    identity = job.identity(labels)
    identity_of_results = {**identity, "versions": json.dumps(made_with["versions"], sort_keys=True)}
    if finished.restore(job.results, identity_of_results):
        log(
            "an earlier start finished this run, and no figure has read it: its results return "
            f"(to train again, delete {job.metrics.with_name(finished.FILE)} first)"
        )
        return
    trainer = _open_trainer(job, prepared, labels)
    checkpoint = Checkpoint(
        job.metrics.with_name("checkpoint.pt"), identity, job.checkpoint_minutes, job.checkpoint_epochs, writer.check
    )
    _resume(trainer, checkpoint)
    with checkpoint.listening():  # until the results are written: that takes seconds, and they are worth hours
        rows = train_epochs(trainer, checkpoint, heartbeat)
        with checkpoint.kept_on_failure(trainer.state_dict):
            _write(job, trainer, rows, made_with, writer)
        finished.keep(job.results, identity_of_results)
        checkpoint.remove()


def _open_trainer(job: TrainJob, prepared: Prepared, labels: TrainingLabels) -> Trainer:
    """Return the job's trainer at its beginning; log what is trained."""
    check_last_batch(job.specification, prepared, len(labels.train_rows))
    trainer = Trainer(job.specification, prepared, labels, job.machine)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    device = devices.device_name(trainer.device)
    log(progress.head(job.run, job.specification, device, job.machine.threads, parameters))
    return trainer


def _resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    if (state := checkpoint.restore()) is not None:
        trainer.load_state_dict(state)
        position = trainer.position
        log(f"resuming from epoch {position.epoch}, step {position.steps} (restart {position.restarts})")


def _write(job: TrainJob, trainer: Trainer, rows: list[Row], made_with: dict[str, Any], writer: Writer) -> None:
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
        save_posterior(job.posterior, trainer.method, trainer.splits.train.images.in_order, writer.check)
    table = metrics_table(describe(spec, job.run, job.scale), spec.hyperparameters, [{**row, **cost} for row in rows])
    with atomic_write(job.metrics, writer.check) as temporary:
        parquet.encode(temporary, table, {"specification": spec.plain(), "code": job.code, **made_with})


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
