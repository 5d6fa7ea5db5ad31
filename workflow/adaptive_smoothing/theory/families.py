"""Losses of generalised linear models, ℓ(f) = A(f) - yᵀf (Eq. 8 and 15), with expectations under Gaussian logits.

Shapes: N examples, K logits each; logits f and labels y N × K, variances of f N × K × K.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.special import expit, logsumexp, softmax

from adaptive_smoothing.theory import logistic
from adaptive_smoothing.theory.logistic import Array


class Family(ABC):
    """A log-partition function A of K logits, its derivatives, and their means under f ~ N(mean, variance)."""

    outputs: int

    @abstractmethod
    def log_partition(self, logits: Array) -> Array:
        """Return A(f), N."""

    @abstractmethod
    def mean(self, logits: Array) -> Array:
        """Return A'(f), N × K: the expected label."""

    @abstractmethod
    def curvature(self, logits: Array) -> Array:
        """Return A''(f), N × K × K."""

    @abstractmethod
    def expected_log_partition(self, mean: Array, variance: Array) -> Array:
        """Return E[A(f)], N."""

    @abstractmethod
    def expected_mean(self, mean: Array, variance: Array) -> Array:
        """Return E[A'(f)], N × K."""

    @abstractmethod
    def expected_curvature(self, mean: Array, variance: Array) -> Array:
        """Return E[A''(f)], N × K × K."""

    def label_noise(self, mean: Array, variance: Array) -> Array:
        """Return ε = A'(mean) - E[A'(f)], N × K (Eq. 16)."""
        return self.mean(mean) - self.expected_mean(mean, variance)


class OneLogit(Family):
    """A family with K = 1, given by A, A' and A'' of a number; expectations by Gauss–Hermite quadrature."""

    outputs = 1
    derivatives: tuple[Callable[[Array], Array], Callable[[Array], Array], Callable[[Array], Array]]

    def log_partition(self, logits: Array) -> Array:
        """Return A(f), N."""
        return self.derivatives[0](logits)[:, 0]

    def mean(self, logits: Array) -> Array:
        """Return A'(f), N × 1."""
        return self.derivatives[1](logits)

    def curvature(self, logits: Array) -> Array:
        """Return A''(f), N × 1 × 1."""
        return self.derivatives[2](logits)[:, :, None]

    def expected_log_partition(self, mean: Array, variance: Array) -> Array:
        """Return E[A(f)], N."""
        return logistic.expected(self.derivatives[0], mean, variance[:, :, 0])[:, 0]

    def expected_mean(self, mean: Array, variance: Array) -> Array:
        """Return E[A'(f)], N × 1."""
        return logistic.expected(self.derivatives[1], mean, variance[:, :, 0])

    def expected_curvature(self, mean: Array, variance: Array) -> Array:
        """Return E[A''(f)], N × 1 × 1."""
        return logistic.expected(self.derivatives[2], mean, variance[:, :, 0])[:, :, None]


class Logistic(OneLogit):
    """Logistic regression, y in {0, 1}: A = log(1 + exp f), A' = σ (Eq. 8)."""

    derivatives = (
        lambda f: np.logaddexp(0, f),
        lambda f: np.asarray(expit(f)),
        lambda f: np.asarray(expit(f) * expit(-f)),
    )

    def label_noise(self, mean: Array, variance: Array) -> Array:
        """Return ε = σ(mean) - E[σ(f)], N × 1 (Eq. 13)."""
        return logistic.label_noise(mean, variance[:, :, 0])


class Gaussian(OneLogit):
    """Least squares, y a number with unit variance: A = f² / 2, whose expectations are exact by quadrature."""

    derivatives = (lambda f: f**2 / 2, lambda f: f, np.ones_like)


class Poisson(OneLogit):
    """Poisson regression, y a count: A = A' = A'' = exp f; all expectations are exp(mean + variance / 2)."""

    derivatives = (np.exp, np.exp, np.exp)

    def expected_log_partition(self, mean: Array, variance: Array) -> Array:
        """Return E[exp f], N."""
        return self.expected_mean(mean, variance)[:, 0]

    def expected_mean(self, mean: Array, variance: Array) -> Array:
        """Return E[exp f], N × 1."""
        return np.exp(mean + variance[:, :, 0] / 2)

    def expected_curvature(self, mean: Array, variance: Array) -> Array:
        """Return E[exp f], N × 1 × 1."""
        return self.expected_mean(mean, variance)[:, :, None]


class Multinomial(Family):
    """Multi-class regression, y one-hot: A = log Σ exp f, A' = softmax, A'' = diag(p) - ppᵀ.

    Expectations by Monte Carlo with the same standard normal draws at every call: the mean over them is itself a
    distribution's, so what holds for expectations holds for it to rounding.
    """

    def __init__(self, classes: int, samples: int, seed: int) -> None:
        """Draw `samples` standard normal vectors of length `classes`."""
        self.outputs = classes
        self.draws = np.random.default_rng(seed).standard_normal((samples, 1, classes))

    def log_partition(self, logits: Array) -> Array:
        """Return log Σ_k exp f_k, over the last axis."""
        return np.asarray(logsumexp(logits, axis=-1))

    def mean(self, logits: Array) -> Array:
        """Return softmax(f)."""
        return np.asarray(softmax(logits, axis=-1))

    def curvature(self, logits: Array) -> Array:
        """Return diag(p) - ppᵀ."""
        p = self.mean(logits)
        return p[..., :, None] * np.eye(self.outputs) - p[..., :, None] * p[..., None, :]

    def expected_log_partition(self, mean: Array, variance: Array) -> Array:
        """Return the draws' mean of A(f), N."""
        return np.asarray(self.log_partition(self._drawn(mean, variance)).mean(axis=0))

    def expected_mean(self, mean: Array, variance: Array) -> Array:
        """Return the draws' mean of softmax(f), N × K."""
        return np.asarray(self.mean(self._drawn(mean, variance)).mean(axis=0))

    def expected_curvature(self, mean: Array, variance: Array) -> Array:
        """Return the draws' mean of diag(p) - ppᵀ, N × K × K."""
        return np.asarray(self.curvature(self._drawn(mean, variance)).mean(axis=0))

    def _drawn(self, mean: Array, variance: Array) -> Array:
        """Return logits from N(mean, variance), samples × N × K, by the symmetric root of each variance."""
        values, vectors = np.linalg.eigh(variance)
        root = vectors * np.sqrt(values.clip(min=0))[:, None, :] @ vectors.swapaxes(1, 2)
        return np.asarray(
            mean + np.einsum("nkl,snl->snk", root, np.broadcast_to(self.draws, (len(self.draws), *mean.shape)))
        )
