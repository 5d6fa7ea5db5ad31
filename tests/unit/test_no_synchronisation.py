"""Which calls the mode of `synchronisation.refusing` refuses, and that the loop makes none of them between steps.

That no method's step does is a contract test.
"""

import contextlib

import pytest
import torch
from cases import specification, trainer
from synchronisation import refusing

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.progress import ProgressWriter
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.loop import train_epochs


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
