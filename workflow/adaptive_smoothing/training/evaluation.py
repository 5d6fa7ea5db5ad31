"""Measures of a classifier: accuracy, negative log-likelihood, expected calibration error."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ECE_BINS = 15
Batches = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class Measures:
    """Accuracy (0–1), mean negative log-likelihood (nats) and expected calibration error (0–1)."""

    accuracy: float
    nll: float
    ece: float


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width over the confidence: examples in each, their mean confidence and accuracy (None: empty)."""

    count: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]


@torch.no_grad()
def log_probabilities(model: nn.Module, batches: Batches) -> Tensor:
    """Return the log-softmax outputs, N × K, in evaluation mode; the model's mode is put back."""
    was_training = model.training
    model.eval()
    try:
        return torch.cat([model(images).log_softmax(dim=1) for images in batches()])
    finally:
        model.train(was_training)


@torch.no_grad()
def posterior_averaged(
    model: nn.Module, sampled: Callable[[], AbstractContextManager[None]], batches: Batches, samples: int
) -> Tensor:
    """Return the log of the mean softmax output over draws, N × K; within `sampled()` the model holds a draw."""
    total: Tensor | None = None
    for _ in range(samples):
        with sampled():
            probabilities = log_probabilities(model, batches).exp_()
        total = probabilities if total is None else total.add_(probabilities)
    if total is None:
        raise ValueError("an average over draws needs at least one")
    return total.div_(samples).log_()


def measures(log_probabilities: Tensor, labels: Tensor) -> Measures:
    """Return the measures of N × K log-probabilities against N labels."""
    nll = torch.nn.functional.nll_loss(log_probabilities, labels)
    confidence, predicted = log_probabilities.exp().max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    return Measures(correct.mean().item(), nll.item(), expected_calibration_error(confidence, correct))


def accuracy(log_probabilities: Tensor, labels: Tensor) -> float:
    """Return the share of examples whose most probable class is their label."""
    return (log_probabilities.argmax(dim=1) == labels).to(torch.float32).mean().item()


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = ECE_BINS) -> float:
    """Return Σ_b |B_b| / N · |accuracy(B_b) - confidence(B_b)| over bins of equal width (Guo et al. 2017)."""
    gaps = _sums_by_bin(confidence, correct - confidence, bins)
    return (gaps.abs().sum() / len(confidence)).item()


def reliability(log_probabilities: Tensor, labels: Tensor, bins: int = ECE_BINS) -> Reliability:
    """Return the reliability diagram of N × K log-probabilities against N labels, over the bins of the ECE."""
    confidence, predicted = log_probabilities.exp().max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    counts, *sums = (_sums_by_bin(confidence, v, bins) for v in (torch.ones_like(correct), confidence, correct))
    count = [int(number) for number in counts.tolist()]
    means = ([s / n if n else None for s, n in zip(total.tolist(), count, strict=True)] for total in sums)
    return Reliability(count, *means)


def _sums_by_bin(confidence: Tensor, values: Tensor, bins: int) -> Tensor:
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    return torch.zeros(bins, device=confidence.device).index_add_(0, place, values)
