"""Files are written whole or not at all, whatever refuses them."""

import contextlib
import errno
import hashlib
import os
import stat
import subprocess
import sys

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write, link_or_copy, sha256_of


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


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_synced_costs_nothing(tmp_path, monkeypatch, number):
    """Network shares and FUSE refuse it; the file is whole either way."""

    def fsync(descriptor, real=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.EIO, True), (errno.ENOSPC, True)])
def test_a_file_that_cannot_be_synced_is_refused_where_the_disk_failed(tmp_path, monkeypatch, number, refused):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    expected = pytest.raises(UserError, match="cannot write") if refused else contextlib.nullcontext()
    with expected, atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ([] if refused else ["a.txt"])


def test_a_file_system_without_modes_takes_files_and_the_umask_counts_elsewhere(tmp_path, monkeypatch):
    def chmod(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, chmod)
    monkeypatch.setattr(os, "umask", chmod)  # of the whole process: other threads would make files for everyone
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    made = os.open(tmp_path / "b.txt", os.O_CREAT, 0o666)
    os.close(made)
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_check_may_forbid_the_rename(tmp_path):
    def check():
        raise UserError("no longer")

    with pytest.raises(UserError, match="no longer"), atomic_write(tmp_path / "a.txt", check) as temporary:
        temporary.write_text("new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_link_or_else_a_copy(tmp_path, monkeypatch, links):
    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    for _ in range(2):
        link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new" and sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "b").samefile(tmp_path / "a") == links
