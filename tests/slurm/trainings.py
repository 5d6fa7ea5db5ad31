"""A copy of the project whose trainings run through `--profile slurm`."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from slurm_testing.cluster import Cluster
from slurm_testing.head import Head

from adaptive_smoothing.core import parquet

ROOT = Path(__file__).parents[2]
RUN = "digits-small_cnn/symmetric20/ls-alpha0.9/seed{seed}"
METRICS = "results/tiny/runs/{run}/metrics.parquet"
EPOCHS = 25


def workflow_tests() -> ModuleType:
    """Return the helpers of the workflow's tests."""
    spec = importlib.util.spec_from_file_location("workflow_tests", ROOT / "tests/workflow/conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["workflow_tests"] = module
    spec.loader.exec_module(module)
    return module


def head_in(folder: Path, cluster: Cluster) -> Head:
    """Return a Snakemake that trains through the project's profile."""
    return Head(folder, cluster, profile="slurm", environment={"PYTHONPATH": str(folder / "workflow")})


def lengthen(scale: dict[str, Any]) -> None:
    """Make the trainings of digits last some seconds, and save at every step."""
    for setup in scale["setups"].values():
        setup["epochs"], setup["evaluate_every"] = EPOCHS, 1
        setup["resources"] |= {"checkpoint_minutes": 0, "mem_mb": 1500}
    for grid in scale["figures"]["fig5"]["runs"]:
        grid["seeds"] = [0, 1, 2, 3]


def metrics(folder: Path, seed: int) -> pd.DataFrame:
    """Return the metrics of a run."""
    return parquet.read_frame(folder / METRICS.format(run=RUN.format(seed=seed)))[0]
