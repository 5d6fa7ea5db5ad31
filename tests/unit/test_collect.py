"""Collecting thousands of runs: each file is read once, and the table is that of reading them one by one."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import as_recorded

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.sources import MadeFrom, kept
from adaptive_smoothing.results import collect
from adaptive_smoothing.training.metrics import COST_COLUMNS, EPOCH_COLUMNS, RUN_COLUMNS, metrics_table

DESCRIPTION = {"figure": "fig7", "scale": "mine", "table": "metrics", "title": "t"}
CODE = {"collect": "0" * 16}


@pytest.fixture
def metrics(tmp_path):
    """Return the files of 6 runs of 3 methods, whose hyper-parameters differ, and with them the columns."""
    files = []
    for number, (method, settings) in enumerate(
        [("ls", {"alpha": 0.3}), ("sam", {"rho": 0.1}), ("ivon", {"hessian": "learned", "train_mc_samples": 1})] * 2
    ):
        described = dict.fromkeys(RUN_COLUMNS, "x") | dict.fromkeys(("data_seed", "noise_seed", "seed"), number)
        fixed = {name: 0.1 * number for name in EPOCH_COLUMNS if "_bin_" not in name}
        fixed |= {"diverged": False, "gradient_evaluations": number}
        fixed |= {**dict.fromkeys(COST_COLUMNS, 1), "device": "cpu"}
        rows = [{**fixed, "epoch": epoch} for epoch in (1, 2)]
        specification = {"method": method, "model": {"name": "small_cnn"}, "hyperparameters": settings, "seed": number}
        made = {"specification": specification, "code": CODE, "versions": {"torch": "1"}}
        files.append(str(tmp_path / f"{number}.parquet"))
        parquet.write(files[-1], metrics_table({**described, "method": method}, settings, rows), made)
    return files


def collected(metrics, output, asked=None):
    runs = [f"run{number}" for number in range(len(metrics))]
    fields = {"description": DESCRIPTION, "runs": runs, "metrics": metrics, "folders": [""] * len(runs)}
    fields["asked"] = as_recorded(metrics) if asked is None else asked
    collect.collect(**fields, output=str(output), code=CODE, strict=False)
    return output.read_bytes()


def test_the_table_is_that_of_reading_one_file_after_the_other(metrics, tmp_path):
    tables = [pq.read_table(file, partitioning=None) for file in metrics]
    sources = {
        f"run{number}": {
            **parquet.read(file)[1],
            "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        }
        for number, file in enumerate(metrics)
    }
    bare = [table.replace_schema_metadata(None) for table in tables]
    expected = tmp_path / "expected.parquet"
    parquet.write(
        expected,
        pa.concat_tables(bare, promote_options="default"),
        {**DESCRIPTION, "code": CODE, "runs": sources, "mixed": [], "sources": kept(MadeFrom())},
    )
    assert collected(metrics, tmp_path / "table.parquet") == expected.read_bytes()


@pytest.mark.parametrize("read_ahead", [1, 4, 6])
def test_files_come_in_their_order_however_many_are_read_ahead(metrics, read_ahead):
    tables = [table for table, _, _ in parquet.read_all(metrics, read_ahead)]
    assert [table["seed"][0].as_py() for table in tables] == [0, 1, 2, 3, 4, 5]


def test_of_many_files_the_broken_one_is_named(metrics, tmp_path):
    Path(metrics[4]).write_bytes(Path(metrics[4]).read_bytes()[:-9])
    with pytest.raises(UserError, match=r"4\.parquet: is damaged or no Parquet file .*; delete it and run again"):
        collected(metrics, tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()
