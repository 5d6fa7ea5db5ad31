"""Corruption: wrong labels, drawn once from clean ones, so that every method sees the same wrong labels.

It equals the generator of Yu et al. (2019) label for label: legacy `numpy.random.RandomState(seed)`, examples in
dataset order, one draw of `multinomial(1, T[label])` each. Each file of noises/ gives the matrix T of one kind.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError

Labels = NDArray[np.int64]
Matrix = NDArray[np.float64]


def transition_matrix(parameters: dict[str, Any], classes: int) -> Matrix:
    """Return T (K × K) of a noise: its `kind` and the options of that kind; raise UserError if there is none."""
    options = {key: value for key, value in parameters.items() if key != "kind"}
    module = registry.load("noise", parameters["kind"])
    matrix: Matrix = module.matrix(module.Options(**options), classes)
    return matrix


def corrupt(labels: Labels, matrix: Matrix, seed: int) -> Labels:
    """Return the noisy labels (shape of `labels`): one multinomial draw per example, in order.

    Raises UserError if a row of `matrix` is no probability distribution.
    """
    if (matrix < 0).any() or (matrix > 1).any() or not np.allclose(matrix.sum(axis=1), 1.0):
        raise UserError("noise: every row of a transition matrix must hold probabilities that sum to 1")
    if np.array_equal(matrix, np.eye(len(matrix))):
        return labels.copy()
    generator = np.random.RandomState(seed)
    return np.array([generator.multinomial(1, matrix[label]).argmax() for label in labels], dtype=np.int64)


def realised(clean: Labels, noisy: Labels, classes: int) -> tuple[float, Matrix]:
    """Return the share of changed labels and the realised transition matrix (a row of zeros for an absent class)."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (clean, noisy), 1.0)
    totals = counts.sum(axis=1, keepdims=True)
    matrix = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return float((clean != noisy).mean()), matrix
