"""The profile for a machine with several GPUs: trainings side by side, each on a device of its own."""

import os
import re
import shutil
import tempfile

import pytest

UUIDS = ("GPU-8f6d3c1e-0000-0000-0000-000000000001", "GPU-8f6d3c1e-0000-0000-0000-000000000002")
# Appended to the copy's own training: when it ran, and which devices it could see.
WATCHED = """
import os, time

_train_itself = train


def train(*args, **kwargs):
    began = time.monotonic()
    _train_itself(*args, **kwargs)
    time.sleep(0.5)
    with open("watched.txt", "a") as file:
        file.write(f"{began} {time.monotonic()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
"""


@pytest.fixture
def workstation(project, tmp_path, monkeypatch):
    """Return a project whose runs each ask for a GPU, on what looks like a machine with two."""
    project = project.unmade_copy(tmp_path / "project")

    def ask_for_gpus(scale):
        for setup in scale["setups"].values():
            setup["resources"]["gpu"] = 1

    project.change(ask_for_gpus)
    training = project.folder / "workflow/adaptive_smoothing/training/job.py"
    training.write_text(training.read_text() + WATCHED)
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n" + "".join(f"echo {uuid}\n" for uuid in UUIDS))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folder = tempfile.mkdtemp(prefix="gpus-")  # for the locks; a short path, as sockets need
    monkeypatch.setenv("TMPDIR", folder)
    yield project
    shutil.rmtree(folder)


def watched(project):
    """Return start, end and visible devices of each training, in seconds of one clock."""
    lines = [line.split() for line in (project.folder / "watched.txt").read_text().splitlines()]
    return [(float(began), float(ended), devices) for began, ended, devices in lines]


@pytest.mark.slow
def test_trainings_side_by_side_never_share_a_gpu(workstation):
    arguments = ("--profile", "workstation", "--cores", "4", "--resources", "gpu=2")
    workstation.made("paper_figures/tiny/fig10.pdf", *arguments, "--config", "device=cpu")
    runs = watched(workstation)
    assert len(runs) == 4
    assert {devices for _, _, devices in runs} == set(UUIDS)
    together = [(a, b) for a in runs for b in runs if a[0] < b[0] < a[1]]
    assert together, "no two trainings ran at once"
    assert all(a[2] != b[2] for a, b in together)
    # What a job may use is a resource: the same runs are not made again on other GPUs, or on none.
    assert workstation.would_run("paper_figures/tiny/fig10.pdf") == {}


@pytest.mark.slow
def test_without_a_gpu_a_training_fails_at_once_with_a_sentence(workstation, tmp_path):
    (tmp_path / "bin/nvidia-smi").unlink()
    done = workstation.snakemake("paper_figures/tiny/fig10.pdf", "--profile", "workstation", "--cores", "2")
    assert done.returncode != 0
    assert "error: a job needs 1 GPU(s), but 0 are there (none); --resources gpu=N must be at most" in done.stderr
    assert not list((workstation.folder / "results").rglob("metrics.parquet"))


def resources(text):
    """Return the resources that a dry run prints for its trainings."""
    printed = [line for line in re.findall(r"resources: (.*)", text) if "checkpoint_minutes" in line]
    assert printed
    return [dict(item.split("=", 1) for item in line.split(", ")) for line in printed]


def test_the_profiles_settings_stand_beside_those_of_the_command_line(workstation):
    plan = ("--dry-run", "paper_figures/tiny/fig10.pdf")
    for more, device, assigned in [
        ((), "auto", "0"),
        (("--profile", "workstation"), "cuda", "1"),
        (("--profile", "workstation", "--config", "strict=true"), "cuda", "1"),
        (("--profile", "workstation", "--config", "device=cpu"), "cpu", "1"),
    ]:
        for found in resources(workstation.made(*plan, *more)):
            assert (found["gpu"], found["device"], found["assign_gpus"]) == ("1", device, assigned), more


def test_a_run_whose_scale_asks_for_no_gpu_takes_one_where_the_profile_promises_it(workstation):
    workstation.change(lambda scale: [setup["resources"].update(gpu=0) for setup in scale["setups"].values()])
    plan = ("--dry-run", "paper_figures/tiny/fig10.pdf")
    for more, gpu, device in [
        ((), "0", "auto"),
        (("--profile", "workstation"), "1", "cuda"),
        (("--profile", "workstation", "--config", "device=auto"), "0", "cpu"),
    ]:
        for found in resources(workstation.made(*plan, *more)):
            assert (found["gpu"], found["device"]) == (gpu, device), more


def test_too_few_gpus_are_named_before_anything_runs(workstation):
    arguments = ("--profile", "workstation", "--cores", "2", "--resources", "gpu=3")
    done = workstation.snakemake("paper_figures/tiny/fig10.pdf", *arguments)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert lines == [
        f"error: --resources gpu=3: but 2 GPU(s) are there ({', '.join(UUIDS)}); N of gpu=N must be at most that"
    ]
    assert "Traceback" not in done.stderr and not (workstation.folder / "data").exists()
