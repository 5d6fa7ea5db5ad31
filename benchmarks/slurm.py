"""This project's executor beside snakemake-executor-plugin-slurm, on the same SLURM with the same trivial jobs.

    make bench-slurm                                      # 100 and 400 jobs
    python benchmarks/slurm.py --jobs 100 --modes ours    # part of it

Prints a Markdown table: wall time, calls of SLURM's commands (counted by scripts in front of them on PATH), processor
time of the head, and how many of the jobs' files are there in the end. The other plugin gets an environment
of its own, since Snakemake imports each plugin that it finds at every start. Needs what
executor/tests/slurm_testing/cluster.py needs.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ETC = Path("/etc/slurm/slurm.conf")
sys.path.insert(0, str(ROOT / "executor/tests"))

from slurm_testing.cluster import Cluster  # noqa: E402

PEER = "snakemake-executor-plugin-slurm==2.8.0"
COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")
WORKFLOW = """
rule all:
    input: expand("out/{{number}}.txt", number=range({jobs}))

rule one:
    output: "out/{{number}}.txt"
    resources: runtime=10, mem_mb=1000
    shell: "echo {{wildcards.number}} >{{output}}"
"""
COMMON = ["--jobs", "1000", "--latency-wait", "10", "--scheduler", "greedy", "--max-jobs-per-timespan", "5000/1s"]
MODES = {
    "ours": ["--executor", "submitit", "--seconds-between-status-checks", "5"],
    "peer, single": ["--executor", "slurm"],
    "peer, array": ["--executor", "slurm", "--slurm-array-jobs", "all"],
}


def main() -> None:
    """Run every mode at every size and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--limit", type=int, default=3600, help="seconds after which a run is ended (%(default)s)")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="bench-slurm-"))
    cluster = Cluster(work / "slurm")
    work.chmod(0o755)
    try:
        pythons = {
            False: sys.executable,
            True: peer_python() if any("peer" in mode for mode in arguments.modes) else "",
        }
        cluster.start()
        publish(cluster)
        print(f"| jobs | executor | wall s | {' | '.join(COMMANDS)} | head's CPU s | files made |")
        print("| ---: " * (len(COMMANDS) + 5) + "|")
        for jobs in arguments.jobs:
            for mode in arguments.modes:
                measure(work, cluster, pythons["peer" in mode], mode, jobs, arguments.limit)
    finally:
        if ETC.is_symlink():
            ETC.unlink()
        cluster.stop()
        shutil.rmtree(work)


def publish(cluster: Cluster) -> None:
    """Put the configuration where SLURM looks by itself: the other plugin's jobs do not keep SLURM_CONF."""
    if ETC.exists() or ETC.is_symlink():
        sys.exit(f"error: {ETC} exists; this benchmark needs a machine without a SLURM of its own")
    ETC.parent.mkdir(exist_ok=True)
    ETC.symlink_to(cluster.folder / "slurm.conf")


def peer_python() -> str:
    """Return the Python of an environment with the other plugin and the same Snakemake, made where it is missing."""
    folder = ROOT / ".venv-peer"
    python = folder / "bin/python"
    if not (folder / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        constraints = ["--constraint", str(ROOT / "envs/constraints.txt")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *constraints, "snakemake", PEER], check=True)
        (folder / ".installed").touch()
    return str(python)


def measure(work: Path, cluster: Cluster, python: str, mode: str, jobs: int, limit: int) -> None:
    """Run the workflow once and print its line."""
    folder = work / f"{mode.replace(', ', '-')}-{jobs}"
    folder.mkdir()
    (folder / "Snakefile").write_text(WORKFLOW.format(jobs=jobs))
    calls = folder / "calls"
    environment = os.environ | cluster.environment
    environment["PATH"] = os.pathsep.join([str(counting(folder, calls)), str(Path(python).parent), os.environ["PATH"]])
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "snakemake.log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "snakemake", *COMMON, *MODES[mode]], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            status = str(process.wait(limit))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = f"ended after {limit} s"
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    count = Counter(calls.read_text().split() if calls.exists() else [])
    made = sum((folder / f"out/{number}.txt").exists() for number in range(jobs))
    cells = [jobs, mode, f"{wall:.0f}", *(count[name] for name in COMMANDS), f"{cpu:.1f}", f"{made} (status {status})"]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, check=False)


def counting(folder: Path, calls: Path) -> Path:
    """Return a folder of scripts that note their name and go on as the real command."""
    scripts = folder / "counting"
    scripts.mkdir()
    for name in COMMANDS:
        path = scripts / name
        path.write_text(f'#!/bin/sh\necho {name} >>{calls}\nexec {shutil.which(name)} "$@"\n')
        path.chmod(0o755)
    return scripts


if __name__ == "__main__":
    main()
