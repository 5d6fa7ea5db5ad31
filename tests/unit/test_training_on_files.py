"""A training whose images stay on disk: decoded by workers, stopped and resumed to the same bytes of metrics."""

import os

import pandas as pd
import pytest
from cases import arguments, specification, stopping_after

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.interrupts import Stopped
from adaptive_smoothing.data import labels, prepare
from adaptive_smoothing.pipeline.commands.smoke import formats
from adaptive_smoothing.training import job, metrics


@pytest.fixture(scope="module")
def clothing(tmp_path_factory):
    """Return a folder with a prepared Clothing1M of 60 small JPEGs, its labels, and its data root."""
    folder = tmp_path_factory.mktemp("clothing")
    formats.write_clothing1m(folder, train=60, test=14)
    files = {name: str(folder / "digits" / name) for name in paths.DATASET_FILES}  # where `arguments` looks
    options = {"resize": 20, "crop": 16, "unusable": "refuse"}
    source = {"root": str(folder), "mirrors": [], "fetch": False}
    prepare.prepare("clothing1m", options, 0, files, None, source)
    labels.corrupt_labels(str(folder / "digits"), {"kind": "natural"}, 0, 0, 0, str(folder / "labels.parquet"))
    return folder


def given(clothing, folder, threads):
    folder.mkdir(exist_ok=True)
    spec = specification("ivon", batch_size=8, train_eval_subset=20)
    return {**arguments(clothing, folder, spec, threads=threads, data_root=str(clothing)), "posterior": None}


def found(folder):
    frame, _ = parquet.read_frame(folder / "metrics.parquet")
    return frame.drop(columns=list(metrics.NOT_REPRODUCED))


def test_it_learns_from_noisy_labels_and_knows_the_clean_ones_it_is_told(clothing, tmp_path):
    job.train(**given(clothing, tmp_path, 1))
    frame = found(tmp_path)
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame[["test_accuracy", "train_accuracy_noisy", "train_accuracy_clean"]].notna().all(axis=None)


def test_stopped_in_the_middle_of_an_epoch_with_workers_the_metrics_are_the_same(clothing, tmp_path):
    job.train(**given(clothing, tmp_path / "straight", 3))
    with stopping_after(11), pytest.raises(Stopped):
        job.train(**given(clothing, tmp_path / "stopped", 3))  # two workers decode
    job.train(**given(clothing, tmp_path / "stopped", 3))
    pd.testing.assert_frame_equal(found(tmp_path / "straight"), found(tmp_path / "stopped"), check_exact=True)
    assert [name for name in os.listdir(tmp_path / "stopped") if name[0] != "."] == ["metrics.parquet"]
