"""A prepared dataset on disk: open it memory-mapped, and verify all of its bytes."""

import hashlib
import json
from pathlib import Path

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.types import Arrays, Decode, Prepared

OWN_CONTENT = "own_files"  # key of meta.json: the digest of the user's own files that the arrays were made from
ARRAYS = ("train_images", "train_labels", "train_clean_labels", "test_images", "test_labels")


def open_prepared(folder: str | Path) -> Prepared:
    """Open a prepared dataset; arrays are memory-mapped, so that jobs on one machine share their pages."""
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        loaded = {key: np.load(folder / f"{key}.npy", mmap_mode="c") for key in ARRAYS}
        decode = None if meta["decode"] is None else Decode(**meta["decode"])
        described = {"classes": tuple(meta["classes"]), "source": meta["source"], "content": meta["content"]}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: the prepared dataset is damaged ({error}); delete the folder and run again"
        ) from error
    arrays = Arrays(**loaded, **described, decode=decode)
    return Prepared(
        arrays, np.array(meta["mean"], dtype=np.float32), np.array(meta["std"], dtype=np.float32), meta["sha256"]
    )


def own_content(folder: str | Path) -> str | None:
    """Return the digest of the user's own files that a prepared dataset was made from; None if it is not recorded."""
    try:
        recorded = json.loads((Path(folder) / "meta.json").read_text(encoding="utf-8")).get(OWN_CONTENT)
    except (OSError, ValueError, AttributeError):
        return None
    return str(recorded) if recorded is not None else None


def verify(folder: str | Path) -> Prepared:
    """Open a prepared dataset and read all of it; raise UserError unless it is what was prepared, to the last byte."""
    prepared = open_prepared(folder)
    if arrays_sha256(prepared.arrays) != prepared.sha256:
        raise UserError(
            f"{folder}: the prepared arrays are not those that meta.json vouches for (their sha256 differs); delete "
            "the folder and run again"
        )
    return prepared


def arrays_sha256(arrays: Arrays) -> str:
    """Return a hash over names, types, shapes and bytes of the arrays, and over images that stay on disk."""
    digest = hashlib.sha256(arrays.content.encode())
    for key in ARRAYS:
        array = np.ascontiguousarray(getattr(arrays, key))
        digest.update(f"{key}{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
