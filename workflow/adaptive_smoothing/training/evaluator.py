"""One evaluation of a method: the measures of metrics.parquet's row, on all splits of a run."""

from typing import Any

import torch
from torch import Tensor

from adaptive_smoothing.data.types import UNKNOWN
from adaptive_smoothing.methods.base import Method
from adaptive_smoothing.training import evaluation, metrics
from adaptive_smoothing.training.split import Split, Splits

Row = dict[str, Any]


class Evaluator:
    """Measures a method on the splits of its run."""

    def __init__(self, method: Method, splits: Splits, mc_samples: int | None) -> None:
        """`mc_samples`: draws of the posterior-averaged evaluation at the end (None: there is no such evaluation)."""
        self.method, self.splits, self.mc_samples = method, splits, mc_samples

    def evaluate(self, last: bool) -> Row:
        """Return the measures of the weights as they are; the last evaluation of a run also has those of averages."""
        with self.method.evaluation_mode(self.splits.train.images.in_order):
            row = training_accuracies(self._log_probabilities(self.splits.train_subset), self.splits.train_subset)
            test = self.splits.test
            predicted = self._log_probabilities(test)
            row |= _test_measures(predicted, test.labels)
            if last:
                row |= _reliability(predicted, test.labels)
            if len(self.splits.validation):
                validation = self._log_probabilities(self.splits.validation)
                row["validation_accuracy"] = evaluation.accuracy(validation, self.splits.validation.labels)
            if (std := self.method.posterior_std()) is not None:
                row["posterior_std"] = torch.cat([value.flatten() for value in std.values()]).mean().item()
            if last and self.mc_samples is not None:
                row |= self._posterior_average(self.mc_samples)
        return row

    def _log_probabilities(self, split: Split) -> Tensor:
        return evaluation.log_probabilities(self.method.model, split.images.in_order)

    def _posterior_average(self, samples: int) -> Row:
        """Return test measures of the mean of the softmax outputs of `samples` draws from the posterior."""
        test = self.splits.test
        mixed = evaluation.posterior_averaged(
            self.method.model, self.method.sampled_weights, test.images.in_order, samples
        )
        return _reliability(mixed, test.labels, "_mc") | _test_measures(mixed, test.labels, "_mc")


def training_accuracies(log_probabilities: Tensor, split: Split) -> Row:
    """Return the accuracy against noisy and against clean labels, and the share of wrong labels that are predicted.

    The latter two are None where no clean label is known, or no label is wrong.
    """
    known = split.clean != UNKNOWN
    wrong = known & (split.labels != split.clean)
    return {
        "train_accuracy_noisy": evaluation.accuracy(log_probabilities, split.labels),
        "train_accuracy_clean": _accuracy_of(known, log_probabilities, split.clean),
        "train_memorised": _accuracy_of(wrong, log_probabilities, split.labels),
    }


def _accuracy_of(chosen: Tensor, log_probabilities: Tensor, labels: Tensor) -> float | None:
    return evaluation.accuracy(log_probabilities[chosen], labels[chosen]) if chosen.any() else None


def _test_measures(log_probabilities: Tensor, labels: Tensor, suffix: str = "") -> Row:
    test = evaluation.measures(log_probabilities, labels)
    return {f"test_accuracy{suffix}": test.accuracy, f"test_nll{suffix}": test.nll, f"test_ece{suffix}": test.ece}


def _reliability(log_probabilities: Tensor, labels: Tensor, suffix: str = "") -> Row:
    bins = evaluation.reliability(log_probabilities, labels)
    return {f"test_bin_{name}{suffix}": getattr(bins, name) for name in metrics.BIN_COLUMNS}
