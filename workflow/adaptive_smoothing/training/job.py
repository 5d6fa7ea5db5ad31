"""One training as a job: from a run's specification to metrics.parquet and, where asked for, posterior.pt."""

import json
from pathlib import Path
from typing import Any

import torch

from adaptive_smoothing.core import environment, parquet, progress
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.log import log
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.loop import Row, Trainer
from adaptive_smoothing.training.metrics import metrics_table


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
    checkpoint_epochs: int = 0,
    device: str = "auto",
    data_root: str = "data/raw",
    fetch: bool = False,
) -> None:
    """Train one run and write its metrics (and posterior).

    Args: `specification` as made by plan.py; `dataset` the prepared folder; `labels` the noisy labels' file;
    `metrics` and `posterior` the files to write; `code` module → digest; `threads` CPU threads to use;
    `checkpoint_minutes`, `checkpoint_epochs` how often the state is saved (0 epochs: by minutes alone); `device`
    'auto', 'cpu' or 'cuda'; `data_root` the folder of images that stay on disk and of pretrained weights, which may
    be fetched into it if `fetch`. Raises Stopped after SIGTERM or SIGUSR2, the state saved.
    """
    made_with = environment.snapshot()
    heartbeat = progress.ProgressWriter(Path(metrics).with_name(progress.FILE), specification["epochs"])
    trainer = Trainer(specification, dataset, labels, threads, device, data_root, fetch)
    log(progress.head(run, specification, trainer.device_name, threads, trainer.parameter_count))
    checkpoint = Checkpoint(
        Path(metrics).with_name("checkpoint.pt"),
        {
            "specification": json.dumps(specification, sort_keys=True),
            "code": json.dumps(code, sort_keys=True),
            "labels": trainer.labels_sha256,
        },
        checkpoint_minutes,
        checkpoint_epochs,
    )
    if (state := checkpoint.restore()) is not None:
        trainer.load_state_dict(state)
        log(f"goes on from epoch {trainer.epoch}, step {trainer.steps_done} (restart {trainer.restarts})")
    with checkpoint.listening(), heartbeat:
        rows = trainer.train_all(checkpoint, heartbeat)
    cost = {
        "seconds": trainer.seconds(),
        "device": trainer.device_name,
        "threads": threads,
        "peak_memory_mb": trainer.peak_memory_mb(),
        "restarts": trainer.restarts,
    }
    metadata = {"specification": specification, "code": code, **made_with}
    if posterior is not None:
        with atomic_write(posterior) as temporary:
            torch.save(trainer.posterior(), temporary)
    described = describe(specification, run, scale)
    table = metrics_table(described, specification["hyperparameters"], [{**row, **cost} for row in rows])
    parquet.write(metrics, table, metadata)
    checkpoint.remove()
    heartbeat.remove()


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
