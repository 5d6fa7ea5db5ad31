"""What a scale costs beside its training steps: python benchmarks/overhead.py [SCALE] [--figure FIGURE] [--cores N].

Copies the project into a temporary folder and makes the scale there from nothing (or one figure of it). Prints its wall
time; the seconds inside the trainings' epochs (data, forward, backward, step: from the speeds in the logs) and inside
the trainings as a whole (making the model, evaluation too: column `seconds`), each divided by the cores; and the wall
time's ratio to each.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import plan

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow", "config", "envs", "profiles")
SPEED = re.compile(r"^epoch .* (\d+) images/s", re.MULTILINE)


def copied(folder: Path) -> Path:
    """Copy the project, without what it has made; return the folder."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    return folder


def made(folder: Path, target: str, cores: int) -> float:
    """Make `target`; return the wall time."""
    env = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    command = [sys.executable, "-m", "snakemake", target, "--cores", str(cores), "--quiet"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - began


def spent(folder: Path, run: plan.Run, scale: str) -> tuple[float, float]:
    """Return the seconds of a run's epochs and of the whole training."""
    split = pq.ParquetFile(folder / run.labels).read(columns=["split"]).column("split").to_pylist()
    batch = run.specification["batch_size"]
    images = -(-split.count("train") // batch) * batch  # as the log counts them: a last, smaller batch is a whole one
    speeds = SPEED.findall((folder / f"logs/{scale}/train/{run.name}.log").read_text())
    if not speeds:
        sys.exit(f"error: the log of {run.name} names no speed")
    metrics = folder / paths.METRICS.format(scale=scale, run=run.name)
    whole = pq.ParquetFile(metrics).read(columns=["seconds"]).column("seconds")[0].as_py()
    return sum(images / int(speed) for speed in speeds), whole


def main() -> None:
    """Print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scale", nargs="?", default="small")
    parser.add_argument("--figure", help="one figure instead of all of the scale's")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    planned = plan.Plan(asked.scale)
    runs = list(planned.figure(asked.figure).runs if asked.figure else planned.runs.values())
    target = paths.figure_files(asked.scale, asked.figure)[0] if asked.figure else asked.scale
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(Path(temporary))
        wall = made(folder, target, asked.cores)
        seconds = [spent(folder, run, asked.scale) for run in runs]
    steps, whole = (sum(column) / asked.cores for column in zip(*seconds, strict=True))
    columns = ["made", "trainings", "wall time", "in epochs / cores", "in trainings / cores", "ratios"]
    row = [target, f"{len(runs)}", f"{wall:.0f} s", f"{steps:.0f} s", f"{whole:.0f} s"]
    print(" | ".join(columns))
    print(" | ".join([*row, f"{wall / steps:.2f}, {wall / whole:.2f}"]))


if __name__ == "__main__":
    main()
