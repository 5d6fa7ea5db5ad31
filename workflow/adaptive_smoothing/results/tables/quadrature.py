"""Label noise of logistic regression over the mean of f (Fig. 2): ε of Eq. 13 by Gauss–Hermite quadrature."""

import numpy as np
import pandas as pd
import pyarrow as pa

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.results.inputs import Inputs, Table, to_table
from adaptive_smoothing.theory import logistic

SCHEMA = pa.schema([("variance", pa.float64()), ("mean", pa.float64()), ("noise", pa.float64())])


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs: the table is computed from the options alone."""
    asked.needs_no_runs()


def make(inputs: Inputs) -> Table:
    """Return ε of logistic regression (Eq. 13) over the mean of f for each variance: variance, mean, noise."""
    options = inputs.description["options"]
    means = np.linspace(-options["largest_mean"], options["largest_mean"], options["points"])
    parts = [
        pd.DataFrame({"variance": float(variance), "mean": means, "noise": logistic.label_noise(means, variance)})
        for variance in options["variances"]
    ]
    return to_table(pd.concat(parts), SCHEMA), {}
