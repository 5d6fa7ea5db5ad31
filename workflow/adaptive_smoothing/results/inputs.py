"""What a figure's table is made from, and how a frame becomes a table of a schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

Description = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a table is made from; the sequences are parallel, one entry a run."""

    description: Description
    runs: Sequence[str]
    metrics: Sequence[pa.Table]
    label_noise: Sequence[str]
    folders: Sequence[str]


Table = tuple[pa.Table, Description]  # a table, and what is added to the figure's description


def to_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the frame with exactly the schema's columns and types."""
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
