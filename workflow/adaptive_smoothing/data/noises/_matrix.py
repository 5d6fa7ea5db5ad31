"""Transition matrices that keep each label with a given probability."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def spread(keep: NDArray[np.float64]) -> Matrix:
    """Return T with `keep` (K) on the diagonal and the rest of each row spread evenly over the wrong classes."""
    classes = len(keep)
    matrix = np.repeat(((1.0 - keep) / (classes - 1))[:, None], classes, axis=1)
    np.fill_diagonal(matrix, keep)
    return matrix
