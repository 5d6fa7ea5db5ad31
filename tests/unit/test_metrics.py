"""The table of a run's metrics."""

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.training import metrics


def test_a_hyperparameter_may_not_hide_a_column():
    with pytest.raises(UserError, match="'seconds' bears the name of a column"):
        metrics.metrics_table({"run": "r"}, {"seconds": 1.0}, [])
