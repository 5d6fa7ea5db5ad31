"""Trainings through `--profile slurm` on a real SLURM: Fig. 7's table, and a preemption of several in one job."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from trainings import EPOCHS, METRICS, ROOT, RUN, head_in, metrics, workflow_tests

from adaptive_smoothing.core import parquet
from adaptive_smoothing.training.metrics import NOT_REPRODUCED

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


def grouped(size: int, mem_mb: int) -> list[str]:
    """Return the options that put so many trainings into one job, one after the other; each takes `mem_mb`."""
    groups = ["--groups", "train=runs", "--group-components", f"runs={size}"]
    return [*groups, "--resources", f"mem_mb={mem_mb}", "--set-resource-scopes", "mem_mb=local"]


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
    head = head_in(folder, slurm)
    head.arguments = ["--set-resources", "train:gpu=1", *(grouped(size, mem_mb=2000) if size > 1 else [])]
    try:
        text = head.start(FIGURE.format(scale=scale)).ends(seconds=3600)
    finally:
        head.close()
    assert (folder / FIGURE.format(scale=scale)).read_bytes().startswith(b"%PDF")
    table = parquet.read_frame(folder / TABLE.format(scale=scale))[0]
    columns = [column for column in table.columns if column not in NOT_REPRODUCED]
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


@pytest.mark.parametrize("number", ["USR2", "TERM"])
def test_preemption_of_two_trainings_in_one_job(head, slurm, project, prepared, number):
    """Trained one after the other in forks of one process: what was begun is saved, and goes on after the requeue."""
    head.arguments = grouped(2, mem_mb=1500)
    head.start(*(METRICS.format(run=RUN.format(seed=seed)) for seed in (0, 1)))
    logs = [project / f"logs/tiny/train/{RUN.format(seed=seed)}.log" for seed in (0, 1)]
    trained = [lambda log=log: log.exists() and log.read_text().count("\nepoch ") >= 3 for log in logs]
    head.awaits(lambda: any(one() for one in trained), "no training")
    assert sum(log.exists() for log in logs) == 1
    (job,) = head.job_ids()
    slurm.run("scancel", f"--signal={number}", job)
    text = head.ends()
    assert "came through, after 1 requeue after a preemption" in text
    assert head.job_ids() == [job]
    for seed in (0, 1):
        undisturbed, frame = metrics(prepared, seed), metrics(project, seed)
        assert undisturbed["epoch"].tolist() == list(range(1, EPOCHS + 1))
        columns = [column for column in frame.columns if column not in NOT_REPRODUCED]
        pd.testing.assert_frame_equal(frame[columns], undisturbed[columns], check_exact=True)
    assert sorted(int(metrics(project, seed)["restarts"].iloc[-1]) for seed in (0, 1)) == [0, 1]
    assert not list(project.glob("results/tiny/runs/**/checkpoint.pt"))
