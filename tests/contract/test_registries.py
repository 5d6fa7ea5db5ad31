"""What every registered method, model, dataset and figure must do, a new one included before anyone tests it."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from adaptive_smoothing.core import options, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import corruption
from adaptive_smoothing.methods.base import Context, Method, method_class
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.validation import validate_options

ROOT = Path(__file__).parents[2]
KINDS = ("method", "model", "dataset", "noise", "figure")
ENTRIES = [(kind, name) for kind in KINDS for name in registry.names(kind)]


@pytest.fixture(scope="module")
def plans():
    return [plan.Plan(scale, ROOT / "config") for scale in ("paper", "small")]


def hyperparameters(plans, method):
    """Return hyper-parameters of a method out of a shipped scale."""
    for one in plans:
        for run in one.runs.values():
            if run.method == method:
                return run.specification["hyperparameters"]
    pytest.skip(f"no shipped scale uses {method}")


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_options_read_without_importing_equal_the_modules_own(kind, name):
    read = registry.options_class(kind, name)
    own = getattr(registry.load(kind, name), registry.OPTIONS_CLASS[kind])
    assert read.model_json_schema() == own.model_json_schema()
    assert issubclass(read, options.Strict)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_unknown_option_is_refused_by_name(kind, name):
    with pytest.raises(UserError, match="unknown key 'no_such_option'"):
        validate_options(kind, name, {"no_such_option": 1}, "here")


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_file_opens_with_what_it_makes(kind, name):
    path = registry.path(kind, name)
    assert len(ast.get_docstring(ast.parse(path.read_text())) or "") > 40


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_the_known_ones(kind):
    with pytest.raises(UserError, match=f"unknown {kind} 'nothing'.*{registry.names(kind)[-1]}"):
        registry.check(kind, "nothing", "here")


@pytest.mark.parametrize("name", registry.names("method"))
def test_a_method_trains_and_lets_itself_be_stopped_and_evaluated(plans, network, batches, name):
    module = registry.load("method", name)
    model = network()
    torch.manual_seed(0)
    method = method_class(module)(model, module.Hyperparameters(**hyperparameters(plans, name)), Context(60, 3))
    assert isinstance(method, Method)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for images, labels in batches:
        loss = method.step(images, labels, torch.arange(10))
        assert loss.shape == () and not loss.requires_grad and torch.isfinite(loss)
    method.epoch_end()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    after = [parameter.detach().clone() for parameter in model.parameters()]
    with method.evaluation_mode(lambda: (images for images, _ in batches)):
        model(batches[0][0])
    method.load_state_dict(method.state_dict())
    assert all(torch.equal(old, new) for old, new in zip(after, model.parameters(), strict=True))


@pytest.mark.parametrize("name", registry.names("method"))
def test_a_method_says_how_many_gradients_a_step_takes(plans, network, batches, name, monkeypatch):
    module = registry.load("method", name)
    given = hyperparameters(plans, name)
    given = {**given, "train_mc_samples": 3} if "train_mc_samples" in given else given
    method = method_class(module)(network(), module.Hyperparameters(**given), Context(60, 3))
    passes, real = [], torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda self, *more: (passes.append(1), real(self, *more)))
    method.step(*batches[0], torch.arange(10))
    assert len(passes) == method.gradients_per_step


@pytest.mark.parametrize("name", registry.names("method"))
def test_a_methods_posterior_and_soft_labels_have_their_shapes(plans, network, batches, name):
    module = registry.load("method", name)
    model = network()
    method = method_class(module)(model, module.Hyperparameters(**hyperparameters(plans, name)), Context(60, 3))
    method.step(*batches[0], torch.arange(10))
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
        assert soft.shape == (3, 3)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("name", registry.names("model"))
def test_a_model_maps_images_to_classes(plans, name):
    wanted = [setup.model.options for one in plans for setup in one.scale.setups.values() if setup.model.name == name]
    settings = {**wanted[0], "weights": "random"} if "weights" in wanted[0] else wanted[0]
    module = registry.load("model", name)
    channels, size = (3, (32, 32)) if name.startswith("resnet") else (1, (8, 16))
    model = module.build(module.Options(**settings), channels, size, 7).eval()
    assert model(torch.zeros(2, channels, *size)).shape == (2, 7)


def test_resnet34_is_the_papers_with_the_cifar_stem():
    module = registry.load("model", "resnet34")
    model = module.build(module.Options(), 3, (32, 32), 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_282_122
    assert model.conv1.stride == (1, 1) and model.conv1.kernel_size == (3, 3)
    assert model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(torch.zeros(1, 3, 32, 32)))))).shape[-1] == 32


@pytest.mark.parametrize("name", registry.names("dataset"))
def test_a_dataset_says_how_it_is_made(name):
    module = registry.load("dataset", name)
    assert list(inspect.signature(module.make).parameters) == ["options", "data_seed", "source"]


@pytest.mark.parametrize("name", registry.names("noise"))
def test_a_noises_matrix_holds_probabilities(plans, name):
    parameters = [noise.parameters() for one in plans for noise in one.scale.noises.values() if noise.kind == name]
    assert parameters, f"no shipped scale uses {name}"
    for classes in (3, 10):
        matrix = corruption.transition_matrix(parameters[0], classes)
        assert matrix.shape == (classes, classes)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
        assert (matrix >= 0).all()


@pytest.mark.parametrize("name", registry.names("figure"))
def test_a_figure_names_its_table(name):
    registry.check("table", str(registry.constant("figure", name, "TABLE")), "here")
