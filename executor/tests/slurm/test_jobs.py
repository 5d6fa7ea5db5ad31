"""Small jobs on a real SLURM: arrays, GPUs, groups, refusals, Snakemake inside a job, and submitit-doctor."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from counting import WORKFLOW
from slurm_testing.head import Head


@pytest.fixture
def workflow(slurm, tmp_path):
    """Return a function that starts Snakemake in a folder with this Snakefile and the tests' profile."""
    heads = []

    def start(snakefile, *targets, arguments=()):
        folder = tmp_path / "project"
        shutil.copytree(WORKFLOW / "profile", folder / "profile")
        (folder / "Snakefile").write_text(snakefile)
        heads.append(Head(folder, slurm, arguments=list(arguments)))
        return heads[-1].start(*targets)

    yield start
    for head in heads:
        head.close()


GPUS = """
rule all:
    input: expand("{name}/used.txt", name=list("abcdef"))

rule use_gpu:
    output: "{name}/used.txt"
    resources: runtime=5, mem_mb=400, gpu=1
    threads: 2
    shell: "echo $CUDA_VISIBLE_DEVICES $SLURM_CPUS_PER_TASK $(date +%s.%N) >{output}; sleep 2; date +%s.%N >>{output}"
"""


@pytest.mark.parametrize("srun", ["true", "false"])
def test_gpus_are_exclusive_and_each_job_finds_its_folder(workflow, srun):
    """Six jobs with folders of their own share two GPUs: at most one at a time on each."""
    head = workflow(GPUS, arguments=["--submitit-use-srun", srun])
    text = head.ends()
    assert len(re.findall(r"submitted array \d+ with 6 jobs", text)) == 1
    uses: dict[str, list[tuple[float, float]]] = {}
    for name in "abcdef":
        first, end = (head.folder / name / "used.txt").read_text().splitlines()
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


def test_groups_are_single_jobs(workflow):
    head = workflow(GROUPS)
    head.ends()
    assert [(head.folder / f"{name}.second").read_text() for name in "abc"] == ["a\na\n", "b\nb\n", "c\nc\n"]
    assert len(head.job_ids()) == 3


SHARED = """
rule all:
    input: expand("{name}.txt", name=list("abcd"))

rule one:
    output: "{name}.txt"
    resources: runtime=5, mem_mb=300, gpu=0, slurm_extra="--gpus-per-node=1"
    shell: "echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES $(date +%s.%N) >{output}; sleep 2; date +%s.%N >>{output}"
"""


def test_several_jobs_share_a_gpu(workflow, slurm):
    """Four in one job on one GPU, two of them at a time: room for 600 MB, of which each asks for 300."""
    groups = ["--groups", "one=four", "--group-components", "four=4"]
    head = workflow(SHARED, arguments=[*groups, "--resources", "mem_mb=600", "--set-resource-scopes", "mem_mb=local"])
    head.ends()
    (job,) = head.job_ids()
    files = [(head.folder / f"{name}.txt").read_text().splitlines() for name in "abcd"]
    firsts = [first.split() for first, _ in files]
    assert {where for where, _, _ in firsts} == {job}
    assert len({gpu for _, gpu, _ in firsts}) == 1
    begun, ended = [float(begin) for *_, begin in firsts], [float(end) for _, end in files]
    assert max(sum(b <= moment < e for b, e in zip(begun, ended, strict=True)) for moment in begun) == 2
    asked = slurm.run("sacct", "-X", "-n", "-P", "-o", "ReqCPUS,ReqMem,ReqTRES", "-j", job)
    assert asked.startswith("2|600M|") and "gres/gpu=1" in asked


def test_a_rejected_job_fails_alone_and_says_why(workflow):
    text = workflow(GPUS, "a/used.txt", arguments=["--default-resources", "slurm_partition=nowhere"]).ends(status=1)
    assert "rule use_gpu: the cluster rejects it: " in text and "nvalid partition" in text


def test_snakemake_inside_a_job(slurm, tmp_path):
    """Its own SLURM variables, its memory per CPU among them, must not reach the jobs it submits."""
    (tmp_path / "Snakefile").write_text(GPUS)
    shutil.copytree(WORKFLOW / "profile", tmp_path / "profile")
    head = Head(tmp_path, slurm)
    script = tmp_path / "head.sh"
    snakemake = Path(shutil.which("snakemake") or "")
    script.write_text(
        "#!/bin/bash\n#SBATCH --mem-per-cpu=700 --ntasks=1 --time=10\n"
        f"exec {snakemake} a/used.txt b/used.txt --profile profile --seconds-between-status-checks 1\n"
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
        [Path(sys.executable).with_name("submitit-doctor")],
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
