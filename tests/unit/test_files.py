"""Files are written whole or not at all, whatever refuses them."""

import hashlib
import os
import subprocess
import sys

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write, sha256_of


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
