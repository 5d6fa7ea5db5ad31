"""Class-wise label vectors (Fig. 4): the labels that each method trains with, and what each network predicts."""

import numpy as np
import pandas as pd
import pyarrow as pa

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.results.inputs import Inputs, Table, to_table

SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("dataset", pa.string()),
        ("noise", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int64()),
        ("alpha", pa.float64()),
        ("quantity", pa.string()),
        ("label", pa.int64()),
        ("other", pa.int64()),
        ("value", pa.float64()),
    ]
)


def check_runs(asked: AskedFigure) -> None:
    """Refuse a figure without runs, or without measured label noise."""
    asked.needs_runs()
    asked.needs_label_noise()


def make(inputs: Inputs) -> Table:
    """Return class-wise label vectors: run, dataset, noise, method, seed, alpha, quantity, label, other, value.

    Each `value` is a mean over the training examples with `label`, at class `other`. Quantities:
    'soft_label' (what the method's training aims at), 'softmax' (the network's own prediction), and for a posterior
    'softmax_mc' (E_q of the softmax) and 'absolute_noise' (|ε| of Eq. 16).
    """
    columns = {
        "soft_label": "soft_label",
        "softmax": "probabilities",
        "softmax_mc": "probabilities_mc",
        "absolute_noise": "noise_exact",
    }
    parts = []
    for metric, path in zip(inputs.metrics, inputs.label_noise, strict=True):
        frame, _ = parquet.read_frame(path)
        identity = metric.select(["run", "dataset", "noise", "method", "seed"]).slice(0, 1).to_pylist()[0]
        identity["alpha"] = metric.column("alpha")[0].as_py() if "alpha" in metric.column_names else None
        for quantity, column in columns.items():
            if frame[column].notna().all():
                parts.append(_class_means(frame, column).assign(quantity=quantity, **identity))
    return to_table(pd.concat(parts), SCHEMA), {}


def _class_means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return label, other, value: the mean of the (absolute) vectors of the examples of each label."""
    vectors = np.abs(np.stack(frame[column].to_list()).astype(np.float64))
    means = pd.DataFrame(vectors).groupby(frame["label"].to_numpy()).mean()
    return means.rename_axis("label").reset_index().melt(id_vars="label", var_name="other", value_name="value")
