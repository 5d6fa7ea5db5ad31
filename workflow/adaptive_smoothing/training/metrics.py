"""metrics.parquet: a row an evaluated epoch of one run, with all that says which run it belongs to."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from adaptive_smoothing.core.errors import UserError

RUN_COLUMNS = {
    "run": pa.string(),
    "scale": pa.string(),
    "dataset": pa.string(),
    "model": pa.string(),
    "noise": pa.string(),
    "method": pa.string(),
    "data_seed": pa.int64(),
    "noise_seed": pa.int64(),
    "seed": pa.int64(),
}
BIN_COLUMNS = {"count": pa.int64(), "confidence": pa.float64(), "accuracy": pa.float64()}
EPOCH_COLUMNS = {
    "epoch": pa.int64(),
    "diverged": pa.bool_(),
    "train_loss": pa.float64(),
    "train_accuracy_noisy": pa.float64(),
    "train_accuracy_clean": pa.float64(),
    "validation_accuracy": pa.float64(),
    "test_accuracy": pa.float64(),
    "test_nll": pa.float64(),
    "test_ece": pa.float64(),
    "test_accuracy_mc": pa.float64(),
    "test_nll_mc": pa.float64(),
    "test_ece_mc": pa.float64(),
    "posterior_std": pa.float64(),
    "train_memorised": pa.float64(),  # share of the wrong training labels that the network predicts
    "gradient_evaluations": pa.int64(),  # forward and backward passes of a batch, from the run's start
    # Reliability of the last epoch on the test set: the bins of test_ece; means of empty bins are null.
    **{f"test_bin_{name}{of}": pa.list_(kind) for of in ("", "_mc") for name, kind in BIN_COLUMNS.items()},
}
COST_COLUMNS = {
    "seconds": pa.float64(),
    "processor_seconds": pa.float64(),
    "device": pa.string(),
    "threads": pa.int64(),
    "peak_memory_mb": pa.float64(),
    "restarts": pa.int64(),
}
# Columns that say how a run went, not what it found; two runs of one specification may differ in them.
NOT_REPRODUCED = ("seconds", "processor_seconds", "peak_memory_mb", "restarts", "device", "threads")
TYPE_OF = {bool: pa.bool_(), int: pa.float64(), float: pa.float64(), str: pa.string()}


def metrics_table(run: dict[str, Any], hyperparameters: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> pa.Table:
    """Return a run's table, a row an evaluated epoch.

    Besides the fixed columns there is one a hyper-parameter (nested ones joined by '_') and one a parameter of the
    noise (`noise_kind`, `noise_rate`, …, handed over in `run`). Raises UserError if a hyper-parameter bears the name
    of a fixed column.
    """
    fixed = RUN_COLUMNS | EPOCH_COLUMNS | COST_COLUMNS
    settings = {**flat(hyperparameters), **{key: value for key, value in run.items() if key not in RUN_COLUMNS}}
    if taken := sorted(settings.keys() & fixed.keys()):
        raise UserError(f"hyper-parameter '{taken[0]}' bears the name of a column of metrics.parquet; rename it")
    fields = [pa.field(name, kind) for name, kind in RUN_COLUMNS.items()]
    fields += [pa.field(name, TYPE_OF[type(value)]) for name, value in settings.items()]
    fields += [pa.field(name, kind) for name, kind in (EPOCH_COLUMNS | COST_COLUMNS).items()]
    rows = [{**run, **settings, **epoch} for epoch in epochs]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping with keys joined by '_'; sequences become JSON text."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}_")
        elif isinstance(value, list | tuple):
            result[prefix + key] = json.dumps(value)
        elif value is not None:
            result[prefix + key] = value
    return result
