"""Each method against a literal computation of what its paper says."""

import math

import pytest
import torch
from ivon import IVON
from torch.nn import functional

from adaptive_smoothing.methods import ivon, ls, ols, sam
from adaptive_smoothing.methods.base import Context, method_class

STEP = {"kind": "step", "milestones": (100,), "factor": 0.1}
SGD = {"lr": 0.1, "weight_decay": 1e-3, "momentum": 0.9, "schedule": STEP}
IVON_SETTINGS = {
    "lr": 0.2,
    "weight_decay": 1e-3,
    "schedule": {"kind": "cosine", "warmup_epochs": 1},
    "hess_init": 0.5,
    "beta1": 0.9,
    "beta2": 0.99,
    "ess_per_example": 1.0,
    "train_mc_samples": 1,
    "hessian": "learned",
    "batch_norm": "sampled",
}
CONTEXT = Context(train_size=60, classes=3)
INDICES = torch.arange(10)


def literal_sgd(weights, gradients, buffers, first):
    """One step of SGD with momentum 0.9, learning rate 0.1 and weight decay 1e-3, by hand."""
    for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        step = gradient + 1e-3 * weight
        buffers[number] = step if first else 0.9 * buffers[number] + step
        weight -= 0.1 * buffers[number]


def assert_same_weights(model, other, **tolerance):
    for left, right in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, **tolerance)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_ls_loss_is_cross_entropy_to_the_smoothed_label_of_eq_1(network, batches, alpha):
    images, labels = batches[0]
    model = network()
    log_probabilities = network()(images).log_softmax(dim=1)
    smoothed = (1 - alpha) * functional.one_hot(labels, 3) + alpha / 3
    expected = -(smoothed * log_probabilities).sum(dim=1).mean()
    method = method_class(ls)(model, ls.Hyperparameters(**SGD, alpha=alpha), CONTEXT)
    torch.testing.assert_close(method.step(images, labels, INDICES), expected.detach())
    torch.testing.assert_close(method.soft_labels()[labels], smoothed.float())


def test_ls_with_alpha_0_is_plain_sgd(network, batches):
    model, other, buffers = network(), network(), {}
    method = method_class(ls)(model, ls.Hyperparameters(**SGD, alpha=0.0), CONTEXT)
    for number, (images, labels) in enumerate(batches):
        method.step(images, labels, INDICES)
        gradients = torch.autograd.grad(functional.cross_entropy(other(images), labels), list(other.parameters()))
        with torch.no_grad():
            literal_sgd(list(other.parameters()), gradients, buffers, first=number == 0)
    assert_same_weights(model, other)


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_sams_twenty_steps_equal_two_literal_passes(network, batches, rho):
    model, other, buffers = network(), network(), {}
    method = method_class(sam)(model, sam.Hyperparameters(**SGD, rho=rho, batch_norm="both_passes"), CONTEXT)
    for number in range(20):
        images, labels = batches[number % len(batches)]
        method.step(images, labels, INDICES)
        weights = list(other.parameters())
        first = torch.autograd.grad(functional.cross_entropy(other(images), labels), weights)
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in first))
        kept = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, gradient in zip(weights, first, strict=True):
                weight += rho * gradient / norm
        second = torch.autograd.grad(functional.cross_entropy(other(images), labels), weights)
        with torch.no_grad():
            for weight, old in zip(weights, kept, strict=True):
                weight.copy_(old)
            literal_sgd(weights, second, buffers, first=number == 0)
    assert_same_weights(model, other, rtol=1e-4, atol=1e-5)


def test_sam_restores_the_weights_after_an_error(network, batches):
    model, weights = network(), []
    method = method_class(sam)(model, sam.Hyperparameters(**SGD, rho=0.5, batch_norm="first_pass"), CONTEXT)

    def interrupt(module, inputs):
        weights.append([parameter.detach().clone() for parameter in model.parameters()])
        if len(weights) == 2:  # the pass at the perturbed weights
            raise RuntimeError("interrupted")

    model.register_forward_pre_hook(interrupt)
    with pytest.raises(RuntimeError, match="interrupted"):
        method.step(*batches[0], INDICES)
    assert not torch.equal(weights[0][0], weights[1][0])
    assert all(torch.equal(old, new) for old, new in zip(weights[0], model.parameters(), strict=True))


@pytest.mark.parametrize(("policy", "updates"), [("first_pass", 1), ("both_passes", 2)])
def test_sams_batch_norm_policy_decides_which_passes_count(network, batches, policy, updates):
    model, other = network(), network()
    method = method_class(sam)(model, sam.Hyperparameters(**SGD, rho=0.0, batch_norm=policy), CONTEXT)
    images, labels = batches[0]
    method.step(images, labels, INDICES)
    for _ in range(updates):  # with ρ = 0 both passes see the same activations
        other(images)
    torch.testing.assert_close(model[2].running_mean, other[2].running_mean)
    torch.testing.assert_close(model[2].running_var, other[2].running_var)
    assert model[2].momentum == 0.1


def test_ols_table_after_two_epochs_equals_a_hand_worked_example():
    """Two classes, one weight each, a learning rate of nearly zero: softmax outputs stay what they are."""
    model = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [math.log(3.0)]]))
    settings = {**SGD, "lr": 1e-12, "alpha": 0.5, "first_epoch_alpha": 0.1}
    method = method_class(ols)(model, ols.Hyperparameters(**settings), Context(train_size=4, classes=2))
    # x = 1: p = (1/4, 3/4), predicts 1;  x = -1: p = (3/4, 1/4), predicts 0;  x = 2: p = (1/10, 9/10), predicts 1
    images, labels = torch.tensor([[1.0], [-1.0], [2.0], [-1.0]]), torch.tensor([1, 0, 1, 1])

    first = method.step(images, labels, torch.arange(4))
    smoothed = [(0.25, 0.75), (0.75, 0.25), (0.1, 0.9), (0.75, 0.25)]
    expected = -sum(
        0.95 * math.log(p[y]) + 0.05 * math.log(p[1 - y]) for p, y in zip(smoothed, labels.tolist(), strict=True)
    )
    assert first.item() == pytest.approx(expected / 4, rel=1e-5)
    method.epoch_end()
    # class 0: only the second example is right; class 1: the mean of the first and the third, the fourth is wrong
    table = torch.tensor([[0.75, 0.25], [0.175, 0.825]])
    torch.testing.assert_close(method.soft, table)

    second = method.step(images[:1], labels[:1], torch.arange(1))
    soft = -(0.175 * math.log(0.25) + 0.825 * math.log(0.75))
    assert second.item() == pytest.approx(0.5 * -math.log(0.75) + 0.5 * soft, rel=1e-5)
    method.epoch_end()
    # epoch 2 saw class 1 once, and class 0 never: it keeps its column
    torch.testing.assert_close(method.soft, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    torch.testing.assert_close(method.soft_labels(), torch.tensor([[0.875, 0.125], [0.125, 0.875]]))


@pytest.mark.parametrize(("implementation", "tolerance"), [("flat", 1e-5), ("reference", 0.0)])
@pytest.mark.parametrize("changed", [{}, {"train_mc_samples": 3}, {"hessian": "fixed"}])
def test_ivons_fifty_steps_equal_ivon_opts_with_the_same_random_numbers(
    network, batches, changed, implementation, tolerance
):
    settings = {**IVON_SETTINGS, **changed, "implementation": implementation}
    model, other = network(), network()
    method = method_class(ivon)(model, ivon.Hyperparameters(**settings), CONTEXT)
    reference = IVON(
        other.parameters(),
        lr=0.2,
        ess=60,
        hess_init=0.5,
        beta1=0.9,
        beta2=1.0 if settings["hessian"] == "fixed" else 0.99,
        weight_decay=1e-3,
        mc_samples=settings["train_mc_samples"],
    )
    torch.manual_seed(11)
    for number in range(50):
        method.set_learning_rate(0.2 / (1 + number))
        method.step(*batches[number % 6], INDICES)
    torch.manual_seed(11)
    for number in range(50):
        reference.param_groups[0]["lr"] = 0.2 / (1 + number)
        images, labels = batches[number % 6]
        for _ in range(settings["train_mc_samples"]):
            with reference.sampled_params(train=True):
                reference.zero_grad()
                functional.cross_entropy(other(images), labels).backward()
        reference.step()
    assert_same_weights(model, other, rtol=tolerance, atol=tolerance)
    hessian = reference.param_groups[0]["hess"]
    std = torch.cat([value.flatten() for value in method.posterior_std().values()])
    torch.testing.assert_close(std, (60 * (hessian + 1e-3)) ** -0.5)
    assert (hessian == 0.5).all() == (settings["hessian"] == "fixed")


@pytest.mark.parametrize("implementation", ["flat", "reference"])
def test_ivon_restores_the_mean_after_an_error_while_sampled(network, implementation):
    model = network()
    method = method_class(ivon)(model, ivon.Hyperparameters(**IVON_SETTINGS, implementation=implementation), CONTEXT)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(RuntimeError, match="interrupted"), method.sampled_weights():
        assert not torch.equal(before[0], next(model.parameters()))
        raise RuntimeError("interrupted")
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("policy", ["sampled", "mean"])
def test_ivons_batch_norm_policy_decides_where_statistics_come_from(network, batches, policy):
    model = network()
    method = method_class(ivon)(model, ivon.Hyperparameters(**{**IVON_SETTINGS, "batch_norm": policy}), CONTEXT)
    for images, labels in batches:
        method.step(images, labels, INDICES)
    gathered = model[2].running_mean.clone()
    with method.evaluation_mode(lambda: (images for images, _ in batches)):
        held = model[2].running_mean.clone()
    hidden = torch.stack([model[1](images.flatten(1)).mean(dim=0) for images, _ in batches]).mean(dim=0)
    if policy == "sampled":
        torch.testing.assert_close(held, gathered)
        assert not torch.allclose(held, hidden)
    else:
        torch.testing.assert_close(held, hidden.detach())
    assert model[2].momentum == 0.1
