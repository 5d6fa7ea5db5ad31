"""Print how a scale's learning rates and IVON's h0 were chosen, from the tables of its tuning scale.

    snakemake results/tuning/figures/fig5.parquet --cores 2
    python benchmarks/tuning.py tuning

Nine trainings a method, noise and seed. The judge is the accuracy on held-out noisy training labels, never the test
set. For LS and SAM a learning rate is judged with its best α or ρ for each noise, since the figures show them so; for
IVON one (lr, h0) serves all noises.
"""

import sys
from typing import Any

import pandas as pd

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.results.summary import best_runs, last_epochs

AXES = {"ls": ("lr", "alpha"), "sam": ("lr", "rho"), "ivon": ("lr", "hess_init")}
PER_NOISE = ("alpha", "rho")  # chosen anew for each noise, as in the figures


def scores(frame: pd.DataFrame, description: dict[str, Any], method: str) -> pd.Series:
    """Return the mean validation accuracy over noises (percent) of each choice that holds for all of them."""
    runs = last_epochs(frame, description)
    runs = runs[runs["method"] == method]
    shared = [axis for axis in AXES[method] if axis not in PER_NOISE]
    per_noise = [axis for axis in AXES[method] if axis in PER_NOISE]
    best = best_runs(runs, per_noise, [*shared, "noise"], "validation")
    return best.groupby([*shared, "noise"])["validation"].mean().groupby(shared).mean()


def main(scale: str) -> None:
    """Print each method's scores and its pick, for each of the scale's tables."""
    for name, figure in plan.load(scale).scale.figures.items():
        frame, description = parquet.read_frame(paths.TABLE.format(scale=scale, figure=name))
        print(f"{figure.title}\n")
        for method in AXES:
            means = scores(frame, description, method)
            print(f"{method}: validation accuracy, mean over noises, percent")
            print(means.round(1).to_string())
            print(f"pick: {dict(zip(means.index.names, pd.Series(means.idxmax()).tolist(), strict=True))}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "tuning")
    except UserError as error:
        sys.exit(f"error: {error}")
