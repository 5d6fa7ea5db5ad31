"""Theorem 1, Eq. 16 and App. A.1 on real data: variational steps are steps on noisy labels, to rounding."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

from adaptive_smoothing.theory import logistic, trainers
from adaptive_smoothing.theory.families import Family, Gaussian, Logistic, Multinomial, Poisson
from adaptive_smoothing.theory.glm import GLM

STEPS, DELTA = 8, 0.5
ROUNDING = 1e-10  # of the largest weight


def features(columns: np.ndarray) -> np.ndarray:
    """Return standardised columns and a constant, divided by √P: φᵀφ is 1 on average."""
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    with_constant = np.column_stack([np.ones(len(scaled)), scaled])
    return with_constant / np.sqrt(with_constant.shape[1])


def cancer() -> GLM:
    data = load_breast_cancer()
    return GLM(Logistic(), features(data.data[::4, :10]), data.target[::4, None].astype(float), DELTA)


def diabetes() -> GLM:
    data = load_diabetes()
    return GLM(Gaussian(), features(data.data[::4]), data.target[::4, None] / data.target.std(), DELTA)


def ink() -> GLM:
    """How many of a digit's lower 32 pixels are dark, from the mean of each of its upper rows."""
    images = load_digits().images[::15]
    return GLM(
        Poisson(), features(images[:, 1:4].mean(axis=2)), (images[:, 4:] > 12).sum(axis=(1, 2))[:, None] / 1.0, DELTA
    )


def iris() -> GLM:
    data = load_iris()
    return GLM(Multinomial(3, samples=40, seed=0), features(data.data[::3]), np.eye(3)[data.target[::3]], DELTA)


MODELS = {"logistic": cancer, "gaussian": diabetes, "poisson": ink, "multinomial": iris}
NOISY = [name for name in MODELS if name != "gaussian"]


@pytest.fixture(params=MODELS)
def model(request) -> GLM:
    return MODELS[request.param]()


def start(model: GLM) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(model.features.shape[1], model.family.outputs)) / 3


def rate(model: GLM) -> float:
    """Return a step size under which gradient descent does not overshoot at the start."""
    return 0.5 / np.linalg.eigvalsh(model.expected_hessian(start(model), np.eye(model.size))).max()


def distance(left: list[trainers.Step], right: list[trainers.Step]) -> float:
    """Return the largest difference of the means of two trainings, of the largest weight; they must have moved."""
    for one, after in pairwise(left):
        assert not np.array_equal(one.mean, after.mean)
    return max(np.abs(a.mean - b.mean).max() / np.abs(a.mean).max() for a, b in zip(left, right, strict=True))


def test_theorem_1_variational_gd_is_gd_on_noisy_labels_at_every_step(model):
    given = (model, start(model), rate(model), STEPS)
    variational = list(trainers.variational_gradient_descent(*given))
    noisy = list(trainers.gradient_descent_on_noisy_labels(*given))
    assert distance(variational, noisy) < ROUNDING
    for one, other in zip(variational, noisy, strict=True):
        assert one.noise.shape == model.labels.shape
        np.testing.assert_allclose(one.noise, other.noise, rtol=0, atol=1e-9 * (1 + np.abs(one.noise).max()))


@pytest.mark.parametrize("name", NOISY)
def test_without_the_noise_or_with_its_sign_turned_they_part(name, monkeypatch):
    model = MODELS[name]()
    given = (model, start(model), rate(model), STEPS)
    variational = list(trainers.variational_gradient_descent(*given))
    assert distance(variational, list(trainers.gradient_descent(*given))) > 1e-4
    real = Family.label_noise
    monkeypatch.setattr(type(model.family), "label_noise", lambda *of: -real(*of))
    assert distance(variational, list(trainers.gradient_descent_on_noisy_labels(*given))) > 1e-4


def test_least_squares_gets_no_label_noise():
    model = diabetes()
    steps = list(trainers.variational_gradient_descent(model, start(model), rate(model), STEPS))
    assert max(np.abs(step.noise).max() for step in steps) < 1e-12
    plain = list(trainers.gradient_descent(model, start(model), rate(model), STEPS))
    assert distance(steps, plain) < ROUNDING


def precision(model: GLM) -> np.ndarray:
    return 2 * np.eye(model.size)


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_von_is_newtons_update_on_noisy_labels_at_every_step(model, rate):
    given = (model, start(model), precision(model), rate, STEPS)
    von, noisy = list(trainers.von(*given)), list(trainers.newton_on_noisy_labels(*given))
    assert distance(von, noisy) < ROUNDING
    for one, other in zip(von, noisy, strict=True):
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NOISY)
def test_label_noise_alone_does_not_make_newton_into_von(name):
    """Read to the letter, Newton on noisy labels would keep its own Hessian; then the two are not equal."""
    model = MODELS[name]()
    first = next(trainers.von(model, start(model), precision(model), 1.0, 1)).mean
    noise = model.label_noise(start(model), np.linalg.inv(precision(model)))
    gradient = model.gradient(start(model), model.labels + noise)
    literal = start(model) - np.linalg.solve(model.hessian(start(model)), gradient.ravel()).reshape(first.shape)
    assert np.abs(literal - first).max() > 1e-4


def test_on_least_squares_von_newton_and_ridge_are_one():
    model = diabetes()
    ridge = np.linalg.solve(
        model.features.T @ model.features + DELTA * np.eye(model.size), model.features.T @ model.labels
    )
    newton = next(trainers.newton(model, start(model), 1))
    von = next(trainers.von(model, start(model), precision(model), 1.0, 1))
    np.testing.assert_allclose(newton.mean, ridge, rtol=1e-9)
    np.testing.assert_allclose(von.mean, ridge, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.inv(von.covariance), model.hessian(ridge), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_newton_ends_where_the_gradient_is_zero(name):
    model = MODELS[name]()
    *_, last = trainers.newton(model, np.zeros_like(start(model)), 30)
    assert np.abs(model.gradient(last.mean)).max() < 1e-8
    assert not last.noise.any() and last.covariance is None


def test_a_von_step_minimises_its_surrogate_and_multiplies_gaussians(model):
    """Eq. 25 for ρ = 1, Eq. 24 for any: q_new ∝ q^(1-ρ) exp(-ρ surrogate), in natural parameters."""
    at, before, rate = start(model), precision(model), 0.3
    covariance = np.linalg.inv(before)
    gradient, hessian = model.expected_gradient(at, covariance), model.expected_hessian(at, covariance)
    whole = next(trainers.von(model, at, before, 1.0, 1)).mean
    least = trainers.surrogate(whole, at, gradient, hessian)
    for direction in np.eye(model.size):
        moved = whole + 1e-3 * direction.reshape(whole.shape)
        assert trainers.surrogate(moved, at, gradient, hessian) > least
    step = next(trainers.von(model, at, before, rate, 1))
    product = (1 - rate) * before + rate * hessian
    linear = (1 - rate) * before @ at.ravel() + rate * (hessian @ at.ravel() - gradient.ravel())
    np.testing.assert_allclose(np.linalg.inv(step.covariance), product, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(step.mean.ravel(), np.linalg.solve(product, linear), rtol=1e-8, atol=1e-10)


def numeric_gradient(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    step, found = 1e-5, np.empty_like(at)
    for place in np.ndindex(at.shape):
        shift = np.zeros_like(at)
        shift[place] = step
        found[place] = (function(at + shift) - function(at - shift)) / (2 * step)
    return found


def test_gradients_and_hessians_are_those_of_the_objectives(model):
    """Eq. 6, 7 and 11: differentiated numerically; also by autograd for Eq. 7, with another formula of the loss."""
    at, covariance = start(model), np.linalg.inv(precision(model))
    np.testing.assert_allclose(model.gradient(at), numeric_gradient(model.loss, at), rtol=1e-5, atol=1e-5)
    numeric = numeric_gradient(lambda mean: model.variational_loss(mean, covariance), at)
    np.testing.assert_allclose(model.expected_gradient(at, covariance), numeric, rtol=1e-5, atol=1e-5)
    slopes = np.stack([numeric_gradient(lambda w, k=k: model.gradient(w).ravel()[k], at).ravel() for k in range(3)])
    np.testing.assert_allclose(model.hessian(at)[:3], slopes, rtol=1e-5, atol=1e-5)
    means = np.stack(
        [
            numeric_gradient(lambda w, k=k: model.expected_gradient(w, covariance).ravel()[k], at).ravel()
            for k in range(3)
        ]
    )
    np.testing.assert_allclose(model.expected_hessian(at, covariance)[:3], means, rtol=1e-5, atol=1e-5)


def test_the_divergence_is_torchs():
    model = cancer()
    at, covariance = start(model), np.linalg.inv(precision(model)) + 0.1
    expected = model.family.expected_log_partition(model.logits(at), model.logit_variance(covariance))
    fit = (expected - (model.labels * model.logits(at)).sum(axis=1)).sum()
    q = torch.distributions.MultivariateNormal(torch.from_numpy(at.ravel()), torch.from_numpy(covariance))
    prior = torch.distributions.MultivariateNormal(
        torch.zeros(model.size, dtype=torch.float64), torch.eye(model.size, dtype=torch.float64) / DELTA
    )
    divergence = torch.distributions.kl_divergence(q, prior).item()
    assert model.variational_loss(at, covariance) == pytest.approx(fit + divergence, rel=1e-10)


def test_expectations_over_weights_and_over_logits_agree(model):
    """Eq. 12 and 19: f_i is Gaussian with variance φᵀΣφ. Draws of the weights, within five standard errors."""
    at = start(model)
    mixed = np.random.default_rng(3).normal(size=(model.size, model.size)) / 4
    covariance = mixed @ mixed.T + 0.1 * np.eye(model.size)
    draws = np.random.default_rng(4).multivariate_normal(at.ravel(), covariance, 20_000)
    few = GLM(model.family, model.features[:4], model.labels[:4], DELTA)
    if isinstance(model.family, Multinomial):  # its own draws must not be what limits the comparison
        few = GLM(Multinomial(3, samples=20_000, seed=5), few.features, few.labels, DELTA)
    means = np.stack([few.family.mean(few.logits(draw.reshape(at.shape))) for draw in draws])
    expected = few.family.expected_mean(few.logits(at), few.logit_variance(covariance))
    error = np.sqrt(2) * means.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(means.mean(axis=0) - expected) < 5 * error + 1e-12).all()


@pytest.mark.parametrize("family", [Logistic(), Gaussian(), Poisson()])
@settings(max_examples=15, deadline=None)
@given(mean=st.floats(-6, 6), variance=st.floats(0.01, 9))
def test_expectations_are_integrals(family, mean, variance):
    m, v = np.array([[mean]]), np.array([[[variance]]])

    def integral(function):
        s = variance**0.5
        return quad(lambda f: function(np.array([[f]])).item() * norm.pdf(f, mean, s), mean - 12 * s, mean + 16 * s)[0]

    for found, function in [
        (family.expected_log_partition(m, v), family.log_partition),
        (family.expected_mean(m, v), family.mean),
        (family.expected_curvature(m, v), family.curvature),
    ]:
        assert found.item() == pytest.approx(integral(function), rel=1e-6, abs=1e-7)


def test_logistic_label_noise_is_eq_13s_and_multinomial_noise_sums_to_zero():
    means, variances = np.linspace(-5, 5, 11)[:, None], np.linspace(0.1, 9, 11)[:, None, None]
    noise = Logistic().label_noise(means, variances)
    expected = [logistic.label_noise(m, v.item()).item() for m, v in zip(means, variances, strict=True)]
    np.testing.assert_allclose(noise[:, 0], expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(noise, Family.label_noise(Logistic(), means, variances), rtol=0, atol=1e-15)
    many = iris()
    noise = many.label_noise(start(many), np.eye(many.size))
    assert np.abs(noise).max() > 1e-3
    np.testing.assert_allclose(noise.sum(axis=1), 0, atol=1e-12)


def test_one_samples_noise_is_linear_in_small_steps_with_the_sign_of_eq_14(model):
    step = np.random.default_rng(1).normal(size=start(model).shape)
    errors = []
    for size in (1e-2, 1e-3):
        exact = model.one_sample_noise(start(model), size * step)
        errors.append(np.abs(model.linearised_noise(start(model), size * step) - exact).max())
        assert errors[-1] < 0.1 * np.abs(exact).max()
    assert errors[1] < errors[0] / 50 or errors[0] < 1e-12  # of second order; none at all for least squares


def test_learned_covariances_differ_between_examples_and_move():
    """Eq. 19 against Eq. 12: with Σ learned, the variance of f is no longer the feature's norm."""
    model = cancer()
    steps = list(trainers.von(model, start(model), precision(model), 0.5, 20))
    variance = model.logit_variance(steps[-1].covariance)[:, 0, 0]
    norms = (model.features**2).sum(axis=1)
    assert np.std(variance / norms) > 0.01
    assert np.abs(steps[-1].noise - steps[0].noise).max() > 1e-3
