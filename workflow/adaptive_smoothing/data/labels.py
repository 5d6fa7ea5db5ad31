"""From a prepared dataset to a file of noisy labels: one row per training example, with its split."""

from typing import Any

import numpy as np
import pyarrow as pa

from adaptive_smoothing.core import parquet
from adaptive_smoothing.data import corruption, splits, storage, types

LABELS = pa.schema([("index", pa.int64()), ("split", pa.string()), ("clean", pa.int64()), ("noisy", pa.int64())])


def corrupt_labels(
    dataset: str, parameters: dict[str, Any], noise_seed: int, data_seed: int, held_out: int, output: str
) -> None:
    """Write index, split ('train' or 'validation'), clean and noisy label of every training example.

    First, all bytes of the dataset are verified. Validation examples get noisy labels, too. The metadata hold the
    realised rate and transition matrix, which are null if the clean labels are unknown.
    """
    prepared = storage.verify(dataset)
    given = np.asarray(prepared.arrays.train_labels)
    clean = np.asarray(prepared.arrays.train_clean_labels)
    classes = len(prepared.arrays.classes)
    noisy = corruption.corrupt(given, corruption.transition_matrix(parameters, classes), noise_seed)
    validation = np.isin(np.arange(len(given)), splits.validation_indices(len(given), held_out, data_seed))
    known = clean != types.UNKNOWN
    rate, matrix = corruption.realised(clean, noisy, classes) if known.all() else (None, None)
    table = pa.table(
        {
            "index": np.arange(len(given)),
            "split": np.where(validation, "validation", "train"),
            "clean": pa.array(clean, mask=~known),
            "noisy": noisy,
        },
        schema=LABELS,
    )
    metadata = {
        "noise": parameters,
        "noise_seed": noise_seed,
        "split": {"data_seed": data_seed, "held_out": held_out},
        "dataset_sha256": prepared.sha256,
        "labels_sha256": types.labels_sha256(noisy[~validation]),
        "realised_rate": rate,
        "realised_matrix": None if matrix is None else matrix.tolist(),
    }
    parquet.write(output, table, metadata)
