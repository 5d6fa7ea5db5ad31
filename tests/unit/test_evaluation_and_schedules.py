"""Measures and schedules against hand-worked numbers."""

import math

import pytest
import torch

from adaptive_smoothing.core.options import CosineSchedule, StepSchedule
from adaptive_smoothing.training import evaluation
from adaptive_smoothing.training.schedules import learning_rate


def test_measures_by_hand():
    probabilities = torch.tensor([[0.8, 0.2], [0.3, 0.7], [0.9, 0.1]])
    found = evaluation.measures(probabilities.log(), torch.tensor([0, 1, 1]))
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.nll == pytest.approx(-(math.log(0.8) + math.log(0.7) + math.log(0.1)) / 3, rel=1e-5)
    # three bins with one example each: gaps 0.2, 0.3 and 0.9
    assert found.ece == pytest.approx((0.2 + 0.3 + 0.9) / 3, rel=1e-5)


def test_ece_averages_within_a_bin():
    confidence, correct = torch.tensor([0.81, 0.83, 0.85]), torch.tensor([1.0, 0.0, 1.0])
    assert evaluation.expected_calibration_error(confidence, correct, bins=5) == pytest.approx(
        abs(2 / 3 - 0.83), rel=1e-5
    )


def test_reliability_by_hand_and_as_the_calibration_error_sees_it():
    probabilities = torch.tensor([[0.8, 0.2], [0.3, 0.7], [0.92, 0.08], [0.04, 0.96], [0.99, 0.01]])
    labels = torch.tensor([0, 1, 1, 1, 0])
    found = evaluation.reliability(probabilities.log(), labels, bins=5)
    assert found.count == [0, 0, 0, 2, 3] and found.accuracy[:3] == found.confidence[:3] == [None] * 3
    assert found.confidence[3:] == pytest.approx([0.75, (0.92 + 0.96 + 0.99) / 3])
    assert found.accuracy[3:] == pytest.approx([1, 2 / 3])
    random = torch.rand(500, 4, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1) * 3
    labels, measured = torch.arange(500) % 4, random.log_softmax(dim=1)
    bins = evaluation.reliability(measured, labels)
    gaps = [n * abs(a - c) for n, a, c in zip(bins.count, bins.accuracy, bins.confidence, strict=True) if n]
    assert sum(gaps) / 500 == pytest.approx(evaluation.measures(measured, labels).ece, abs=1e-6)


def test_evaluation_puts_the_models_mode_back_and_leaves_statistics_alone(network, batches):
    model = network().train()
    before = model[2].running_mean.clone()
    evaluation.log_probabilities(model, lambda: (images for images, _ in batches))
    assert model.training
    assert torch.equal(model[2].running_mean, before)


def test_step_schedule_changes_at_its_epochs():
    schedule = StepSchedule(kind="step", milestones=(100, 150), factor=0.1)
    rates = [learning_rate(schedule, 0.1, epoch * 7, 7, 200) for epoch in (0, 99, 100, 149, 150, 199)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert learning_rate(schedule, 0.1, 100 * 7 - 1, 7, 200) == 0.1


def test_cosine_schedule_warms_up_and_ends_near_zero():
    schedule = CosineSchedule(kind="cosine", warmup_epochs=5)
    rates = [learning_rate(schedule, 0.2, step, 10, 200) for step in range(2000)]
    assert rates[0] == pytest.approx(0.2 / 50)
    assert rates[49] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(0.2)
    assert rates[50 + 975] == pytest.approx(0.1)
    assert 0 < rates[-1] < 1e-6
    assert learning_rate(CosineSchedule(kind="cosine", warmup_epochs=0), 0.2, 0, 10, 200) == 0.2
    assert learning_rate(CosineSchedule(kind="cosine", warmup_epochs=0.05), 0.2, 0, 10, 200) == 0.2  # under one step
