"""What every registered model must do, with every alternative of its options."""

from typing import Any

import generated
import pytest
import torch
from torch import Tensor, nn

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError

CHANNELS, SIZE = (1, 3), (16, 32)  # grey and colour; no square
CASES = [
    (name, options, channels)
    for name in registry.names("model")
    for options in generated.options("model", name)
    for channels in CHANNELS
]


def built(name: str, options: dict[str, Any], channels: int, classes: int = 7, seed: int = 0) -> nn.Module:
    """Return a network; skip the test if it refuses this number of channels in one sentence."""
    module = registry.load("model", name)
    torch.manual_seed(seed)
    try:
        model: nn.Module = module.build(module.Options(**options), channels, SIZE, classes)
    except UserError as error:
        pytest.skip(str(error))
    return model


def images(channels: int) -> Tensor:
    return torch.randn(4, channels, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", registry.names("model"))
def test_it_takes_grey_or_colour_images(name):
    module = registry.load("model", name)
    options, accepted = module.Options(**generated.options("model", name)[0]), []
    for channels in CHANNELS:
        try:
            module.build(options, channels, SIZE, 7)
        except UserError:
            continue
        accepted.append(channels)
    assert accepted


@pytest.mark.parametrize(("name", "options", "channels"), CASES)
def test_it_maps_images_of_its_channels_to_classes(name, options, channels):
    model = built(name, options, channels).eval()
    with torch.no_grad():
        logits = model(images(channels))
        assert logits.shape == (4, 7)
        for channel in range(channels):
            changed = images(channels)
            changed[:, channel] = changed[:, channel].flip(0)
            assert not torch.equal(model(changed), logits), f"channel {channel} makes no difference"
        assert torch.equal(model(images(channels)), logits)


@pytest.mark.parametrize(("name", "options", "channels"), CASES)
def test_every_weight_is_trained_and_saved(name, options, channels):
    model, other = built(name, options, channels), built(name, options, channels, seed=1)
    weights = dict(model.named_parameters())
    assert all(torch.equal(value, weights[key]) for key, value in built(name, options, channels).named_parameters())
    nn.functional.cross_entropy(model(images(channels)), torch.tensor([0, 1, 2, 6])).backward()
    assert [key for key, value in weights.items() if value.requires_grad and value.grad is None] == []
    assert any(not torch.equal(value, weights[key]) for key, value in other.named_parameters()), "no random weights"
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(images(channels)), model.eval()(images(channels)))


def test_resnet34_is_the_papers_with_the_cifar_stem():
    module = registry.load("model", "resnet34")
    model = module.build(module.Options(), 3, (32, 32), 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_282_122
    assert model.conv1.stride == (1, 1) and model.conv1.kernel_size == (3, 3)
    assert model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(torch.zeros(1, 3, 32, 32)))))).shape[-1] == 32
