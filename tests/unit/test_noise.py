"""Label noise: transition matrices, the generator of Yu et al. (2019) label for label, refusals."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from cases import NOWHERE
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import corruption, labels, prepare


def test_symmetric_matrix():
    matrix = corruption.transition_matrix({"kind": "symmetric", "rate": 0.3}, 4)
    np.testing.assert_allclose(matrix, np.full((4, 4), 0.1) + 0.6 * np.eye(4))


def test_pair_matrix_flips_to_the_next_class_and_the_last_to_the_first():
    matrix = corruption.transition_matrix({"kind": "pair", "rate": 0.2}, 3)
    np.testing.assert_allclose(matrix, [[0.8, 0.2, 0], [0, 0.8, 0.2], [0.2, 0, 0.8]])


def test_class_dependent_matrix_is_eq_21_and_22():
    matrix = corruption.transition_matrix({"kind": "class_dependent", "kappa": 0.1, "beta": 0.05}, 10)
    np.testing.assert_allclose(np.diag(matrix), 1 - (0.1 + 0.05 * np.arange(1, 11)))
    np.testing.assert_allclose(matrix[2, 3:], (0.1 + 0.05 * 3) / 9)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_class_dependent_noise_may_reach_but_not_pass_probability_one():
    assert corruption.transition_matrix({"kind": "class_dependent", "kappa": 0.5, "beta": 0.05}, 10)[9, 9] == 0
    with pytest.raises(UserError, match=r"κ = 0.6 and β = 0.05 give class 10 the impossible noise rate 1.1"):
        corruption.transition_matrix({"kind": "class_dependent", "kappa": 0.6, "beta": 0.05}, 10)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_impossible_rates_are_refused(kind, rate):
    with pytest.raises(ValidationError, match="rate"):
        corruption.transition_matrix({"kind": kind, "rate": rate}, 10)


def test_a_row_that_is_no_distribution_is_refused():
    with pytest.raises(UserError, match="probabilities that sum to 1"):
        corruption.corrupt(np.array([0, 1]), np.array([[0.5, 0.4], [0, 1.0]]), 0)


def literal_flip(clean, matrix, seed):
    """Corrupt labels as facts say that Yu et al.'s code does: one multinomial draw per example, in order."""
    generator = np.random.RandomState(seed)
    noisy = clean.copy()
    for index in range(len(clean)):
        drawn = generator.multinomial(1, matrix[clean[index], :], 1)[0]
        noisy[index] = np.where(drawn == 1)[0][0]
    return noisy


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "symmetric", "rate": 0.4},
        {"kind": "pair", "rate": 0.2},
        {"kind": "class_dependent", "kappa": 0.5, "beta": 0.05},
    ],
)
def test_labels_equal_the_published_generators_one_by_one(kind):
    clean = np.random.default_rng(0).integers(0, 10, 5000)
    noisy = corruption.corrupt(clean, corruption.transition_matrix(kind, 10), 0)
    np.testing.assert_array_equal(noisy, literal_flip(clean, corruption.transition_matrix(kind, 10), 0))
    rate, matrix = corruption.realised(clean, noisy, 10)
    assert rate == pytest.approx((clean != noisy).mean())
    np.testing.assert_allclose(matrix, corruption.transition_matrix(kind, 10), atol=0.08)


def test_known_labels():
    """Frozen: the labels 0 … 9 under 40 % noise, seed 0, as numpy's legacy generator has always given them."""
    clean = np.arange(20) % 10
    symmetric = corruption.corrupt(clean, corruption.transition_matrix({"kind": "symmetric", "rate": 0.4}, 10), 0)
    assert symmetric.tolist() == [0, 1, 2, 2, 8, 2, 9, 7, 8, 5, 0, 1, 2, 3, 4, 2, 1, 7, 8, 9]
    pair = corruption.corrupt(clean, corruption.transition_matrix({"kind": "pair", "rate": 0.4}, 10), 0)
    assert pair.tolist() == [0, 2, 2, 3, 5, 6, 6, 8, 8, 0, 0, 1, 2, 4, 5, 6, 7, 8, 9, 9]


@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 1), min_size=1, max_size=50))
def test_rate_0_is_the_identity(classes, seed, clean):
    for kind in (
        {"kind": "symmetric", "rate": 0},
        {"kind": "pair", "rate": 0},
        {"kind": "natural"},
    ):
        np.testing.assert_array_equal(
            corruption.corrupt(np.array(clean), corruption.transition_matrix(kind, classes), seed), clean
        )


def test_label_file_has_every_example_the_realised_rate_and_the_matrix(tmp_path, files_in):
    prepare.prepare("digits", {"test_size": 400}, 0, files_in(tmp_path / "digits"), None, NOWHERE)
    output = tmp_path / "labels.parquet"
    labels.corrupt_labels(str(tmp_path / "digits"), {"kind": "symmetric", "rate": 0.2}, 0, 0, 100, str(output))
    frame, metadata = parquet.read_frame(output)
    assert list(frame["index"]) == list(range(1397))
    assert (frame["split"] == "validation").sum() == 100
    wrong = frame["clean"] != frame["noisy"]
    assert metadata["realised_rate"] == pytest.approx(wrong.mean())
    assert 0.15 < wrong.mean() < 0.25
    assert wrong[frame["split"] == "validation"].any(), "validation labels are noisy, too"
    np.testing.assert_allclose(np.array(metadata["realised_matrix"]).sum(axis=1), 1)
    assert pq.read_schema(output).names == labels.LABELS.names
