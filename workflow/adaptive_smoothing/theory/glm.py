"""A generalised linear model on data: its loss (Eq. 6), its variational objective (Eq. 7) and their derivatives.

Shapes: features Φ N × P, labels y N × K, weights θ and means m P × K; a covariance Σ, a precision and a Hessian are
PK × PK, over the weights row by row.
"""

from dataclasses import dataclass

import numpy as np

from adaptive_smoothing.theory.families import Family
from adaptive_smoothing.theory.logistic import Array


@dataclass(frozen=True)
class GLM:
    """Data, a family, and δ of the regulariser δ‖θ‖² / 2 (in Eq. 7: of the prior N(0, I / δ))."""

    family: Family
    features: Array
    labels: Array
    delta: float

    @property
    def size(self) -> int:
        """Return the number PK of weights."""
        return int(self.features.shape[1]) * self.family.outputs

    def logits(self, weights: Array) -> Array:
        """Return f_i = φ_iᵀθ, N × K."""
        return self.features @ weights

    def logit_variance(self, covariance: Array) -> Array:
        """Return φ_iᵀΣφ_i, N × K × K: the variance of f_i under q = N(m, Σ) (Eq. 12 and 19)."""
        blocks = covariance.reshape(*2 * (self.features.shape[1], self.family.outputs))
        variance: Array = np.einsum("np,pkql,nq->nkl", self.features, blocks, self.features, optimize=True)
        return variance

    def loss(self, weights: Array) -> float:
        """Return Σ_i ℓ_i(θ) + δ‖θ‖² / 2 (Eq. 6 with Eq. 8 or 15)."""
        logits = self.logits(weights)
        fit = self.family.log_partition(logits) - (self.labels * logits).sum(axis=1)
        return float(fit.sum() + self.delta * (weights**2).sum() / 2)

    def variational_loss(self, mean: Array, covariance: Array) -> float:
        """Return E_q[Σ_i ℓ_i(θ)] + KL(q ‖ N(0, I / δ)), q = N(m, Σ) (Eq. 7)."""
        logits = self.logits(mean)
        expected = self.family.expected_log_partition(logits, self.logit_variance(covariance))
        fit = (expected - (self.labels * logits).sum(axis=1)).sum()
        scale = self.delta * (np.trace(covariance) + (mean**2).sum())
        divergence = (scale - self.size - self.size * np.log(self.delta) - np.linalg.slogdet(covariance)[1]) / 2
        return float(fit + divergence)

    def gradient(self, weights: Array, labels: Array | None = None) -> Array:
        """Return ∇ℓ(θ), P × K, with other labels in place of y where they are given (the bracket of Eq. 9)."""
        labels = self.labels if labels is None else labels
        return self.features.T @ (self.family.mean(self.logits(weights)) - labels) + self.delta * weights

    def hessian(self, weights: Array) -> Array:
        """Return ∇²ℓ(θ), PK × PK."""
        return self._summed(self.family.curvature(self.logits(weights)))

    def expected_gradient(self, mean: Array, covariance: Array) -> Array:
        """Return E_q[∇ℓ(θ)], P × K, which is the gradient of Eq. 7 in m (Eq. 11)."""
        expected = self.family.expected_mean(self.logits(mean), self.logit_variance(covariance))
        return self.features.T @ (expected - self.labels) + self.delta * mean

    def expected_hessian(self, mean: Array, covariance: Array) -> Array:
        """Return E_q[∇²ℓ(θ)], PK × PK."""
        return self._summed(self.family.expected_curvature(self.logits(mean), self.logit_variance(covariance)))

    def label_noise(self, mean: Array, covariance: Array) -> Array:
        """Return ε_i = A'(f_i(m)) - E_q[A'(f_i(θ))], N × K (Eq. 10, 13 and 16)."""
        return self.family.label_noise(self.logits(mean), self.logit_variance(covariance))

    def one_sample_noise(self, mean: Array, step: Array) -> Array:
        """Return A'(f_i(m)) - A'(f_i(θ)), N × K, at one sample θ = m + step, step = Σ^{1/2} e."""
        return self.family.mean(self.logits(mean)) - self.family.mean(self.logits(mean + step))

    def linearised_noise(self, mean: Array, step: Array) -> Array:
        """Return -A''(f_i(m)) φ_iᵀ step, N × K: one sample's noise to first order (Eq. 14 and 20, where ∇f_i = φ_i)."""
        change: Array = np.einsum("nkl,nl->nk", self.family.curvature(self.logits(mean)), self.logits(step))
        return -change

    def _summed(self, curvature: Array) -> Array:
        """Return Σ_i φ_iφ_iᵀ ⊗ A''_i + δI, PK × PK."""
        blocks: Array = np.einsum("np,nkl,nq->pkql", self.features, curvature, self.features, optimize=True)
        return blocks.reshape(self.size, self.size) + self.delta * np.eye(self.size)
