"""How unclear an example is, by its neighbours' labels."""

import numpy as np
import pytest

from adaptive_smoothing.results.neighbours import disagreement


def test_shares_agree_with_all_distances_compared_one_by_one():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    labels = generator.integers(0, 3, 40)
    pixels = images.reshape(40, -1).astype(float)
    for row, share in enumerate(disagreement(images, labels, count=5)):
        distances = np.linalg.norm(pixels - pixels[row], axis=1)
        distances[row] = np.inf
        nearest = np.argsort(distances)[:5]
        assert share == pytest.approx((labels[nearest] != labels[row]).mean())


def test_an_image_is_not_its_own_neighbour_even_beside_its_double():
    images = np.repeat(np.array([10, 200], dtype=np.uint8), 2).reshape(4, 1, 1, 1)
    assert disagreement(images, np.array([0, 1, 2, 2]), count=1).tolist() == [1, 1, 0, 0]


def test_few_images():
    assert np.isnan(disagreement(np.zeros((1, 1, 2, 2), np.uint8), np.array([0]))).all()
    assert disagreement(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 0, 1])).tolist() == [0.5, 0.5, 1]
