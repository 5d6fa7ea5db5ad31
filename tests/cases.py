"""A short training of real digits, for tests of the loop."""

import copy
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import paths
from adaptive_smoothing.data import labels, prepare
from adaptive_smoothing.pipeline import plan

ROOT = Path(__file__).parents[1]
NOWHERE: dict[str, Any] = {"root": "", "mirrors": [], "fetch": False}  # where digits come from: scikit-learn holds them


def prepared_digits(folder: Path) -> Path:
    """Prepare 197 training digits, 20 of them held out, with 40 % wrong labels, in `folder`; return it."""
    files = {name: str(folder / "digits" / name) for name in paths.DATASET_FILES}
    prepare.prepare("digits", {"test_size": 1600}, 0, files, None, NOWHERE)
    labels.corrupt_labels(
        str(folder / "digits"), {"kind": "symmetric", "rate": 0.4}, 0, 0, 20, str(folder / "labels.parquet")
    )
    return folder


def specification(method: str, **changes: Any) -> dict[str, Any]:
    """Return a run of the small scale cut to three epochs of four steps."""
    small = plan.Plan("small", ROOT / "config")
    run = next(run for run in small.runs.values() if run.method == method)
    cut = {"epochs": 3, "evaluate_every": 1, "eval_mc_samples": 2, "seed": 1, "augment": ["crop", "flip"]}
    return copy.deepcopy({**run.specification, **cut, **changes})


def arguments(digits: Path, folder: Path, spec: dict[str, Any], code: str = "code") -> dict[str, Any]:
    """Return what `training.train` takes to train `spec` in `folder` on the prepared digits."""
    return {
        "specification": spec,
        "run": "run",
        "scale": "scale",
        "dataset": str(digits / "digits"),
        "labels": str(digits / "labels.parquet"),
        "metrics": str(folder / "metrics.parquet"),
        "posterior": str(folder / "posterior.pt"),
        "code": {"training": code},
        "threads": 1,
        "checkpoint_minutes": 1000,
    }
