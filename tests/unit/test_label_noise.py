"""Label noise of posteriors: quadrature, Theorem 1, linearisation, Monte Carlo."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm
from torch import nn
from torch.func import functional_call

from adaptive_smoothing.theory import label_noise, logistic


@pytest.mark.parametrize("variance", [1.0, 4.0, 16.0])
def test_fig_2s_quadrature_agrees_with_ten_million_samples(variance):
    means = np.array([-8.0, -2.0, 0.0, 0.5, 3.0, 10.0])
    draws = np.random.default_rng(1).standard_normal(10_000_000) * np.sqrt(variance)
    for mean, noise in zip(means, logistic.label_noise(means, variance), strict=True):
        samples = expit(mean + draws)
        error = samples.std() / np.sqrt(len(samples))
        difference = abs(noise - (expit(mean) - samples.mean()))
        print(
            f"variance {variance:g}, mean {mean:g}: |quadrature - Monte Carlo| = {difference:.1e} (1 s.e. {error:.1e})"
        )
        assert difference < 5 * error


@pytest.mark.parametrize("variance", [1.0, 4.0, 16.0])
def test_fig_2s_quadrature_agrees_with_adaptive_integration(variance):
    for mean in (-6.0, 0.0, 1.0, 9.0):
        exact, _ = quad(
            lambda f, m=mean: expit(f) * norm.pdf(f, m, variance**0.5),
            mean - 60,
            mean + 60,
            points=[0, mean],
            epsabs=1e-13,
            limit=500,
        )
        assert logistic.expected_sigmoid(np.array([mean]), variance)[0] == pytest.approx(exact, abs=1e-9)


def test_label_noise_is_zero_at_zero_odd_and_fades_far_away():
    means = np.linspace(-30, 30, 601)
    noise = logistic.label_noise(means, 4.0)
    assert abs(noise[300]) < 1e-12
    np.testing.assert_allclose(noise, -noise[::-1], atol=1e-12)
    assert abs(noise[0]) < 1e-6 < np.abs(noise).max()


def test_theorem_1_a_variational_gradient_step_is_a_step_with_noisy_labels():
    """Eq. 7 is differentiated numerically in m by quadrature; Eq. 9 is done with y replaced by y + ε (Eq. 10)."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((30, 4))
    labels = (generator.random(30) < 0.5).astype(float)
    mean = torch.tensor(generator.standard_normal(4), requires_grad=True)
    rho, delta = 0.1, 0.5
    points, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(200))
    inputs = torch.from_numpy(features)
    center = inputs @ mean
    spread = inputs.norm(dim=1)  # f_i ~ N(φᵀm, φᵀφ), Eq. 12
    logits = center[:, None] + spread[:, None] * points
    losses = -torch.from_numpy(labels)[:, None] * logits + nn.functional.softplus(logits)  # Eq. 8
    objective = (losses @ weights / weights.sum()).sum() + delta * (mean @ mean) / 2  # KL to N(0, I/δ), up to constants
    objective.backward()
    variational = (mean - rho * mean.grad).detach().numpy()

    m = mean.detach().numpy()
    f = features @ m
    noise = np.array([logistic.label_noise(fi, si**2) for fi, si in zip(f, spread.numpy(), strict=True)])
    noisy = labels + noise
    gradient_descent = (1 - rho * delta) * m - rho * features.T @ (expit(f) - noisy)  # Eq. 9
    np.testing.assert_allclose(variational, gradient_descent, rtol=0, atol=1e-10)
    plain = (1 - rho * delta) * m - rho * features.T @ (expit(f) - labels)
    assert np.abs(plain - variational).max() > 1e-3


@pytest.fixture
def posterior():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double().eval()
    images = torch.randn(9, 1, 2, 3, dtype=torch.float64)
    mean = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return model, images, mean


def test_linearised_noise_agrees_with_finite_differences(posterior):
    model, images, mean = posterior
    tangent = {name: torch.randn_like(value) for name, value in mean.items()}

    def probabilities(step):
        moved = {name: mean[name] + step * tangent[name] for name in mean}
        return functional_call(model, moved, (images,)).softmax(dim=1)

    step = 1e-5
    numeric = (probabilities(step) - probabilities(-step)) / (2 * step)
    linear = label_noise.linearised(model, mean, tangent, images)
    torch.testing.assert_close(linear, numeric, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(linear.sum(dim=1), torch.zeros(9, dtype=torch.float64))


def test_batches_and_whole_agree_and_small_posteriors_are_linear(posterior):
    model, images, mean = posterior
    std = {name: torch.full_like(value, 1e-4) for name, value in mean.items()}

    def measured(parts, samples=4):
        generator = torch.Generator().manual_seed(2)
        return label_noise.estimate_label_noise(model, mean, std, lambda: iter(images.split(parts)), samples, generator)

    whole, split = measured(9), measured(2)
    torch.testing.assert_close(whole.noise_exact, split.noise_exact)
    torch.testing.assert_close(whole.magnitude_linearised, split.magnitude_linearised)
    one = measured(9, samples=1)
    torch.testing.assert_close(one.noise_exact.abs(), one.noise_linearised, rtol=1e-2, atol=1e-8)


def test_exact_noise_converges_to_the_integral(posterior):
    """A posterior over one bias of a two-class model is a one-dimensional integral."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([0.0, 1.0]))
    mean = {name: parameter.detach() for name, parameter in model.named_parameters()}
    std = {"1.weight": torch.zeros(2, 1).double(), "1.bias": torch.tensor([0.0, 2.0]).double()}
    images = torch.ones(1, 1, 1, 1).double()
    found = label_noise.estimate_label_noise(
        model, mean, std, lambda: iter([images]), 20_000, torch.Generator().manual_seed(0)
    )
    expected = logistic.label_noise(np.array([1.0]), 4.0)[0]
    assert found.noise_exact[0, 1].item() == pytest.approx(expected, abs=0.01)
    assert found.noise_exact[0, 0].item() == pytest.approx(-expected, abs=0.01)
