"""A prepared dataset on disk: mapped, verified, damage named."""

import json

import numpy as np
import pytest
from cases import NOWHERE

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import labels, prepare, storage


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
