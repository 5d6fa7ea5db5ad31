"""Label noise: from clean labels to corrupted ones, made once so that every method sees the same wrong labels.

Matches the generator of Yu et al. (2019) label for label: legacy `numpy.random.RandomState(seed)`, examples in
dataset order, one draw of `multinomial(1, T[label])` each. T is the transition matrix, T[i, j] the probability that
label i becomes j. To add a kind of noise, add one class below, with its `kind` and `matrix`.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adaptive_smoothing.errors import UserError
from adaptive_smoothing.options import Fraction, NonNegative, Strict

Labels = NDArray[np.int64]
Matrix = NDArray[np.float64]
ROUNDING = 1e-12  # κ + β K may exceed 1 by rounding alone


class Symmetric(Strict):
    """A label is replaced, with probability `rate`, by one of the other classes, each equally likely."""

    kind: Literal["symmetric"]
    rate: Fraction

    def matrix(self, classes: int) -> Matrix:
        """Return T (classes × classes): 1 - rate on the diagonal, rate / (K - 1) elsewhere."""
        return _spread(np.full(classes, 1.0 - self.rate))


class Pair(Strict):
    """A label is replaced, with probability `rate`, by the next class; the last class by the first."""

    kind: Literal["pair"]
    rate: Fraction

    def matrix(self, classes: int) -> Matrix:
        """Return T (classes × classes): 1 - rate on the diagonal, rate at the next class."""
        identity = np.eye(classes)
        shifted: Matrix = np.roll(identity, 1, axis=1)
        return (1.0 - self.rate) * identity + self.rate * shifted


class ClassDependent(Strict):
    """Class i = 1 … K loses its label with probability κ + β i (Eq. 21); the rest is spread evenly (Eq. 22)."""

    kind: Literal["class_dependent"]
    kappa: NonNegative
    beta: NonNegative

    def matrix(self, classes: int) -> Matrix:
        """Return T (classes × classes); raise UserError where κ + β K exceeds 1."""
        rates = self.kappa + self.beta * np.arange(1, classes + 1)
        if rates[-1] > 1.0 + ROUNDING:
            raise UserError(
                f"noise class_dependent: κ = {self.kappa:g} and β = {self.beta:g} give class {classes} the impossible "
                f"noise rate {rates[-1]:g}; κ + {classes} β must be at most 1"
            )
        return _spread(np.clip(1.0 - rates, 0.0, 1.0))


class Natural(Strict):
    """Labels stay as they come: clean in a clean dataset, wrong where the dataset's own annotators erred."""

    kind: Literal["natural"]

    def matrix(self, classes: int) -> Matrix:
        """Return the identity."""
        return np.eye(classes)


Noise = Annotated[Symmetric | Pair | ClassDependent | Natural, Field(discriminator="kind")]


def _spread(keep: NDArray[np.float64]) -> Matrix:
    """Return T with `keep` on the diagonal and the rest of each row spread evenly over the wrong classes."""
    classes = len(keep)
    matrix = np.repeat(((1.0 - keep) / (classes - 1))[:, None], classes, axis=1)
    np.fill_diagonal(matrix, keep)
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
