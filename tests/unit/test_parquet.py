"""Parquet with its record; damage is named."""

import pyarrow as pa
import pytest

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.errors import UserError


def test_a_table_keeps_its_record(tmp_path):
    parquet.write(tmp_path / "a.parquet", pa.table({"x": [1]}), {"seed": 3})
    table, metadata = parquet.read(tmp_path / "a.parquet")
    assert table.to_pydict() == {"x": [1]}
    assert metadata == {"seed": 3}


def test_damaged_truncated_foreign_and_absent_files_are_named(tmp_path):
    good = tmp_path / "good.parquet"
    parquet.write(good, pa.table({"x": list(range(1000))}), {})
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-100])
    (tmp_path / "empty.parquet").write_bytes(b"")
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    for name, sentence in {
        "cut": "is damaged",
        "empty": "is damaged",
        "foreign": "was not written by this pipeline",
        "absent": "does not exist",
    }.items():
        with pytest.raises(UserError, match=rf"{name}\.parquet: {sentence}"):
            parquet.read(tmp_path / f"{name}.parquet")
