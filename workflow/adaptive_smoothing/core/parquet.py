"""How every Parquet file is written and read; what stands in it, each room says of its own files.

Every file carries, as JSON under one key of its metadata, what made it. A file is written whole or not at all.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

KEY = b"adaptive_smoothing"
Metadata = dict[str, Any]
DICTIONARY_ROWS = 1000  # from which on repeated values are worth a dictionary
READERS = 4  # threads that read files
READ_AHEAD = 256  # files in memory before they are parsed


def write(path: str | Path, table: pa.Table, metadata: Metadata) -> None:
    """Write a table with its metadata, whole or not at all; raise UserError where the disk refuses."""
    with atomic_write(path) as temporary:
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


def read_metadata(path: str | Path) -> Metadata:
    """Return the metadata alone, from a file's footer; raise UserError for a missing, damaged or foreign file."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise UserError(f"{path}: does not exist") from None
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    return _metadata(path, schema)


def read_all(paths: Sequence[str | Path], read_ahead: int = READ_AHEAD) -> Iterator[tuple[pa.Table, Metadata, str]]:
    """Yield table, metadata and sha256 of each file, each read once; raise UserError as `read` does.

    A dataset of pyarrow's is slower with thousands of small files whose metadata are needed too: it opens each twice.
    """
    with ThreadPoolExecutor(READERS) as pool:  # where files lie on a network, most of the time is waiting
        for start in range(0, len(paths), read_ahead):
            ahead = paths[start : start + read_ahead]
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
    return table, _metadata(path, table.schema)


def _metadata(path: str | Path, schema: pa.Schema) -> Metadata:
    content = schema.metadata or {}
    if KEY not in content:
        raise UserError(f"{path}: was not written by this pipeline (its metadata has no '{KEY.decode()}')")
    metadata: Metadata = json.loads(content[KEY])
    return metadata


def _damaged(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path}: is damaged or no Parquet file ({error}); delete it and run again")


def read_frame(path: str | Path) -> "tuple[pd.DataFrame, Metadata]":
    """Return a table as a data frame, and its metadata."""
    table, metadata = read(path)
    return table.to_pandas(), metadata


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables below each other; a column that a table lacks is null there."""
    bare = [table.replace_schema_metadata(None) for table in tables]
    together = pa.concat_tables(bare, promote_options="default")
    return together.combine_chunks()  # thousands of chunks of a few rows take twice as long to write
