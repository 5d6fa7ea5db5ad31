"""Time Snakemake's dry run of the paper against a bare Snakefile with as many jobs and files, at 1 × and 10 × its runs.

    python benchmarks/planning.py

Both are whole processes, run in turn; the smallest wall time of each counts, and the ratio is what to look at. Bare
means: the same rules, wildcards, inputs and outputs, from one JSON file, with neither params nor this library.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from adaptive_smoothing import config, paths, plan

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow", "config", "envs", "profiles")
REPEATS = 3
BARE = """
import json
jobs = json.load(open("jobs.json"))

rule all:
    default_target: True
    input: jobs["targets"]

rule data:
    output: "data/{dataset}/meta.json"
    log: "logs/data/{dataset}.log"
    shell: "false"

rule labels:
    input: "data/{dataset}/meta.json"
    output: "labels/{dataset}/{noise}.parquet"
    log: "logs/labels/{dataset}/{noise}.log"
    shell: "false"

rule train:
    input: lambda w: jobs["runs"][w.run]
    output: "runs/{run}/metrics.parquet"
    log: "logs/train/{run}.log"
    shell: "false"

rule collect:
    input: lambda w: jobs["figures"][w.figure]
    output: "figures/{figure}.parquet"
    log: "logs/collect/{figure}.log"
    shell: "false"

rule draw:
    input: "figures/{figure}.parquet"
    output: "paper/{figure}.pdf", "paper/{figure}.png"
    log: "logs/draw/{figure}.log"
    shell: "false"
"""


def bare(folder: Path, planned: plan.Plan) -> None:
    """Write the bare Snakefile and its jobs."""
    jobs: dict[str, Any] = {"targets": [f"paper/{name}.pdf" for name in planned.figures], "runs": {}, "figures": {}}
    for run in planned.runs.values():
        dataset = run.dataset_folder
        jobs["runs"][run.name] = [f"data/{dataset}/meta.json", f"labels/{dataset}/{run.noise}.parquet"]
    for name, figure in planned.figures.items():
        jobs["figures"][name] = [f"runs/{run.name}/metrics.parquet" for run in figure.runs]
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps(jobs))
    (folder / "Snakefile").write_text(BARE)


def ours(folder: Path, factor: int) -> plan.Plan:
    """Copy the project with `factor` times the paper's seeds; return its plan."""
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    paper = folder / f"config/{paths.PAPER}.yaml"
    content = yaml.load(paper.read_text(), Loader=config.StrictLoader)
    content["seeds"] = list(range(factor * len(content["seeds"])))
    paper.write_text(json.dumps(content))
    return plan.Plan(paths.PAPER, folder / "config")


def seconds(folder: Path) -> float:
    """Return the wall time of one dry run."""
    env = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print a line a factor."""
    print("paper's runs | jobs to train | dry run of the paper | bare Snakefile | ratio | difference")
    for factor in (1, 10):
        with tempfile.TemporaryDirectory() as temporary:
            folders = [Path(temporary) / "ours", Path(temporary) / "bare"]
            planned = ours(folders[0], factor)
            bare(folders[1], planned)
            times = [[seconds(folder) for folder in folders] for _ in range(REPEATS)]
        paper, plain = (min(column) for column in zip(*times, strict=True))
        count = len(planned.runs)
        print(f"{factor:3} × | {count} | {paper:.2f} s | {plain:.2f} s | {paper / plain:.2f} | {paper - plain:.2f} s")


if __name__ == "__main__":
    main()
