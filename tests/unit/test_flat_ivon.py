"""IVON on flat vectors against `ivon-opt` with the same random numbers, and what becomes of its vectors."""

import copy
import math

import pytest
import torch
from ivon import IVON
from torch import nn
from torch.nn import functional

from adaptive_smoothing.methods import _flat_ivon
from adaptive_smoothing.methods._flat_ivon import FlatIVON

SETTINGS = {"lr": 0.1, "ess": 60.0, "hess_init": 0.5, "beta1": 0.9, "beta2": 0.99, "weight_decay": 1e-3}
STEPS = 200


def network(dtype=torch.float64):
    torch.manual_seed(5)
    layers = [nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 12, 3)]
    return nn.Sequential(*layers).to(dtype)


def groups(model):
    """Return two parameter groups with everything that a group may have for itself."""
    first, last = list(model[0].parameters()), list(model[1:].parameters())
    return [
        {"params": first, "lr": 0.2, "weight_decay": 1e-2, "hess_init": 0.25},
        {"params": last, "beta1": 0.8, "beta2": 0.98, "ess": 200.0, "clip_radius": 0.5},
    ]


def data(dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(10, 2, 3, 4, generator=generator, dtype=dtype), torch.randint(0, 3, (10,), generator=generator)


def train(model, optimizer, steps, seed=11):
    images, labels = data(next(model.parameters()).dtype)
    torch.manual_seed(seed)
    for _ in range(steps):
        for _ in range(optimizer.mc_samples):
            optimizer.zero_grad()
            with optimizer.sampled_params(train=True):
                functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("several_groups", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"debias": False},
        {"rescale_lr": False, "lr": 0.05},
        {"clip_radius": 0.02},
        {"mc_samples": 3},
        {"beta2": 1.0},
        {"debias": False, "rescale_lr": False, "clip_radius": 0.05, "mc_samples": 2},
    ],
    ids=str,
)
def test_two_hundred_steps_equal_ivon_opts(changed, several_groups, monkeypatch):
    monkeypatch.setattr(_flat_ivon, "BLOCK", 64)  # several blocks, the last one smaller
    model, other = network(), network()
    settings = {**SETTINGS, **changed}
    flat = FlatIVON(groups(model) if several_groups else model.parameters(), **settings)
    reference = IVON(groups(other) if several_groups else other.parameters(), **settings)
    train(model, flat, STEPS)
    train(other, reference, STEPS)
    assert_close(model, other)
    deviations = [(group["ess"] * (group["hess"] + group["weight_decay"])) ** -0.5 for group in reference.param_groups]
    found = torch.cat([std.flatten() for std in flat.posterior_std().values()])
    torch.testing.assert_close(found, torch.cat(deviations), rtol=1e-7, atol=0)


def assert_close(model, other, rtol=1e-7, atol=1e-9):
    for left, right in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=rtol, atol=atol)


def test_a_clipping_radius_bites():
    """The comparison with clipping would say nothing if no update were clipped."""
    model, other = network(), network()
    train(model, FlatIVON(model.parameters(), **SETTINGS, clip_radius=0.02), 20)
    train(other, FlatIVON(other.parameters(), **SETTINGS), 20)
    assert not torch.allclose(model[4].weight, other[4].weight, atol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_in_either_memory_format_the_same_seed_gives_the_same_trajectory(layout):
    model, other = network().to(memory_format=layout), network()
    train(model, FlatIVON(model.parameters(), **SETTINGS), 50)
    train(other, IVON(other.parameters(), **SETTINGS), 50)
    assert model[0].weight.is_contiguous(memory_format=layout)
    assert_close(model, other)


def test_all_weights_of_a_group_lie_aligned_in_one_vector():
    model = network(torch.float32)
    optimizer = FlatIVON(model.parameters(), **SETTINGS)
    train(model, optimizer, 1)
    storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    assert len(storages) == 1
    assert all(parameter.data_ptr() % 64 == 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    "move",
    [
        lambda model: model.to(memory_format=torch.channels_last),
        lambda model: model.to(torch.float32).to(torch.float64),
        lambda model: model.load_state_dict(copy.deepcopy(model.state_dict())),
    ],
    ids=["memory format", "there and back", "load_state_dict"],
)
def test_a_model_that_is_moved_between_steps_trains_on(move):
    model, other = network(), network()
    optimizer = FlatIVON(model.parameters(), **SETTINGS)
    train(model, optimizer, 5)
    move(model)
    train(model, optimizer, 5, seed=12)
    straight = FlatIVON(other.parameters(), **SETTINGS)
    train(other, straight, 5)
    train(other, straight, 5, seed=12)
    assert_close(model, other, rtol=1e-5, atol=1e-5)
    assert len({parameter.untyped_storage().data_ptr() for parameter in model.parameters()}) == 1


def test_the_state_goes_through_a_file_and_the_resumed_run_gives_the_same_bytes(tmp_path):
    model, resumed = network(torch.float32), network(torch.float32)
    optimizer = FlatIVON(groups(model), **SETTINGS)
    train(model, optimizer, 3)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    train(model, optimizer, 3, seed=12)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = FlatIVON(groups(resumed), **SETTINGS)
    resumed.load_state_dict(state["model"])
    second.load_state_dict(state["optimizer"])
    train(resumed, second, 3, seed=12)
    assert_close(model, resumed, rtol=0, atol=0)
    for left, right in zip(optimizer.posterior_std().values(), second.posterior_std().values(), strict=True):
        assert torch.equal(left, right)


def test_after_an_error_the_mean_is_back_and_the_step_begins_anew():
    model, other = network(), network()
    optimizer = FlatIVON(model.parameters(), **SETTINGS, mc_samples=2)
    images, labels = data()
    with optimizer.sampled_params(train=True):
        functional.cross_entropy(model(images), labels).backward()
    with pytest.raises(RuntimeError, match="interrupted"), optimizer.sampled_params(train=True):
        raise RuntimeError("interrupted")
    assert all(torch.equal(left, right) for left, right in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(RuntimeError, match="a step takes 2 samples, but got 0"):
        optimizer.step()
    model[1].load_state_dict(other[1].state_dict())  # running statistics play no part in training
    train(model, optimizer, 3)
    train(other, FlatIVON(other.parameters(), **SETTINGS, mc_samples=2), 3)
    assert_close(model, other, rtol=0, atol=0)


def test_misuse_is_refused():
    model = network()
    optimizer = FlatIVON(model.parameters(), **SETTINGS)
    with pytest.raises(RuntimeError, match="held already"), optimizer.sampled_params(), optimizer.sampled_params():
        pass
    with pytest.raises(ValueError, match="got no gradient"), optimizer.sampled_params(train=True):
        pass
    assert_close(model, network(), rtol=0, atol=0)


def test_samples_have_the_posteriors_spread():
    """Some 40,000 draws of 300 weights: their standard deviations are within a few standard errors of σ."""
    model = nn.Linear(300, 1, bias=False)
    optimizer = FlatIVON(model.parameters(), **SETTINGS)
    mean = model.weight.detach().clone()
    total = torch.zeros_like(mean)
    for _ in range(400):
        with optimizer.sampled_params():
            total += (model.weight.detach() - mean).square()
    sigma = 1 / math.sqrt(60 * (0.5 + 1e-3))
    assert (total.mean() / 400).sqrt().item() == pytest.approx(sigma, rel=0.02)
