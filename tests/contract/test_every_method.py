"""What every registered method must do, with every alternative of its hyper-parameters.

The hyper-parameters are made from what the method's file declares, so that a new method is tried before a scale names
it or anyone writes a test for it.
"""

import io
from collections.abc import Sequence
from typing import Any

import generated
import pytest
import torch
from synchronisation import refusing
from torch import Tensor, nn

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.options import BaseHyperparameters
from adaptive_smoothing.methods.base import Context, Method, method_class

CLASSES, INDICES = 3, torch.arange(10)
Batch = tuple[Tensor, Tensor]


def settings_of(name: str) -> list[Any]:
    """Return the sets of hyper-parameters of a method as test cases; the first one has all defaults.

    The others differ in what is the method's own; what all methods have, as the schedule, is the loop's business.
    """
    first, *others = generated.options("method", name)
    sets = [first, *(one for one in others if _changed_key(first, one) not in BaseHyperparameters.model_fields)]
    keys = [_changed_key(first, one) for one in sets[1:]]
    texts = [name, *(f"{name}-{key}-{one[key]}" for key, one in zip(keys, sets[1:], strict=True))]
    return [pytest.param(name, one, id=text) for text, one in zip(texts, sets, strict=True)]


def _changed_key(base: dict[str, Any], one: dict[str, Any]) -> str:
    return next(key for key in one if one[key] != base.get(key))


EVERY = [case for name in registry.names("method") for case in settings_of(name)]
PLAIN = [settings_of(name)[0] for name in registry.names("method")]


class Training:
    """A method that trains a network of its own, with random numbers of its own."""

    def __init__(self, name: str, settings: dict[str, Any], model: nn.Module, seed: int = 0) -> None:
        module = registry.load("method", name)
        self.model = model
        torch.manual_seed(seed)
        self.method: Method = method_class(module)(model, module.Hyperparameters(**settings), Context(60, CLASSES))
        self.generator, self.done = torch.get_rng_state(), 0

    def steps(self, batches: Sequence[Batch]) -> list[float]:
        """Do a step a batch, an epoch being three of them; return the losses."""
        torch.set_rng_state(self.generator)
        losses = []
        for images, labels in batches:
            self.method.set_learning_rate(0.1 / (1 + self.done))
            losses.append(self.method.step(images, labels, INDICES).item())
            self.done += 1
            if self.done % 3 == 0:
                self.method.epoch_end()
        self.generator = torch.get_rng_state()
        return losses

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds, read back from its bytes."""
        stream = io.BytesIO()
        torch.save({"model": self.model.state_dict(), "method": self.method.state_dict()}, stream)
        stream.seek(0)
        state: dict[str, Any] = torch.load(stream, weights_only=True)
        return {**state, "generator": self.generator.clone(), "done": self.done}

    def resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        self.generator, self.done = state["generator"], state["done"]

    def tensors(self) -> dict[str, Tensor]:
        """Return all that can be seen of the training: weights, statistics, soft labels, posterior."""
        soft, std = self.method.soft_labels(), self.method.posterior_std()
        return {
            **self.model.state_dict(),
            **({} if soft is None else {"soft labels": soft}),
            **{f"std {key}": value for key, value in (std or {}).items()},
        }


def other_network(make) -> nn.Module:
    """Return the network with other weights and statistics than `make` gives it."""
    model = make()
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for value in (*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())):
            value.add_(torch.rand(value.shape, generator=generator))
    return model


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_it_trains_and_leaves_its_batch_and_evaluation_as_they_are(network, batches, name, settings):
    training = Training(name, settings, network())
    method, model = training.method, training.model
    assert isinstance(method, Method)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for images, labels in batches:
        given = [tensor.clone() for tensor in (images, labels, INDICES)]
        loss = method.step(images, labels, INDICES)
        assert loss.shape == () and not loss.requires_grad and torch.isfinite(loss)
        assert all(map(torch.equal, given, (images, labels, INDICES))), "a step changed its batch"
    method.epoch_end()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    after = [parameter.detach().clone() for parameter in model.parameters()]
    with method.evaluation_mode(lambda: (images for images, _ in batches)):
        model(batches[0][0])
    assert all(torch.equal(old, new) for old, new in zip(after, model.parameters(), strict=True))


@pytest.mark.parametrize(("name", "settings"), EVERY)
@pytest.mark.parametrize("stop", [2, 3, 4])  # in the middle of the first epoch, at its end, in the second one
def test_a_new_one_resumes_where_a_stopped_one_was(network, batches, name, settings, stop):
    straight = Training(name, settings, network())
    straight.steps(batches[:stop])
    state = straight.state()
    resumed = Training(name, settings, other_network(network), seed=1)
    resumed.resume(state)
    rest = [*batches[stop:], *batches]
    assert resumed.steps(rest) == straight.steps(rest)
    assert_equal(resumed.tensors(), straight.tensors())


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_two_trainings_in_one_process_share_nothing(network, batches, name, settings):
    alone = Training(name, settings, network())
    expected = alone.steps(batches)
    one, other = Training(name, settings, network()), Training(name, settings, other_network(network), seed=1)
    losses = []
    for batch in batches:
        losses += one.steps([batch])
        other.steps([batch])
    assert losses == expected
    assert_equal(one.tensors(), alone.tensors())


@pytest.mark.parametrize(("name", "settings"), PLAIN)
def test_no_step_waits_for_the_device(network, batches, name, settings):
    method = Training(name, settings, network()).method
    for epoch in range(2):
        for images, labels in batches:
            with refusing():
                method.set_learning_rate(0.1 / (1 + epoch))
                method.step(images, labels, INDICES)
        method.epoch_end()


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_it_says_how_many_gradients_a_step_takes(network, batches, name, settings, monkeypatch):
    method = Training(name, settings, network()).method
    passes, real = [], torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda self, *more: (passes.append(1), real(self, *more)))
    method.step(*batches[0], INDICES)
    assert len(passes) == method.gradients_per_step


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_its_posterior_and_soft_labels_have_their_shapes(network, batches, name, settings):
    training = Training(name, settings, network())
    method, model = training.method, training.model
    method.step(*batches[0], INDICES)
    std, soft = method.posterior_std(), method.soft_labels()
    assert bool(registry.constant("method", name, "POSTERIOR")) == (std is not None)
    if std is not None:
        assert {key: value.shape for key, value in std.items()} == {
            key: value.shape for key, value in model.named_parameters()
        }
        weight = next(model.parameters()).detach().clone()
        with method.sampled_weights():
            assert not torch.equal(weight, next(model.parameters()))
        assert torch.equal(weight, next(model.parameters()))
    if soft is not None:
        assert soft.shape == (CLASSES, CLASSES)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(CLASSES))
