"""Label noise of logistic regression under a Gaussian posterior, by quadrature (Eq. 10, 12, 13; Fig. 2)."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

NODES = 200
Array = NDArray[np.float64]


@cache
def _gauss_hermite(nodes: int) -> tuple[Array, Array]:
    return np.polynomial.hermite_e.hermegauss(nodes)


def expected(function: Callable[[Array], Array], mean: Array, variance: Array | float, nodes: int = NODES) -> Array:
    """Return E[function(f)] for f ~ N(mean, variance), of `mean`'s shape, by Gauss–Hermite quadrature.

    `function` works element by element; `variance` has `mean`'s shape or is one number.
    """
    points, weights = _gauss_hermite(nodes)
    values = function(np.asarray(mean)[..., None] + np.sqrt(variance)[..., None] * points)
    return np.asarray(values @ weights / weights.sum())


def expected_sigmoid(mean: Array, variance: Array | float, nodes: int = NODES) -> Array:
    """Return E[σ(f)] for f ~ N(mean, variance), of `mean`'s shape."""
    return expected(expit, mean, variance, nodes)


def label_noise(mean: Array, variance: Array | float, nodes: int = NODES) -> Array:
    """Return ε = σ(mean) - E[σ(f)], f ~ N(mean, variance) (Eq. 13), of `mean`'s shape."""
    return np.asarray(expit(mean) - expected_sigmoid(mean, variance, nodes))
