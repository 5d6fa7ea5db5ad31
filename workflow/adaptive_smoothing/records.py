"""The only place that knows the Parquet schemas: metrics, labels, label noise and figure tables.

Every file carries, as JSON under one key of its metadata, what made it. A file is written whole or not at all.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adaptive_smoothing.errors import UserError
from adaptive_smoothing.files import written_whole

KEY = b"adaptive_smoothing"
Metadata = dict[str, Any]
DICTIONARY_ROWS = 1000  # from which on repeated values are worth a dictionary
READERS = 4  # threads that read files
READ_AHEAD = 256  # files in memory before they are parsed

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
    "device": pa.string(),
    "threads": pa.int64(),
    "peak_memory_mb": pa.float64(),
    "restarts": pa.int64(),
}
# Columns that say how a run went, not what it found; two runs of one specification may differ in them.
NOT_REPRODUCED = ("seconds", "peak_memory_mb", "restarts", "device", "threads")
LABELS = pa.schema([("index", pa.int64()), ("split", pa.string()), ("clean", pa.int64()), ("noisy", pa.int64())])
LABEL_NOISE = pa.schema(
    [
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("probabilities", pa.list_(pa.float32())),
        ("probabilities_mc", pa.list_(pa.float32())),
        ("noise_exact", pa.list_(pa.float32())),
        ("noise_linearised", pa.list_(pa.float32())),
        ("magnitude_exact", pa.float64()),
        ("magnitude_linearised", pa.float64()),
        ("soft_label", pa.list_(pa.float32())),
    ]
)
# The tables behind Fig. 2, 3, 4 and extra_moons; those of the other figures are metrics below each other.
QUADRATURE = pa.schema([("variance", pa.float64()), ("mean", pa.float64()), ("noise", pa.float64())])
EXAMPLES = pa.schema(
    [
        ("run", pa.string()),
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("magnitude_exact", pa.float64()),
        ("magnitude_linearised", pa.float64()),
        ("neighbours_disagree", pa.float64()),  # share of the nearest images that bear another label
        ("pixels", pa.list_(pa.uint8())),
    ]
)
MOONS = pa.schema(
    [
        ("method", pa.string()),
        ("kind", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("label", pa.int64()),
        ("mean", pa.float64()),
        ("variance", pa.float64()),
        ("noise", pa.float64()),
    ]
)
SOFT_LABELS = pa.schema(
    [
        ("run", pa.string()),
        ("dataset", pa.string()),
        ("noise", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int64()),
        ("alpha", pa.float64()),
        ("quantity", pa.string()),
        ("label", pa.int64()),
        ("other", pa.int64()),
        ("value", pa.float64()),
    ]
)
# The verdicts on the paper's claims: a row a claim and reading (scenario 'all'), and one a scenario of it.
CLAIMS = pa.schema(
    [
        ("claim", pa.string()),
        ("text", pa.string()),
        ("figure", pa.string()),
        ("reading", pa.string()),
        ("scenario", pa.string()),
        ("compared", pa.string()),
        ("effect", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("unit", pa.string()),
        ("seeds", pa.int64()),
        ("paper", pa.float64()),
        ("verdict", pa.string()),
        ("why", pa.string()),
    ]
)
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


def write(path: str | Path, table: pa.Table, metadata: Metadata) -> None:
    """Write a table with its metadata, whole or not at all; raise UserError where the disk refuses."""
    with written_whole(path) as temporary:
        encode(temporary, table, metadata)


def encode(path: str | Path, table: pa.Table, metadata: Metadata) -> None:
    """Write a table with its metadata.

    Statistics, dictionaries of a few rows and Arrow's own copy of the schema would make the small files of runs larger
    and slower to read (benchmarks/collecting.py).
    """
    bare = table.replace_schema_metadata(None)
    several = table.num_rows > DICTIONARY_ROWS
    with pq.ParquetWriter(
        path, bare.schema, store_schema=False, write_statistics=False, use_dictionary=several
    ) as writer:
        writer.write_table(bare)
        writer.add_key_value_metadata({KEY.decode(): json.dumps(metadata, sort_keys=True)})


def read(path: str | Path) -> tuple[pa.Table, Metadata]:
    """Return a table and its metadata; raise UserError for a missing, damaged or foreign file."""
    return _parsed(path, _content(path)[0])


def read_all(paths: Sequence[str | Path]) -> Iterator[tuple[pa.Table, Metadata, str]]:
    """Yield table, metadata and sha256 of each file, each read once; raise UserError as `read` does.

    A dataset of pyarrow's is slower with thousands of small files whose metadata are needed too: it opens each twice.
    """
    with ThreadPoolExecutor(READERS) as pool:  # where files lie on a network, most of the time is waiting
        for start in range(0, len(paths), READ_AHEAD):
            ahead = paths[start : start + READ_AHEAD]
            for path, (content, sha256) in zip(ahead, pool.map(_content, ahead), strict=True):
                yield *_parsed(path, content), sha256


def _content(path: str | Path) -> tuple[bytes, str]:
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: does not exist") from None
    except OSError as error:
        raise _damaged(path, error) from error
    return content, hashlib.sha256(content).hexdigest()


def _parsed(path: str | Path, content: bytes) -> tuple[pa.Table, Metadata]:
    try:
        table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    metadata = table.schema.metadata or {}
    if KEY not in metadata:
        raise UserError(f"{path}: was not written by this pipeline (its metadata has no '{KEY.decode()}')")
    return table, json.loads(metadata[KEY])


def _damaged(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path}: is damaged or no Parquet file ({error}); delete it and run again")


def read_frame(path: str | Path) -> tuple[pd.DataFrame, Metadata]:
    """Return a table as a data frame, and its metadata."""
    table, metadata = read(path)
    return table.to_pandas(), metadata


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables below each other; a column that a table lacks is null there."""
    bare = [table.replace_schema_metadata(None) for table in tables]
    together = pa.concat_tables(bare, promote_options="default")
    return together.combine_chunks()  # thousands of chunks of a few rows take twice as long to write
