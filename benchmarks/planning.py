"""Time a dry run of the paper against bare Snakefiles with as many jobs and files: python benchmarks/planning.py.

At 1 ×, 10 × and 30 × the paper's seeds, cold (nothing is made yet) and with nothing to do (all is made, and Snakemake
compares its records). All are whole processes, run in turn; the least processor time of each counts (a dry run is one
thread that waits for nothing, so on an idle machine it is the wall time, and on a busy one it still is comparable), the
largest memory, and the ratios are what to look at. Bare means: the same rules, wildcards, inputs, outputs and logs,
looked up in one JSON file, without this library and

- 'bare': with nothing else;
- 'bare, alike': with script:, conda: and the two params that decide reruns (specification, code), as a Snakefile has
  them that reruns what changed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import plan, yaml_files

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow", "config", "envs", "profiles")
REPEATS = {1: 3, 10: 1, 30: 1}  # factor → dry runs of each kind
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
    input: lambda w: jobs["runs"][w.run]["inputs"]
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
ALIKE = """
    conda: "train.yaml"
    params:
        specification=lambda w: jobs["runs"][w.run]["specification"],
        code=lambda w: jobs["runs"][w.run]["code"],
    script: "train.py"
"""
LOG_OF_TRAIN = '    log: "logs/train/{run}.log"'
SNAKEFILES = {"bare": BARE, "alike": BARE.replace(f'{LOG_OF_TRAIN}\n    shell: "false"\n', LOG_OF_TRAIN + ALIKE)}
# What this library adds to a dry run: imports that Snakemake lacks, the plan, every lookup that rules make.
OWN = """
import time
import snakemake.cli
begun = time.process_time()
from adaptive_smoothing.core import environment, paths
from adaptive_smoothing.pipeline import plan, stages
from adaptive_smoothing.pipeline.runtime import fork_server, jobs
planned = plan.load(paths.PAPER)
planned.figure_files()
planned.extra_files()
for run in planned.runs.values():
    run.code, run.specification, run.resources, run.measuring_code
for figure in planned.all_figures.values():
    figure.code, figure.drawing_code
print(time.process_time() - begun)
"""
# Snakemake sleeps 0.1 s after each job that it touches; everything else is as `snakemake --touch` does it.
TOUCH = "; ".join(
    [
        "from snakemake.executors import touch",
        "touch.Executor.SLEEPING_TIME = 0",
        "from snakemake.cli import main",
        "main()",
    ]
)


@dataclass
class Candidate:
    """A folder with a Snakefile, and what its dry runs took."""

    folder: Path
    seconds: float = float("inf")
    memory_mb: float = 0

    def run(self, *command: str) -> None:
        """Run Python with `command` in the folder, to success."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        done = subprocess.run([sys.executable, *command], cwd=self.folder, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)

    def measure(self) -> None:
        """Time one dry run."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"]
        process = subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"error: the dry run in {self.folder} failed")
        self.seconds = min(self.seconds, usage.ru_utime + usage.ru_stime)
        self.memory_mb = max(self.memory_mb, usage.ru_maxrss / 1024)

    def own_seconds(self) -> float:
        """Return the processor time of this library's part in a dry run."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        command = [sys.executable, "-c", OWN]
        return float(subprocess.run(command, cwd=self.folder, env=env, capture_output=True, check=True).stdout)

    def finish(self) -> None:
        """Make every file, empty, and Snakemake's records of them."""
        listed = subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "workflow")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for outputs in re.findall(r"^    output: (.*)$", listed, re.MULTILINE):
            for file in outputs.split(", "):
                path = self.folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        self.run("-c", TOUCH, "--touch", "--quiet", "--cores", "16")

    def forget(self) -> None:
        """Start to measure anew."""
        self.seconds, self.memory_mb = float("inf"), 0


def bare(folder: Path, planned: plan.Plan, snakefile: str) -> Candidate:
    """Write a bare Snakefile and its jobs."""
    jobs: dict[str, Any] = {"targets": [f"paper/{name}.pdf" for name in planned.all_figures], "runs": {}, "figures": {}}
    for run in planned.runs.values():
        dataset = run.dataset_folder
        jobs["runs"][run.name] = {
            "inputs": [f"data/{dataset}/meta.json", f"labels/{dataset}/{run.noise}.parquet"],
            "specification": run.specification,
            "code": run.code,
        }
    for name, figure in planned.all_figures.items():
        jobs["figures"][name] = [f"runs/{run.name}/metrics.parquet" for run in figure.runs]
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps(jobs))
    (folder / "Snakefile").write_text(snakefile)
    (folder / "train.py").write_text("raise SystemExit(1)\n")
    shutil.copy(ROOT / "envs/train.yaml", folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    return Candidate(folder)


def ours(folder: Path, factor: int) -> tuple[Candidate, plan.Plan]:
    """Copy the project with `factor` times the paper's seeds; return it and its plan."""
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    paper = folder / f"config/{paths.PAPER}.yaml"
    content = yaml.load(paper.read_text(), Loader=yaml_files.StrictLoader)
    content["seeds"] = list(range(factor * len(content["seeds"])))
    paper.write_text(json.dumps(content))
    return Candidate(folder), plan.Plan(paths.PAPER, folder / "config")


def compare(state: str, factor: int, runs: int, candidates: list[Candidate]) -> None:
    """Time the candidates in turn and print a line."""
    for candidate in candidates:
        candidate.forget()
    for _ in range(REPEATS[factor]):
        for candidate in candidates:
            candidate.measure()
    paper, plain, alike = candidates
    columns = [f"{factor} ×", str(runs), state]
    columns += [f"{candidate.seconds:.2f} s, {candidate.memory_mb:.0f} MB" for candidate in candidates]
    columns += [f"{paper.seconds / other.seconds:.2f}" for other in (plain, alike)]
    print(" | ".join(columns), flush=True)


def main() -> None:
    """Print two lines a factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factors", type=int, nargs="+", default=list(REPEATS), choices=REPEATS)
    print("paper's seeds | runs | state | the paper | bare | bare, alike | ratio to bare | ratio to bare, alike")
    for factor in parser.parse_args().factors:
        with tempfile.TemporaryDirectory() as temporary:
            first, planned = ours(Path(temporary) / "ours", factor)
            others = [bare(Path(temporary) / name, planned, text) for name, text in SNAKEFILES.items()]
            candidates = [first, *others]
            compare("cold", factor, len(planned.runs), candidates)
            own = min(first.own_seconds() for _ in range(REPEATS[factor]))
            print(f"  of the paper's time, this library's own part (imports, plan, digests): {own:.2f} s", flush=True)
            for candidate in candidates:
                candidate.finish()
            compare("nothing to do", factor, len(planned.runs), candidates)


if __name__ == "__main__":
    main()
