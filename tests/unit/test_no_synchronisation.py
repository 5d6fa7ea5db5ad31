"""No step waits for the device: on a GPU such a call stops the queue, and no CUDA graph can hold it.

There need be no GPU here: a dispatch mode refuses the calls that would wait for one, or copy between it and the host.
"""

import contextlib

import pytest
import torch
from cases import specification, trainer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.progress import ProgressWriter
from adaptive_smoothing.methods.base import Context, method_class
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.loop import train_epochs

REFUSED = {
    f"aten::{name}"
    for name in (
        "_local_scalar_dense",  # item(), float(), int(), bool() and all Python branches on a tensor
        "is_nonzero",
        "equal",
        "allclose",
        "nonzero",
        "masked_select",
        "argwhere",
        "unique_dim",
        "_unique2",
        "bincount",
        "lift_fresh",  # a tensor made from Python's numbers, or NumPy's, is copied to the device
    )
}


class RefusingCalls(TorchFunctionMode):
    """Raises AssertionError for the copies to the host that on the CPU pass no dispatcher."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        assert name not in ("tolist", "numpy", "cpu", "__array__"), f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


class RefusingOperations(TorchDispatchMode):
    """Raises AssertionError for an operation that would synchronise a GPU with the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        assert name not in REFUSED, f"{name} waits for the device"
        assert name != "aten::_to_copy" or kwargs.get("device") is None, "a copy to or from the host"
        if name in ("aten::index", "aten::index_put", "aten::index_put_"):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} with a mask waits for the device"
        return func(*args, **kwargs)


@contextlib.contextmanager
def refusing():
    with RefusingCalls(), RefusingOperations():
        yield


@pytest.mark.parametrize(
    "call",
    [
        lambda values: values.sum().item(),
        lambda values: bool((values > 0).all()),
        lambda values: float(values[0]),
        lambda values: values[values > 0],
        lambda values: values.tolist(),
        lambda values: values.numpy(),
        lambda values: values.cpu(),
        lambda values: torch.tensor(0.1),
        lambda values: torch.nonzero(values),
        lambda values: values.double().to("meta"),
    ],
)
def test_the_mode_refuses_what_would_wait(call):
    with refusing(), pytest.raises(AssertionError, match=r"wait|copy"):
        call(torch.arange(3.0))


STEP = {"kind": "step", "milestones": (100,), "factor": 0.1}
SGD = {"lr": 0.1, "weight_decay": 1e-3, "momentum": 0.9, "schedule": STEP}
IVON = {"lr": 0.2, "weight_decay": 1e-3, "schedule": STEP, "hess_init": 0.5, "beta1": 0.9, "beta2": 0.99}
IVON |= {"ess_per_example": 1.0, "train_mc_samples": 1, "hessian": "learned", "batch_norm": "sampled"}
METHODS = [
    ("ls", {**SGD, "alpha": 0.1}),
    ("sam", {**SGD, "rho": 0.1, "batch_norm": "first_pass"}),
    ("sam", {**SGD, "rho": 0.1, "batch_norm": "both_passes"}),
    ("ols", {**SGD, "alpha": 0.5, "first_epoch_alpha": 0.1}),
    ("ivon", IVON),
    ("ivon", {**IVON, "train_mc_samples": 2, "hessian": "fixed"}),
]


def test_every_method_is_looked_at():
    assert {name for name, _ in METHODS} == set(registry.names("method"))


@pytest.mark.parametrize(("name", "settings"), METHODS)
def test_no_methods_step_waits_for_the_device(network, batches, name, settings):
    module = registry.load("method", name)
    method = method_class(module)(network(), module.Hyperparameters(**settings), Context(60, 3))
    for epoch in range(2):
        for images, labels in batches:
            with refusing():
                method.set_learning_rate(0.1 / (1 + epoch))
                method.step(images, labels, torch.arange(10))
        method.epoch_end()


class RefusingCheckpoint(Checkpoint):
    """Refuses between the ends of an epoch's first step and its last but one: what happens once an epoch may wait."""

    def __init__(self, path, steps):
        super().__init__(path, {}, 1000)
        self.steps, self.done, self.stack = steps, 0, contextlib.ExitStack()

    def after_step(self, state):
        self.done += 1
        if self.done == 1:
            self.stack.enter_context(refusing())
        if self.done == self.steps - 1:
            self.stack.close()


@pytest.mark.parametrize("method", registry.names("method"))
def test_the_loop_waits_once_an_epoch_and_not_between_steps(digits, method, tmp_path):
    spec = specification(method, epochs=1)
    trained = trainer(digits, spec)
    checkpoint = RefusingCheckpoint(tmp_path / "checkpoint.pt", trained.steps_per_epoch)
    train_epochs(trained, checkpoint, ProgressWriter(tmp_path / "progress.json", spec.epochs))
    assert checkpoint.done == trained.steps_per_epoch == 4
