"""The one loop: what its log says, what a diverged run leaves, what training accuracies are measured on."""

import math
import re

import pytest
import torch
from cases import arguments, has_posterior, specification, trainer

from adaptive_smoothing.core import parquet, progress, registry, units
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import storage
from adaptive_smoothing.data.types import UNKNOWN
from adaptive_smoothing.training import evaluator, job, split
from adaptive_smoothing.training.split import Split


def test_the_log_opens_with_what_is_trained_and_has_a_line_an_epoch(digits, tmp_path, capsys):
    spec = specification("ivon", evaluate_every=2)
    job.train(**arguments(digits, tmp_path, spec))
    lines = capsys.readouterr().out.splitlines()
    head, epochs = "\n".join(lines[:-3]), lines[-3:]
    assert re.search(r"^run run\ndevice cpu, 1 threads, 15,418 parameters\nversions torch \d", head)
    assert "seeds data 0, noise 0, training 1" in head
    assert all(f"  {key}: " in head for key in spec.plain())
    for number, line in enumerate(epochs, 1):
        assert re.match(rf"epoch {number}/3  loss \d+\.\d+  .*lr \S+  \d+ images/s  ETA \d\d:\d\d:\d\d$", line)
        measured = re.search(r"test \S+ %  validation \S+ %  train noisy \S+ %  train clean \S+ %", line)
        assert bool(measured) == (number > 1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (3725.4, "01:02:05"), (200_000, "2 d 07:33:20"), (math.inf, "unknown")]
)
def test_a_duration_is_written_as_people_read_it(seconds, text):
    assert units.duration(seconds) == text


def test_the_rest_takes_as_long_as_the_part_that_this_attempt_has_done(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    clock = progress.Clock(10, 2, 0.5)
    now = 115.0  # an epoch and a half later
    assert clock.line(4, 1.0, 0.1, 10.0, {}).endswith("ETA 00:01:00")


@pytest.mark.parametrize("method", registry.names("method"))
def test_a_diverged_run_ends_well_and_says_so(digits, tmp_path, capsys, method):
    job.train(**arguments(digits, tmp_path, specification(method, epochs=20, hyperparameters={"lr": 1e30})))
    frame, _ = parquet.read_frame(tmp_path / "metrics.parquet")
    last = frame.iloc[-1]
    assert last["diverged"] and last["epoch"] < 20
    assert math.isnan(last["test_accuracy"])
    assert not frame["diverged"].iloc[:-1].any()
    assert "the loss is not finite: diverged" in capsys.readouterr().out
    assert (tmp_path / "posterior.pt").exists()


def test_a_run_that_goes_well_says_so_in_every_row(digits, tmp_path):
    job.train(**arguments(digits, tmp_path, specification("ls")))
    frame, _ = parquet.read_frame(tmp_path / "metrics.parquet")
    assert frame["diverged"].tolist() == [False] * 3


def test_training_accuracies_are_measured_on_as_many_examples_as_the_setup_says(digits):
    def evaluated(**changes):
        part = trainer(digits, specification("ls", **changes)).splits.train_subset
        return part.labels, torch.cat(list(part.images.in_order()))

    labels, images = evaluated()
    assert len(labels) == len(images) == 177
    some, pictures = evaluated(train_eval_subset=30, seed=2)
    assert len(some) == len(pictures) == 30
    assert torch.equal(pictures, evaluated(train_eval_subset=30, seed=3)[1])  # the same ones for every seed
    places = [next(row for row in range(177) if torch.equal(images[row], picture)) for picture in pictures]
    assert places == sorted(places) and torch.equal(labels[places], some)
    assert len(evaluated(train_eval_subset=1000)[0]) == 177


def test_metrics_tell_memorised_labels_gradient_evaluations_and_reliability(digits, tmp_path):
    job.train(**arguments(digits, tmp_path, specification("ivon")))
    frame, _ = parquet.read_frame(tmp_path / "metrics.parquet")
    assert frame["gradient_evaluations"].tolist() == [4, 8, 12]  # 177 examples in batches of 50
    assert frame["test_bin_count"].isna().tolist() == frame["test_bin_count_mc"].isna().tolist() == [True, True, False]
    last = frame.iloc[-1]
    for of in ("", "_mc"):
        count, accuracy = last[f"test_bin_count{of}"], last[f"test_bin_accuracy{of}"]
        assert count.sum() == 1600
        assert (count * accuracy)[count > 0].sum() / 1600 == pytest.approx(last[f"test_accuracy{of}"])


def test_processor_time_goes_on_where_an_earlier_attempt_stopped(digits):
    one = trainer(digits, specification("ls"))
    state = one.state_dict()
    assert 0 < state["position"]["processor_seconds"] <= one.processor_seconds()
    state["position"]["processor_seconds"] = 1000.0
    other = trainer(digits, specification("ls"))
    other.load_state_dict(state)
    assert 1000 < other.processor_seconds() < other.state_dict()["position"]["processor_seconds"] < 2000


@pytest.mark.parametrize("method", registry.names("method"))
def test_only_a_run_with_posterior_samples_averages_over_a_posterior(digits, tmp_path, method):
    job.train(**arguments(digits, tmp_path, specification(method, epochs=1)))
    frame, _ = parquet.read_frame(tmp_path / "metrics.parquet")
    assert frame["test_accuracy_mc"].notna().all() == has_posterior(method)
    job.train(**arguments(digits, tmp_path, specification(method, epochs=1, eval_mc_samples=None)))
    frame, _ = parquet.read_frame(tmp_path / "metrics.parquet")
    assert frame["test_accuracy_mc"].isna().all()


def test_training_accuracies_by_hand():
    labels, clean = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 1, UNKNOWN])
    predicted = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 0]), 3).float().log_softmax(dim=1)
    row = evaluator.training_accuracies(predicted, Split(range(4), labels, clean))
    assert row == {
        "train_accuracy_noisy": pytest.approx(3 / 4),
        "train_accuracy_clean": pytest.approx(2 / 3),  # of the three that are known
        "train_memorised": pytest.approx(1 / 2),  # of the two whose label is wrong
    }
    right = evaluator.training_accuracies(predicted, Split(range(4), labels, labels))
    assert right["train_memorised"] is None
    unknown = evaluator.training_accuracies(predicted, Split(range(4), labels, torch.full((4,), UNKNOWN)))
    assert unknown["train_accuracy_clean"] is unknown["train_memorised"] is None


def test_labels_of_other_data_are_refused(digits, tmp_path):
    table, metadata = parquet.read(digits / "labels.parquet")
    prepared = storage.open_prepared(digits / "digits")
    file = tmp_path / "labels.parquet"
    parquet.write(file, table, {**metadata, "dataset_sha256": "another"})
    with pytest.raises(UserError, match=r"labels.parquet: was made from other data"):
        split.read_labels(file, prepared)
    parquet.write(file, table.slice(1), metadata)
    with pytest.raises(UserError, match=r"labels.parquet: has 196 labels for 197 training images"):
        split.read_labels(file, prepared)


def test_a_gpu_that_is_not_there_ends_the_run_before_anything_is_read(digits, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    given = {**arguments(digits, tmp_path, specification("ls"), device="cuda"), "dataset": "nowhere"}
    with pytest.raises(UserError, match="device 'cuda' is required"):
        job.train(**given)
