"""Gradient descent, variational gradient descent, Newton's method and VON on a GLM, step by step (Eq. 9, 10, 17, 18).

Each is a generator of `Step`s. Those with label noise (`…_on_noisy_labels`) are what Theorem 1 and App. A.1 say the
variational ones equal: they never take an expectation of the gradient, they only change the labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adaptive_smoothing.theory.glm import GLM
from adaptive_smoothing.theory.logistic import Array


@dataclass(frozen=True)
class Step:
    """Mean (P × K) and covariance (PK × PK; None: no posterior) after a step, and the label noise ε (N × K) in it."""

    mean: Array
    covariance: Array | None
    noise: Array


def gradient_descent(model: GLM, start: Array, rate: float, steps: int) -> Iterator[Step]:
    """Yield θ ← (1 - ρδ) θ - ρ Σ_i φ_i [A'(f_i(θ)) - y_i] (Eq. 9)."""
    yield from _descent(model, start, rate, steps, None)


def variational_gradient_descent(
    model: GLM, start: Array, rate: float, steps: int, covariance: Array | None = None
) -> Iterator[Step]:
    """Yield m ← m - ρ ∇_m L(q), q = N(m, Σ) with Σ fixed (None: I), on the given labels (Eq. 7 and 11)."""
    covariance = np.eye(model.size) if covariance is None else covariance
    mean = start
    for _ in range(steps):
        noise = model.label_noise(mean, covariance)
        mean = mean - rate * model.expected_gradient(mean, covariance)
        yield Step(mean, covariance, noise)


def gradient_descent_on_noisy_labels(
    model: GLM, start: Array, rate: float, steps: int, covariance: Array | None = None
) -> Iterator[Step]:
    """Yield Eq. 9 with y_i replaced by y_i + ε_i, ε_i of q = N(θ, Σ) at each step (Theorem 1, Eq. 10)."""
    yield from _descent(model, start, rate, steps, np.eye(model.size) if covariance is None else covariance)


def _descent(model: GLM, start: Array, rate: float, steps: int, covariance: Array | None) -> Iterator[Step]:
    weights = start
    for _ in range(steps):
        noise = np.zeros_like(model.labels) if covariance is None else model.label_noise(weights, covariance)
        residual = model.family.mean(model.logits(weights)) - (model.labels + noise)
        weights = (1 - rate * model.delta) * weights - rate * model.features.T @ residual
        yield Step(weights, covariance, noise)


def newton(model: GLM, start: Array, steps: int) -> Iterator[Step]:
    """Yield θ ← θ - [∇²ℓ(θ)]⁻¹ ∇ℓ(θ) (Eq. 17)."""
    weights = start
    for _ in range(steps):
        weights = weights - _solved(model.hessian(weights), model.gradient(weights))
        yield Step(weights, None, np.zeros_like(model.labels))


def von(model: GLM, start: Array, precision: Array, rate: float, steps: int) -> Iterator[Step]:
    """Yield Σ⁻¹ ← (1 - ρ) Σ⁻¹ + ρ E_q[∇²ℓ(θ)], then m ← m - ρ Σ E_q[∇ℓ(θ)] with the new Σ (Eq. 18)."""
    mean = start
    for _ in range(steps):
        covariance = _inverse(precision)
        noise, gradient = model.label_noise(mean, covariance), model.expected_gradient(mean, covariance)
        precision = (1 - rate) * precision + rate * model.expected_hessian(mean, covariance)
        mean = mean - rate * _solved(precision, gradient)
        yield Step(mean, _inverse(precision), noise)


def newton_on_noisy_labels(model: GLM, start: Array, precision: Array, rate: float, steps: int) -> Iterator[Step]:
    """Yield Newton's update with y_i replaced by y_i + ε_i, ε_i of q = N(m, Σ), and E_q[∇²ℓ] for ∇²ℓ (App. A.1).

    With ρ = 1 each step is Eq. 17 on noisy labels; the paper leaves the Hessian's expectation out of the label noise
    ("other types of noise"), so it stays one here. With ρ < 1 the Hessians are averaged as in Eq. 18.
    """
    mean = start
    for _ in range(steps):
        covariance = _inverse(precision)
        noise = model.label_noise(mean, covariance)
        precision = (1 - rate) * precision + rate * model.expected_hessian(mean, covariance)
        mean = mean - rate * _solved(precision, model.gradient(mean, model.labels + noise))
        yield Step(mean, _inverse(precision), noise)


def surrogate(weights: Array, at: Array, gradient: Array, hessian: Array) -> float:
    """Return (θ - m)ᵀ g + (θ - m)ᵀ H (θ - m) / 2, whose minimiser is a step from m = `at` (Eq. 23 and 25)."""
    step = (weights - at).ravel()
    return float(step @ gradient.ravel() + step @ hessian @ step / 2)


def _solved(matrix: Array, gradient: Array) -> Array:
    return np.asarray(np.linalg.solve(matrix, gradient.ravel()).reshape(gradient.shape), dtype=np.float64)


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
