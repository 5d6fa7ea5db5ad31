"""Small workflows through submitit on this machine: what a laptop does with the code that a cluster runs."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_testing.waiting import alive, wait_for

pytestmark = pytest.mark.slow

WORKFLOW = """
rule all:
    input: expand("{name}.txt", name=["a", "b", "c"])

rule make:
    output: "{name}.txt"
    resources: runtime=10, mem_mb=100, data_root="/somewhere", device="cpu"
    shell: "echo $SECRET ${{CUDA_VISIBLE_DEVICES-unset}} >{output}"

rule fails:
    output: "never.txt"
    resources: runtime=10
    retries: 2
    shell: "echo x >>tries; echo the reason >&2; exit 3"

rule forgets:
    output: "forgets.txt"
    shell: "touch {output}"

rule part:
    output: "{name}.part"
    resources: runtime=10, mem_mb=100
    shell: "test {wildcards.name} != d || test -e mended || {{ echo the reason >&2; exit 3; }}; "
           "date +%s.%N >{output}; sleep 1; date +%s.%N >>{output}"

rule waits:
    output: "waits.txt"
    resources: runtime=10
    shell: "echo $$ >pid; sleep 300; touch {output}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    monkeypatch.setenv("SECRET", "hush")
    return tmp_path


def command(*arguments):
    settings = ["--executor", "submitit", "--submitit-cluster", "local", "--jobs", "2"]
    return [sys.executable, "-m", "snakemake", *settings, "--seconds-between-status-checks", "1", *arguments]


def snakemake(folder, *arguments):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=300)


def test_jobs_run_and_leave_only_the_table(folder):
    done = snakemake(folder, "--envvars", "SECRET")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "a.txt").read_text() == "hush\n"  # and no GPU is visible to a job that asked for none
    left = [path for path in (folder / ".snakemake/submitit").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["jobs.tsv", "journal.jsonl", "journal.owner"]
    table = next(path for path in left if path.name == "jobs.tsv").read_text()
    assert re.search(r"^\d+\tmake\tname=a\ta\.txt\t/", table, re.MULTILINE)
    assert (folder / ".snakemake/submitit").stat().st_mode & 0o777 == 0o700


def test_a_failure_tells_why_where_and_is_retried_by_the_head_alone(folder):
    done = snakemake(folder, "never.txt")
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert (folder / "tries").read_text().count("x") == 3  # not 3 × 3
    assert "the reason" in text and "exit status 1; log: /" in text
    logs = list((folder / ".snakemake/submitit").rglob("*_log.err"))
    assert len(logs) == 3 and all("the reason" in log.read_text() for log in logs)
    assert not list((folder / ".snakemake/submitit").rglob("*.pkl"))


GROUPED = [
    *("--groups", "part=parts", "--group-components", "parts=4", "--keep-incomplete", "--rerun-incomplete"),
    *("--resources", "mem_mb=100", "--set-resource-scopes", "mem_mb=local"),
]


def test_a_failure_in_a_group_is_said_and_costs_only_what_was_not_finished(folder):
    """Four jobs in one, one after the other though the machine has more cores; then the rest alone."""
    parts = [f"{name}.part" for name in "abcd"]
    done = snakemake(folder, *parts, *GROUPED)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "submitit executor: job" in text and "exit status 1; log: /" in text and "the reason" in text
    finished = {name: (folder / name).read_text() for name in parts if (folder / name).exists()}
    assert len(finished) < 4 and "d.part" not in finished
    (folder / "mended").touch()
    done = snakemake(folder, *parts, *GROUPED)
    assert done.returncode == 0, done.stdout + done.stderr
    times = sorted(tuple(map(float, (folder / name).read_text().split())) for name in parts)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times))
    assert all((folder / name).read_text() == content for name, content in finished.items())
    assert len(list((folder / ".snakemake/submitit").rglob("jobs.tsv"))) == 2


def test_a_secret_is_on_no_command_line_and_in_no_file(folder):
    snakemake(folder, "--envvars", "SECRET", "--submitit-keep-logs")
    files = [path for path in (folder / ".snakemake/submitit").rglob("*") if path.is_file()]
    assert files and not [path for path in files if "hush" in path.read_bytes().decode(errors="replace")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["forgets.txt"], "rule forgets: resource runtime (minutes) is missing"),
        (
            ["a.txt", "--set-resources", "make:slurm_extra=--array"],
            "rule make: resource slurm_extra: --array is set by",
        ),
        (["a.txt", "--submitit-cluster", "slrum"], "unknown cluster 'slrum'; legal: slurm, local, debug"),
        (["a.txt", "--submitit-folder", "/etc/hostname"], "cannot be used (File exists)"),
        (["a.txt", "--submitit-signal-delay", "1"], "--submitit-signal-delay: 1 is too small"),
        (["a.txt", "--submitit-use-srun", "perhaps"], "'perhaps' is neither true nor false"),
    ],
)
def test_a_users_mistake_is_one_sentence(folder, arguments, sentence):
    done = snakemake(folder, *arguments)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_without_slurm_the_way_out_is_named(folder, monkeypatch):
    if any((Path(part) / "sbatch").exists() for part in os.environ["PATH"].split(os.pathsep)):
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = snakemake(folder, "a.txt", "--submitit-cluster", "slurm")
    assert done.returncode != 0
    assert "--submitit-cluster local runs the same jobs" in done.stdout + done.stderr


@pytest.fixture
def waiting(folder):
    """Return a Snakemake whose job sleeps, and the sleeping shell's process."""
    process = subprocess.Popen(
        command("waits.txt"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
    yield process, int((folder / "pid").read_text())
    if process.poll() is None:
        process.kill()
    process.wait()


def test_ctrl_c_ends_every_process(waiting):
    process, pid = waiting
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=300)
    assert "cancelling 1 jobs" in text and "all of them have ended" in text
    wait_for(lambda: not alive(pid), 10)


def test_a_killed_snakemake_finds_its_job_again(waiting, folder):
    process, pid = waiting
    process.kill()
    process.wait()
    assert alive(pid)
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], cwd=folder, check=True, capture_output=True)
    again = subprocess.Popen(
        command("waits.txt", "--submitit-keep-days", "0"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = iter(again.stdout.readline, "")
    assert any("1 jobs of an earlier run are taken over" in line for line in lines)
    assert int((folder / "pid").read_text()) == pid and alive(pid)
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=300)
    wait_for(lambda: not alive(pid), 10)


def test_another_job_for_the_same_file_is_cancelled_before(waiting, folder):
    process, pid = waiting
    process.kill()
    process.wait()
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], cwd=folder, check=True, capture_output=True)
    changed = WORKFLOW.replace("echo $$ >pid; sleep 300;", "sleep 1; ")
    (folder / "Snakefile").write_text(changed)
    done = snakemake(folder, "waits.txt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of an earlier run would write waits.txt too; cancelled first" in done.stdout + done.stderr
    assert not alive(pid)


def test_a_copied_folder_leaves_the_originals_job_alone(waiting, folder, tmp_path_factory):
    _, pid = waiting
    copy = tmp_path_factory.mktemp("copied") / "project"
    shutil.copytree(folder, copy)
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], cwd=copy, check=True, capture_output=True)
    (copy / "Snakefile").write_text(WORKFLOW.replace("echo $$ >pid; sleep 300;", "sleep 1; "))
    done = snakemake(copy, "waits.txt")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "whose jobs are left alone" in text and "cancelled first" not in text
    assert alive(pid)


def test_the_guard_takes_a_job_down_with_its_wrapper(waiting, folder):
    _, pid = waiting
    attempts = next((folder / ".snakemake/submitit").rglob("*_attempts.jsonl")).read_text()
    wrapper = int(re.search(r'"attempt": "(\d+)-', attempts)[1])
    os.kill(wrapper, signal.SIGKILL)
    wait_for(lambda: not alive(pid), 10)
