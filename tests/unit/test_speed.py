"""Device, rounding and speed: chosen by what is there, refused where it is not, off unless asked for."""

import time

import pytest
import torch
from cases import arguments, specification

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.specification import Performance
from adaptive_smoothing.pipeline.scales import Setup
from adaptive_smoothing.training import devices, job

CPU = torch.device("cpu")
OFF = Performance()


def with_gpus(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_the_device_is_chosen_by_what_is_there(monkeypatch, wanted, there, found):
    with_gpus(monkeypatch, there)
    assert devices.choose_device(wanted).type == found


def test_a_gpu_that_is_asked_for_and_absent_is_one_sentence(monkeypatch):
    with_gpus(monkeypatch, False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(UserError, match=r"device 'cuda' is required.*CUDA_VISIBLE_DEVICES=3.*--config device"):
        devices.choose_device("cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=unset"):
        devices.choose_device("cuda")


def test_an_unknown_device_lists_the_legal_ones():
    with pytest.raises(UserError, match=r"unknown device 'gpu'.*legal: auto, cpu, cuda"):
        devices.choose_device("gpu")


def test_all_that_changes_rounding_is_off_unless_a_scale_says_otherwise():
    assert Setup.model_fields["performance"].default == OFF
    assert not any(OFF.model_dump().values())


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_only_where_asked_for(tf32):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.get_num_threads()
    try:
        devices.be_deterministic(CPU, 1, tf32)
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.get_num_threads() == 1
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        torch.set_num_threads(before[2])


def trained(network, batches, settings):
    """Return loss and weights after two steps of SGD."""
    torch.manual_seed(0)
    model = devices.configure(network(), Performance(**settings), CPU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for images, labels in batches[:2]:
        optimizer.zero_grad()
        output = model(images)
        loss = torch.nn.functional.cross_entropy(output, labels)
        loss.backward()
        optimizer.step()
    return model, output, loss.item()


def test_with_all_off_the_network_is_untouched(network):
    model = network()
    assert "forward" not in vars(devices.configure(model, OFF, CPU))
    assert next(model.parameters()).is_contiguous()


def test_bfloat16_computes_in_bfloat16_and_keeps_losses_and_weights_in_float32(network, batches):
    seen = []
    plain, _, loss = trained(network, batches, {})
    model = network()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    devices.configure(model, Performance(bf16=True), CPU)(batches[0][0])
    assert set(seen) == {torch.bfloat16}
    half, output, other = trained(network, batches, {"bf16": True})
    assert output.dtype == torch.float32
    assert all(weight.dtype == torch.float32 for weight in half.parameters())
    assert other != loss and other == pytest.approx(loss, rel=0.05)
    assert half.state_dict().keys() == plain.state_dict().keys()


def test_channels_last_lays_out_convolutions_so():
    module = registry.load("model", "small_cnn")
    network = module.build(module.Options(), 1, (8, 8), 10)
    model = devices.configure(network, Performance(channels_last=True), CPU)
    weights = [parameter for parameter in model.parameters() if parameter.dim() == 4]
    assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.slow
def test_a_compiled_network_trains_to_the_same_weights_within_rounding(network, batches):
    plain, _, loss = trained(network, batches, {})
    compiled, _, other = trained(network, batches, {"compile": True})
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert other == pytest.approx(loss, rel=1e-4)
    for left, right in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


def test_a_training_uses_its_threads_and_no_more(digits, tmp_path):
    """What other threads of the process computed is the processor time of all less that of this one."""
    spec = specification("ivon", epochs=20, evaluate_every=10)
    before = torch.get_num_threads()
    try:
        used = time.process_time(), time.thread_time()
        job.train(**arguments(digits, tmp_path, spec))
        process, own = time.process_time() - used[0], time.thread_time() - used[1]
        assert torch.get_num_threads() == 1
        assert process - own < 0.05 * process
    finally:
        torch.set_num_threads(before)
