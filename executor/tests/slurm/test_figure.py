"""Figure 7 of the small scale through `--profile slurm`, and what SLURM says of the jobs."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Head, workflow_tests

from adaptive_smoothing.core import parquet
from adaptive_smoothing.training import metrics

FIGURE = "paper_figures/{scale}/fig7.pdf"
TABLE = "results/{scale}/figures/fig7.parquet"


def made_locally(scale: str, folder: Path) -> pd.DataFrame:
    """Return the figure's table as a local run makes it: this folder's, if `make small` has made it with this code."""
    table = TABLE.format(scale=scale)
    plan = ["snakemake", "--dry-run", table]
    if "Nothing to be done" in subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=False).stdout:
        return parquet.read_frame(ROOT / table)[0]
    folder.mkdir()
    workflow_tests().copied(folder)
    subprocess.run(["snakemake", table, "--cores", "2"], cwd=folder, check=True, capture_output=True)
    return parquet.read_frame(folder / table)[0]


def grouped(size: int) -> list[str]:
    """Return the options that put so many trainings into one job, one after the other."""
    groups = ["--groups", "train=runs", "--group-components", f"runs={size}"]
    return [*groups, "--resources", "mem_mb=2000", "--set-resource-scopes", "mem_mb=local"]  # a run takes 2000 MB


@pytest.mark.alone
@pytest.mark.parametrize(
    ("scale", "size"), [("tiny", 1), ("tiny", 5), pytest.param("small", 7, marks=pytest.mark.whole)]
)
def test_figure_7_is_the_local_runs(slurm, tmp_path, scale, size):
    """The trainings in arrays, `size` of them to a job; at small scale all 105; the table equal to the last bit."""
    folder = tmp_path / "project"
    folder.mkdir()
    workflow_tests().copied(folder)
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    local = made_locally(scale, tmp_path / "local")
    head = Head(folder, slurm, arguments=["--set-resources", "train:gpu=1", *(grouped(size) if size > 1 else [])])
    try:
        text = head.start(FIGURE.format(scale=scale)).ends(seconds=3600)
    finally:
        head.close()
    assert (folder / FIGURE.format(scale=scale)).read_bytes().startswith(b"%PDF")
    table = parquet.read_frame(folder / TABLE.format(scale=scale))[0]
    columns = [column for column in table.columns if column not in metrics.NOT_REPRODUCED]
    pd.testing.assert_frame_equal(table[columns], local[columns], check_exact=True)
    ids = head.job_ids()
    assert len(ids) == table["run"].nunique() / size
    arrays = dict(re.findall(r"submitted array (\d+) with (\d+) jobs of ", text))
    assert 1 <= len(arrays) <= table["noise"].nunique()  # trainings go up as soon as their labels are there
    assert {one for one in ids if "_" in one} == {
        f"{one}_{i}" for one, count in arrays.items() for i in range(int(count))
    }
    lines = slurm.run("sacct", "-X", "-n", "-P", "-o", "JobID,State", "-j", ",".join(ids)).split()
    assert sorted(lines) == sorted(f"{one}|COMPLETED" for one in ids)


WORKFLOW = """
rule all:
    input: expand("{name}/used.txt", name=list("abcdef"))

rule use_gpu:
    output: "{name}/used.txt"
    resources: runtime=5, mem_mb=400, gpu=1
    threads: 2
    shell: "echo $CUDA_VISIBLE_DEVICES $SLURM_CPUS_PER_TASK $(date +%s.%N) >{output}; sleep 2; date +%s.%N >>{output}"
"""


@pytest.mark.parametrize("srun", ["true", "false"])
def test_gpus_are_exclusive_and_each_job_finds_its_folder(slurm, tmp_path, srun):
    """Six jobs with folders of their own share two GPUs: at most one at a time on each."""
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    head = Head(tmp_path, slurm, arguments=["--submitit-use-srun", srun])
    try:
        text = head.start().ends()
    finally:
        head.close()
    assert len(re.findall(r"submitted array \d+ with 6 jobs", text)) == 1
    uses: dict[str, list[tuple[float, float]]] = {}
    for name in "abcdef":
        first, end = (tmp_path / name / "used.txt").read_text().splitlines()
        gpu, cpus, begin = first.split()
        assert gpu in ("0", "1") and cpus == "2"
        uses.setdefault(gpu, []).append((float(begin), float(end)))
    for times in uses.values():
        ordered = sorted(times)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ordered))


GROUPS = """
rule all:
    input: expand("{name}.second", name=list("abc"))

rule first:
    output: "{name}.first"
    group: "pair"
    resources: runtime=5, mem_mb=300
    shell: "echo {wildcards.name} >{output}"

rule second:
    input: "{name}.first"
    output: "{name}.second"
    group: "pair"
    resources: runtime=5, mem_mb=300
    shell: "cat {input} {input} >{output}"
"""


def test_groups_are_single_jobs(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(GROUPS)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    head = Head(tmp_path, slurm)
    try:
        head.start().ends()
    finally:
        head.close()
    assert [(tmp_path / f"{name}.second").read_text() for name in "abc"] == ["a\na\n", "b\nb\n", "c\nc\n"]
    assert len(head.job_ids()) == 3


SHARED = """
rule all:
    input: expand("{name}.txt", name=list("abcd"))

rule one:
    output: "{name}.txt"
    resources: runtime=5, mem_mb=300, gpu=0, slurm_extra="--gpus-per-node=1"
    shell: "echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES $(date +%s.%N) >{output}; sleep 2; date +%s.%N >>{output}"
"""


def test_several_runs_share_a_gpu(slurm, tmp_path):
    """Four in one job on one GPU, two of them at a time: room for 600 MB, of which each asks for 300."""
    (tmp_path / "Snakefile").write_text(SHARED)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    head = Head(tmp_path, slurm, arguments=["--groups", "one=four", "--group-components", "four=4"])
    head.arguments += ["--resources", "mem_mb=600", "--set-resource-scopes", "mem_mb=local"]
    try:
        head.start().ends()
    finally:
        head.close()
    (job,) = head.job_ids()
    files = [(tmp_path / f"{name}.txt").read_text().splitlines() for name in "abcd"]
    firsts = [first.split() for first, _ in files]
    assert {where for where, _, _ in firsts} == {job}
    assert len({gpu for _, gpu, _ in firsts}) == 1
    begun, ended = [float(begin) for *_, begin in firsts], [float(end) for _, end in files]
    assert max(sum(b <= moment < e for b, e in zip(begun, ended, strict=True)) for moment in begun) == 2
    asked = slurm.run("sacct", "-X", "-n", "-P", "-o", "ReqCPUS,ReqMem,ReqTRES", "-j", job)
    assert asked.startswith("2|600M|") and "gres/gpu=1" in asked


def test_a_rejected_job_fails_alone_and_says_why(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    head = Head(tmp_path, slurm, arguments=["--default-resources", "slurm_partition=nowhere"])
    try:
        text = head.start("a/used.txt").ends(status=1)
    finally:
        head.close()
    assert "rule use_gpu: the cluster rejects it: " in text and "nvalid partition" in text


def test_snakemake_inside_a_job(slurm, tmp_path):
    """Its own SLURM variables, its memory per CPU among them, must not reach the jobs it submits."""
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    head = Head(tmp_path, slurm)
    script = tmp_path / "head.sh"
    snakemake = Path(shutil.which("snakemake") or "")
    script.write_text(
        "#!/bin/bash\n#SBATCH --mem-per-cpu=700 --ntasks=1 --time=10\n"
        f"exec {snakemake} a/used.txt b/used.txt --profile slurm --seconds-between-status-checks 1\n"
    )
    done = subprocess.run(
        ["sbatch", "--wait", f"--output={head.output}", script],
        cwd=tmp_path,
        env={**os.environ, **slurm.environment},
        timeout=180,
        check=False,
    )
    head.close()
    assert done.returncode == 0, head.text
    assert (tmp_path / "a/used.txt").exists() and "submitted array" in head.text


def test_the_doctor_finds_a_healthy_cluster(slurm, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake_executor_plugin_submitit.doctor"],
        cwd=tmp_path,
        env={**os.environ, **slurm.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "found sbatch",
        "arrays of up to 1001 jobs",
        "SIGTERM only",
        "accounting answers",
        "gpu:2",
        "ran this Python",
    ):
        assert text in done.stdout
