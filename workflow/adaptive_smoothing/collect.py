"""From runs to the tidy table behind a figure: all a reader needs to redraw it. One function a kind of table."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from adaptive_smoothing import datasets, logistic, mixtures, moons, neighbours, records
from adaptive_smoothing.errors import UserError, unknown

Description = dict[str, Any]
SHOWN_IMAGES = 10  # most noisy and as many least noisy ones in Fig. 3


@dataclass(frozen=True)
class Inputs:
    """What a table is made from; the lists are parallel, one entry a run."""

    description: Description
    runs: list[str]
    metrics: list[pa.Table]
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
    read = list(records.read_all(metrics))
    inputs = Inputs(description, runs, [table for table, _, _ in read], label_noise, folders)
    table, extra = TABLES[description["table"]](inputs)
    sources = {run: {**metadata, "sha256": digest} for run, (_, metadata, digest) in zip(runs, read, strict=True)}
    for run, path in zip(runs, label_noise, strict=False):  # none where the figure does not show it
        sources[run]["label_noise_sha256"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    devices = {run: metric.column("device")[0].as_py() for run, metric in zip(runs, inputs.metrics, strict=True)}
    mixed = mixtures.found(sources, devices)
    for sentence in mixed:
        print(f"warning: {description['figure']} is mixed: {sentence}", flush=True)
    if strict and mixed:
        raise UserError(f"figure {description['figure']} is mixed, and strict=true forbids that: {'; '.join(mixed)}")
    records.write(output, table, {**description, **extra, "code": code, "runs": sources, "mixed": mixed})


def metrics_table(inputs: Inputs) -> Made:
    """Return the rows of all runs' metrics, below each other."""
    return records.concatenated(inputs.metrics), {}


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
    """Return a row an example of each run: label, magnitudes of its noise, and how unclear it is.

    The runs differ in their seeds alone. Of the first one the pixels of the most and least noisy examples are added.
    """
    figure = inputs.description["figure"]
    if not inputs.label_noise:
        raise UserError(
            f"figure {figure}: shows the examples of runs whose label noise is measured (label_noise_samples), "
            f"not of {', '.join(inputs.runs) or 'none'}"
        )
    noises = [records.read_frame(path) for path in inputs.label_noise]
    if len(kinds := {_but_for_seed(metadata) for _, metadata in noises}) > 1:
        raise UserError(f"figure {figure}: shows the examples of one kind of run, not of {len(kinds)}")
    arrays = datasets.open_prepared(inputs.folders[0]).arrays
    if arrays.decode is not None:
        raise UserError(
            f"figure {figure}: its table holds pixels, but the images of {inputs.folders[0]} stay on disk; draw it "
            "from a dataset whose images are prepared as arrays"
        )
    frames = [frame.assign(run=run) for run, (frame, _) in zip(inputs.runs, noises, strict=True)]
    first, images = frames[0], arrays.train_images
    unclear = neighbours.disagreement(images[first["index"]], first["label"].to_numpy())
    frames = [frame.assign(neighbours_disagree=unclear, pixels=None) for frame in frames]
    frames = [
        frame.sort_values(["magnitude_linearised", "index"], ascending=[False, True], ignore_index=True)
        for frame in frames
    ]
    shown = [*frames[0].index[:SHOWN_IMAGES], *frames[0].index[-SHOWN_IMAGES:]]
    rows = frames[0].loc[shown, "index"]
    frames[0].loc[shown, "pixels"] = pd.Series([images[row].ravel() for row in rows], index=rows.index)
    return _table(pd.concat(frames, ignore_index=True), records.EXAMPLES), {"image_shape": list(images.shape[1:])}


def _but_for_seed(metadata: records.Metadata) -> str:
    return json.dumps({**metadata["specification"], "seed": None}, sort_keys=True)


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
    for metric, path in zip(inputs.metrics, inputs.label_noise, strict=True):
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
