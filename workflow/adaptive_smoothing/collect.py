"""From runs to the tidy table behind a figure: all a reader needs to redraw it. One function a kind of table."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from adaptive_smoothing import datasets, logistic, mixtures, moons, records
from adaptive_smoothing.errors import UserError, unknown

Description = dict[str, Any]
SHOWN_IMAGES = 10  # most noisy and as many least noisy ones in Fig. 3


@dataclass(frozen=True)
class Inputs:
    """What a table is made from; the lists are parallel, one entry a run."""

    description: Description
    runs: list[str]
    metrics: list[tuple[pa.Table, records.Metadata]]
    label_noise: list[str]
    folders: list[str]


Made = tuple[pa.Table, Description]  # a table, and what is added to the figure's description


def collect(
    description: Description,
    runs: list[str],
    metrics: list[str],
    label_noise: list[str],
    folders: list[str],
    output: str,
    code: dict[str, str],
    strict: bool,
) -> None:
    """Write a figure's table.

    Args: `description` as made by plan.py; `metrics` and `label_noise` the runs' files (the latter empty where the
    figure does not need them) and `folders` their prepared datasets, all in the order of `runs`; `strict`, whether
    mixed results are an error.
    """
    if description["table"] not in TABLES:
        raise unknown("TABLE", description["table"], TABLES, f"figures/{description['figure']}.py")
    inputs = Inputs(description, runs, [records.read(path) for path in metrics], label_noise, folders)
    table, extra = TABLES[description["table"]](inputs)
    sources = {
        run: _source(path, metadata) for run, path, (_, metadata) in zip(runs, metrics, inputs.metrics, strict=True)
    }
    devices = {run: metric.column("device")[0].as_py() for run, (metric, _) in zip(runs, inputs.metrics, strict=True)}
    mixed = mixtures.found(sources, devices)
    for sentence in mixed:
        print(f"warning: {description['figure']} is mixed: {sentence}", flush=True)
    if strict and mixed:
        raise UserError(f"figure {description['figure']} is mixed, and strict=true forbids that: {'; '.join(mixed)}")
    records.write(output, table, {**description, **extra, "code": code, "runs": sources, "mixed": mixed})


def _source(path: str, metadata: records.Metadata) -> Description:
    """Return what made a run: its record, and the hash of the file that was read."""
    return {**metadata, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


def metrics_table(inputs: Inputs) -> Made:
    """Return the rows of all runs' metrics, below each other."""
    return records.concatenated([table for table, _ in inputs.metrics]), {}


def quadrature_table(inputs: Inputs) -> Made:
    """Return ε of logistic regression (Eq. 13) over the mean of f for each variance: variance, mean, noise."""
    options = inputs.description["options"]
    means = np.linspace(-options["largest_mean"], options["largest_mean"], options["points"])
    parts = [
        pd.DataFrame({"variance": float(variance), "mean": means, "noise": logistic.label_noise(means, variance)})
        for variance in options["variances"]
    ]
    return _table(pd.concat(parts), records.QUADRATURE), {}


def moon_table(inputs: Inputs) -> Made:
    """Return the examples of two moons and the plane around them under logistic regression (see moons.py)."""
    frame = moons.table(inputs.description["options"], f"figure {inputs.description['figure']}")
    return _table(frame, records.MOONS), {}


def example_table(inputs: Inputs) -> Made:
    """Return a row an example of one run: label, magnitudes, and the pixels of the most and least noisy ones."""
    if len(inputs.label_noise) != 1:
        raise UserError(
            f"figure {inputs.description['figure']}: shows the examples of one run whose label noise is measured "
            f"(label_noise_samples), not of {len(inputs.label_noise)}: {', '.join(inputs.runs) or 'none'}"
        )
    frame, _ = records.read_frame(inputs.label_noise[0])
    arrays = datasets.open_prepared(inputs.folders[0]).arrays
    if arrays.decode is not None:
        raise UserError(
            f"figure {inputs.description['figure']}: its table holds pixels, but the images of {inputs.folders[0]} "
            "stay on disk; draw it from a dataset whose images are prepared as arrays"
        )
    images = arrays.train_images
    frame = frame[["index", "label", "magnitude_exact", "magnitude_linearised"]].sort_values(
        ["magnitude_linearised", "index"], ascending=[False, True]
    )
    shown = set(frame["index"].head(SHOWN_IMAGES)) | set(frame["index"].tail(SHOWN_IMAGES))
    frame["pixels"] = [images[index].ravel() if index in shown else None for index in frame["index"]]
    frame["run"] = inputs.runs[0]
    return _table(frame, records.EXAMPLES), {"image_shape": list(images.shape[1:])}


def soft_label_table(inputs: Inputs) -> Made:
    """Return class-wise label vectors: run, dataset, noise, method, seed, alpha, quantity, label, other, value.

    Each `value` is a mean over the training examples that bear `label`, at class `other`. Quantities:
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
    for (metric, _), path in zip(inputs.metrics, inputs.label_noise, strict=True):
        frame, _ = records.read_frame(path)
        described = metric.select(["run", "dataset", "noise", "method", "seed"]).slice(0, 1).to_pylist()[0]
        described["alpha"] = metric.column("alpha")[0].as_py() if "alpha" in metric.column_names else None
        for quantity, column in columns.items():
            if frame[column].notna().all():
                parts.append(_class_means(frame, column).assign(quantity=quantity, **described))
    return _table(pd.concat(parts), records.SOFT_LABELS), {}


def _table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the frame with exactly the schema's columns and types."""
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)


def _class_means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return label, other, value: the mean of the (absolute) vectors of the examples of each label."""
    vectors = np.abs(np.stack(frame[column].to_list()).astype(np.float64))
    means = pd.DataFrame(vectors).groupby(frame["label"].to_numpy()).mean()
    return means.rename_axis("label").reset_index().melt(id_vars="label", var_name="other", value_name="value")


TABLES: dict[str, Callable[[Inputs], Made]] = {
    "quadrature": quadrature_table,
    "examples": example_table,
    "soft_labels": soft_label_table,
    "metrics": metrics_table,
    "moons": moon_table,
}
