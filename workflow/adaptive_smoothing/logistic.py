"""Label noise of logistic regression under a Gaussian posterior, by quadrature (Eq. 10, 12, 13; Fig. 2)."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

NODES = 200

Array = NDArray[np.float64]


def expected_sigmoid(mean: Array, variance: float, nodes: int = NODES) -> Array:
    """Return E[σ(f)] for f ~ N(mean, variance), of `mean`'s shape, by Gauss–Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    values = expit(np.asarray(mean)[..., None] + np.sqrt(variance) * points)
    return np.asarray(values @ weights / weights.sum())


def label_noise(mean: Array, variance: float, nodes: int = NODES) -> Array:
    """Return ε = σ(mean) - E[σ(f)], f ~ N(mean, variance) (Eq. 13), of `mean`'s shape."""
    return np.asarray(expit(mean) - expected_sigmoid(mean, variance, nodes))
