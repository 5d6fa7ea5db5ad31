"""Training examples and the label noise of each (Fig. 3); the most and the least noisy ones with their pixels."""

import json

import pandas as pd
import pyarrow as pa

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.asked import AskedFigure, Undrawable
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import storage
from adaptive_smoothing.results import neighbours
from adaptive_smoothing.results.inputs import Inputs, Table, to_table

SHOWN_IMAGES = 10  # most noisy and as many least noisy ones
SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("magnitude_exact", pa.float64()),
        ("magnitude_linearised", pa.float64()),
        ("neighbours_disagree", pa.float64()),  # share of the nearest images with another label
        ("pixels", pa.list_(pa.uint8())),
    ]
)


def check_runs(asked: AskedFigure) -> None:
    """Refuse all but one kind of run whose label noise is measured and whose images are in memory."""
    asked.needs_runs()
    asked.needs_label_noise()
    if len(asked.runs) > 1:
        raise Undrawable(f"kind '{asked.kind}' shows the examples of one kind of run, not of {len(asked.runs)}", "runs")
    if asked.runs[0].images_on_disk:
        raise asked.runs[0].refused(f"kind '{asked.kind}' shows pixels, but these images stay on disk", "setup")


def make(inputs: Inputs) -> Table:
    """Return a row an example of each run: label, magnitudes of its noise, and how unclear it is.

    The runs differ in their seeds alone. Of the first one the pixels of the most and least noisy examples are added.
    """
    figure = inputs.description["figure"]
    if not inputs.label_noise:
        raise UserError(
            f"figure {figure}: shows the examples of runs whose label noise is measured (label_noise_mc_samples), "
            f"not of {', '.join(inputs.runs) or 'none'}"
        )
    noises = [parquet.read_frame(path) for path in inputs.label_noise]
    if len(kinds := {_recipe(metadata) for _, metadata in noises}) > 1:
        raise UserError(f"figure {figure}: shows the examples of one kind of run, not of {len(kinds)}")
    arrays = storage.open_prepared(inputs.folders[0]).arrays
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
    extremes = [*frames[0].index[:SHOWN_IMAGES], *frames[0].index[-SHOWN_IMAGES:]]
    rows = frames[0].loc[extremes, "index"]
    frames[0].loc[extremes, "pixels"] = pd.Series([images[row].ravel() for row in rows], index=rows.index)
    additions = {"image_shape": list(images.shape[1:]), "class_names": list(arrays.classes)}
    return to_table(pd.concat(frames, ignore_index=True), SCHEMA), additions


def _recipe(metadata: parquet.Metadata) -> str:
    return json.dumps({**metadata["specification"], "seed": None}, sort_keys=True)
