"""The small-scale datasets: real digits, honest splits."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare, splits, types
from adaptive_smoothing.data.datasets import digit_pairs, digits, digits_weak

NOWHERE = types.Source(Path("unused"))


def rows(images):
    return {image.tobytes() for image in images}


def test_digits_are_split_by_the_data_seed_alone():
    first, again, other = (digits.make(digits.Options(test_size=400), seed, NOWHERE) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test_images, again.test_images)
    assert not np.array_equal(first.test_images, other.test_images)
    assert len(first.train_images) + len(first.test_images) == 1797
    assert first.train_images.shape[1:] == (1, 8, 8)
    assert first.train_images.max() == 255
    assert set(np.bincount(first.test_labels)) <= {38, 39, 40, 41, 42}, "stratified"


def test_pairs_of_train_and_test_share_no_digit():
    options = digit_pairs.Options(test_size=500, train_per_class=6, test_per_class=4)
    pairs = digit_pairs.make(options, 0, NOWHERE)
    single = digits.make(digits.Options(test_size=500), 0, NOWHERE)
    for images, labels, pool, pool_labels in (
        (pairs.train_images, pairs.train_labels, single.train_images, single.train_labels),
        (pairs.test_images, pairs.test_labels, single.test_images, single.test_labels),
    ):
        label_of = {image.tobytes(): label for image, label in zip(pool, pool_labels, strict=True)}
        for image, label in zip(images, labels, strict=True):
            left, right = (np.ascontiguousarray(half).tobytes() for half in (image[:, :, :8], image[:, :, 8:]))
            assert 10 * label_of[left] + label_of[right] == label
    assert np.bincount(pairs.train_labels).tolist() == [6] * 100
    assert np.bincount(pairs.test_labels).tolist() == [4] * 100
    assert not rows(single.train_images) & rows(single.test_images)


def test_the_weak_annotators_mistakes_depend_on_the_image():
    weak = digits_weak.make(digits_weak.Options(test_size=997, annotator_images=1), 0, NOWHERE)
    clean = digits.make(digits.Options(test_size=997), 0, NOWHERE)
    wrong = weak.train_labels != weak.train_clean_labels
    assert 0.2 <= wrong.mean() <= 0.4
    np.testing.assert_array_equal(weak.train_clean_labels, clean.train_labels)
    np.testing.assert_array_equal(weak.test_labels, clean.test_labels)
    # within a class, images that were mislabelled lie further from the class's mean than those that were not
    flat = weak.train_images.reshape(len(wrong), -1).astype(float)
    distances = np.empty(len(wrong))
    for digit in range(10):
        member = weak.train_clean_labels == digit
        distances[member] = np.linalg.norm(flat[member] - flat[member].mean(axis=0), axis=1)
        distances[member] /= distances[member].mean()
    assert distances[wrong].mean() > distances[~wrong].mean() + 0.03


def test_an_annotator_outside_20_to_40_percent_is_refused():
    with pytest.raises(UserError, match=r"100 images a class and data seed 0 errs on \d+% of the labels"):
        digits_weak.make(digits_weak.Options(test_size=400, annotator_images=100), 0, NOWHERE)


def test_an_annotator_cannot_see_more_images_than_there_are():
    with pytest.raises(
        UserError, match=r"dataset digits_weak: annotator_images is 500, but a class has only \d+ train"
    ):
        digits_weak.make(digits_weak.Options(test_size=400, annotator_images=500), 0, NOWHERE)


@pytest.mark.parametrize(
    ("module", "values", "sha256"),
    [
        (digit_pairs, {"train_per_class": 10, "test_per_class": 10}, "de5d2804781de826"),
        (digits_weak, {"annotator_images": 1}, "4ff5c6ffc33f34f3"),
    ],
)
def test_the_small_scales_stand_ins_keep_their_bytes(module, values, sha256):
    # the sums were taken before the stand-ins shared their code with Fashion-MNIST's
    arrays = module.make(module.Options(test_size=997, **values), 0, NOWHERE)
    digest = hashlib.sha256()
    for array in (arrays.train_images, arrays.train_labels, arrays.train_clean_labels, arrays.test_images):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(arrays.test_labels.tobytes())
    assert digest.hexdigest()[:16] == sha256, "results already made from these data would no longer be current"


def test_validation_is_fixed_by_the_data_seed_and_must_leave_something():
    first = splits.validation_indices(100, 20, 0)
    np.testing.assert_array_equal(first, splits.validation_indices(100, 20, 0))
    assert not np.array_equal(first, splits.validation_indices(100, 20, 1))
    assert len(set(first)) == 20
    assert len(splits.validation_indices(100, 0, 0)) == 0
    with pytest.raises(UserError, match="100 examples cannot be held out of 100"):
        splits.validation_indices(100, 100, 0)


def test_meta_says_what_was_prepared(tmp_path, files_in):
    import json

    source = {"root": "unused", "mirrors": [], "fetch": False}
    prepare.prepare("digits", {"test_size": 400}, 0, files_in(tmp_path), None, source)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["classes"] == [str(digit) for digit in range(10)]
    assert len(meta["sha256"]) == 64
    assert 0.2 < meta["mean"][0] < 0.4


def test_another_number_of_classes_than_the_file_states_is_refused(tmp_path, files_in, monkeypatch):
    monkeypatch.setattr(prepare.registry, "constant", lambda kind, name, constant: 9)
    source = {"root": "unused", "mirrors": [], "fetch": False}
    with pytest.raises(UserError, match="dataset digits: has 10 classes, but its file states CLASSES = 9"):
        prepare.prepare("digits", {"test_size": 400}, 0, files_in(tmp_path), None, source)
