"""Captured steps: what is replayed when, and what falls back with a line. No GPU: a stand-in records and replays."""

import pytest
import torch
from cases import arguments, specification

from adaptive_smoothing.core import registry
from adaptive_smoothing.methods.base import Context, method_class
from adaptive_smoothing.training import cuda_graph, job

CPU = torch.device("cpu")


def stand_in(step):
    """Replays by doing the step on the tensors that it was captured with, as a graph does."""
    return step


def trained(network, batches, captured):
    module = registry.load("method", "ls")
    settings = {"lr": 0.1, "weight_decay": 1e-3, "momentum": 0.9, "alpha": 0.1}
    schedule = {"kind": "step", "milestones": (100,), "factor": 0.1}
    model = network()
    method = method_class(module)(model, module.Hyperparameters(**settings, schedule=schedule), Context(60, 3))
    steps = cuda_graph.CapturedStep(method.step, 10, CPU, stand_in) if captured else method.step
    smaller = batches[0][0][:4], batches[0][1][:4]
    losses = [steps(*batch, torch.arange(len(batch[0]))).clone() for batch in [*batches, smaller, *batches]]
    return model, torch.stack(losses)


def test_replays_see_each_new_batch_and_a_smaller_one_is_done_by_itself(network, batches, capsys):
    (model, losses), (other, expected) = (trained(network, batches, captured) for captured in (True, False))
    assert torch.equal(losses, expected)
    assert all(torch.equal(left, right) for left, right in zip(model.parameters(), other.parameters(), strict=True))
    assert capsys.readouterr().out == "cuda_graph: a batch of 4 images runs outside the graph, which is for 10\n"


def test_a_step_is_captured_once_after_the_warm_up():
    captures, replays = [], []

    def capture(step):
        captures.append(step)
        return lambda: replays.append(1) or torch.zeros(())

    done = []
    steps = cuda_graph.CapturedStep(lambda *given: done.append(1) or torch.zeros(()), 2, CPU, capture)
    for _ in range(cuda_graph.WARM_UP + 4):
        steps(torch.zeros(2), torch.zeros(2), torch.zeros(2))
    assert (len(done), len(captures), len(replays)) == (cuda_graph.WARM_UP, 1, 4)


def test_what_cannot_be_captured_is_done_step_by_step_with_one_line(capsys):
    def capture(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    steps = cuda_graph.CapturedStep(lambda images, labels, indices: images.sum(), 2, CPU, capture)
    sums = [steps(torch.full((2,), float(number)), torch.zeros(2), torch.zeros(2)).item() for number in range(6)]
    assert sums == [0, 2, 4, 6, 8, 10]
    assert capsys.readouterr().out == (
        "cuda_graph: this model or method cannot be captured "
        "(RuntimeError: operation not permitted when stream is capturing); steps run one by one\n"
    )


@pytest.mark.parametrize("asked", [False, True])
def test_without_a_gpu_a_training_says_so_and_gives_the_same(digits, tmp_path, capsys, asked):
    spec = specification("ls", epochs=1, performance={"cuda_graph": asked})
    job.train(**arguments(digits, tmp_path, spec, device="cpu"))
    line = "cuda_graph: there is no GPU; steps run one by one\n"
    assert (line in capsys.readouterr().out) == asked
