"""Files whole or not at all; Parquet with its record; damage named."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from cases import NOWHERE

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write, sha256_of
from adaptive_smoothing.data import labels, prepare, storage
from adaptive_smoothing.training import metrics


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    """/dev/full refuses every byte, as a full disk does."""
    refused = pytest.raises(UserError, match=r"cannot write .*a\.parquet: No space left on device")
    with refused, atomic_write(tmp_path / "a.parquet"), open("/dev/full", "w") as full:
        full.write("x")
    assert os.listdir(tmp_path) == []


def test_a_limit_on_file_size_stops_a_real_write_without_leftovers(tmp_path):
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import pyarrow as pa; from adaptive_smoothing.core import parquet, errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import random; values = [random.random() for _ in range(10000)]\n"
        "try: parquet.write(sys.argv[1], pa.table({'x': values}), {})\n"
        "except errors.UserError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.parquet")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("cannot write") and done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(tmp_path) == []


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match=r"absent\.bin: cannot be read \(No such file or directory\)"):
        sha256_of(tmp_path / "absent.bin")


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


def test_a_hyperparameter_may_not_hide_a_column():
    with pytest.raises(UserError, match="'seconds' bears the name of a column"):
        metrics.metrics_table({"run": "r"}, {"seconds": 1.0}, [])


def test_damaged_arrays_are_named(tmp_path, files_in):
    files = files_in(tmp_path)
    prepare.prepare("digits", {"test_size": 400}, 0, files, None, NOWHERE)
    whole = (tmp_path / "train_images.npy").read_bytes()
    (tmp_path / "train_images.npy").write_bytes(whole[:500])
    with pytest.raises(UserError, match="the prepared dataset is damaged"):
        storage.open_prepared(tmp_path)


def test_a_changed_byte_is_found_before_labels_are_made(tmp_path, files_in):
    files = files_in(tmp_path)
    prepare.prepare("digits", {"test_size": 400}, 0, files, None, NOWHERE)
    assert storage.verify(tmp_path).sha256 == json.loads((tmp_path / "meta.json").read_text())["sha256"]
    content = bytearray((tmp_path / "test_images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "test_images.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"not those that meta\.json vouches for"):
        labels.corrupt_labels(str(tmp_path), {"kind": "natural"}, 0, 0, 0, str(tmp_path / "labels.parquet"))
    assert not (tmp_path / "labels.parquet").exists()


def test_prepared_arrays_are_memory_mapped(tmp_path, files_in):
    prepare.prepare("digits", {"test_size": 400}, 0, files_in(tmp_path), None, NOWHERE)
    assert isinstance(storage.open_prepared(tmp_path).arrays.train_images, np.memmap)


def test_a_disk_without_room_stops_snakemake_before_anything_starts(tmp_path):
    code = (
        "import resource, sys, pathlib; from adaptive_smoothing.core import errors\n"
        "from adaptive_smoothing.pipeline.runtime import jobs\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: jobs.check_writable(pathlib.Path(sys.argv[1]))\n"
        "except errors.UserError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"cannot write in {tmp_path}: File too large; nothing was started\n"
    assert os.listdir(tmp_path) == []
