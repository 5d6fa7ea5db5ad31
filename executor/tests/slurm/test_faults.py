"""Everything that goes wrong on clusters, done to a real training: it must end in the metrics of an undisturbed one.

Each test counts processes: a run is never trained by two at once, and by no more than the fault explains.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from cluster import alive, wait_for
from conftest import METRICS, RUN, metrics, read_attempts, trainers, whole_metrics


def test_nothing_happens(train, head, is_as_undisturbed):
    text = train().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert "submitted job" in text


@pytest.mark.parametrize("signals", ["USR2", "TERM", "TERM USR2"])
def test_preemption_by_signal(train, head, is_as_undisturbed, slurm, signals, project):
    """As `preempt_send_user_signal` has it (USR2), and as clusters without that do (TERM)."""
    train().is_training()
    for number in signals.split():
        slurm.run("scancel", f"--signal={number}", head.job_ids()[0])
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "came through, after 1 requeue after a preemption" in text
    assert [entry["event"] for entry in read_attempts(project)] == ["start", "preempted", "start", "done"]


@pytest.mark.parametrize("number", ["USR2", "TERM"])
def test_preemption_of_two_runs_in_one_job(train, head, slurm, project, prepared, number):
    """Trained one after the other in forks of one process: what was begun is saved, and goes on after the requeue."""
    head.arguments = ["--groups", "train=runs", "--group-components", "runs=2"]
    head.arguments += ["--resources", "mem_mb=1500", "--set-resource-scopes", "mem_mb=local"]
    train(0, 1)
    logs = [project / f"logs/tiny/train/{RUN.format(seed=seed)}.log" for seed in (0, 1)]
    wait_for(lambda: any(log.exists() and log.read_text().count("\nepoch ") >= 3 for log in logs), 120, "a training")
    assert sum(log.exists() for log in logs) == 1
    (job,) = head.job_ids()
    slurm.run("scancel", f"--signal={number}", job)
    text = head.ends()
    assert "came through, after 1 requeue after a preemption" in text
    assert head.job_ids() == [job]
    for seed in (0, 1):
        pd.testing.assert_frame_equal(metrics(project, seed), metrics(prepared, seed), check_exact=True)
    assert sorted(int(whole_metrics(project, seed)["restarts"].iloc[-1]) for seed in (0, 1)) == [0, 1]
    assert not list(project.glob("results/tiny/runs/**/checkpoint.pt"))


@pytest.mark.alone
def test_preemption_by_a_job_of_higher_priority(train, head, is_as_undisturbed, slurm, project, tmp_path):
    """SLURM itself takes the node away, and the other job runs meanwhile."""
    train().is_training()
    job = head.job_ids()[0]
    urgent = slurm.run(
        "sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 3"
    ).strip()
    wait_for(lambda: head.state(urgent) == "RUNNING", 60, "the urgent job")
    assert head.state(job) in ("PENDING", "COMPLETING")
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "preemption" in text


@pytest.mark.parametrize("srun", ["true", "false"])
def test_time_limit(train, head, is_as_undisturbed, slurm, project, srun):
    """SLURM's own limit and its own signal; the training is kept from ending before that."""
    head.arguments = ["--submitit-use-srun", srun]
    pid = train().is_training()
    os.kill(pid, signal.SIGSTOP)
    slurm.run("scontrol", "update", f"JobId={head.job_ids()[0]}", "TimeLimit=1")
    # SLURM wakes what it signals; should that change, this does.
    wait_for(lambda: not alive(pid) or is_pending(pid, signal.SIGUSR2), 75, "SLURM's signal")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    head.said("is back in the queue: 1 of 3 requeues after its time limit")
    slurm.run(
        "scontrol", "update", f"JobId={head.job_ids()[0]}", "TimeLimit=10"
    )  # a minute may be short on a busy machine
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "1 of 3 requeues after its time limit" in text
    assert [entry["event"] for entry in read_attempts(project)] == ["start", "timeout", "start", "done"]


def is_pending(pid: int, number: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", status, re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in pending)


def test_scontrol_requeue(train, head, is_as_undisturbed, slurm):
    train().is_training()
    slurm.run("scontrol", "requeue", head.job_ids()[0])
    head.ends()
    is_as_undisturbed(attempts=2)


def test_too_little_memory_then_more(train, head, is_as_undisturbed, slurm):
    """SLURM kills the first attempt; Snakemake's retry asks for more, and goes on where the first one was."""
    head.arguments = ["--retries", "1", "--set-resources", "train:mem_mb=300+1500*(attempt-1)"]
    text = train().ends()
    assert "exceeded memory limit" in text
    is_as_undisturbed(attempts=2, resumed=False)  # it died before its first step
    by_job = sorted(memories(slurm, head.job_ids()), key=lambda pair: int(pair[0]))
    assert [memory for _, memory in by_job] == ["300M", "1800M"]


def memories(slurm, job_ids):
    lines = slurm.run("sacct", "-X", "-n", "-P", "-o", "JobID,ReqMem", "-j", ",".join(job_ids)).split()
    return [tuple(line.split("|")) for line in lines]


def test_killed_training(train, head, is_as_undisturbed):
    head.arguments = ["--retries", "1"]
    os.kill(train().is_training(), signal.SIGKILL)
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "exit status 1" in text and "_log.err" in text


def test_killed_wrapper_leaves_no_process(train, head, is_as_undisturbed, project):
    """kill -9 of the program that watches the training: the guard takes the training down."""
    head.arguments = ["--retries", "1"]
    trainer = train().is_training()
    wrapper = int(read_attempts(project)[0]["attempt"].partition("-")[0])
    os.kill(wrapper, signal.SIGKILL)
    wait_for(lambda: not alive(trainer), 10, "the training to be taken down")
    head.ends()
    is_as_undisturbed(attempts=2)


@pytest.mark.alone
def test_lost_node(train, head, is_as_undisturbed, slurm):
    """slurmd dies, SLURM takes the node for dead and requeues; the training is meanwhile still running there."""
    train().is_training()
    slurm.end("slurmd", signal.SIGKILL)
    for pid in trainers(str(head.folder)):
        os.kill(pid, signal.SIGSTOP)  # else it would end before SLURM notices
    wait_for(lambda: "down" in slurm.node_state(), 120, "the node to be down")
    slurm.start_slurmd()
    head.ends()
    is_as_undisturbed(attempts=2)


@pytest.mark.alone
def test_slurmctld_away(train, head, is_as_undisturbed, slurm):
    train().is_training()
    slurm.end("slurmctld", signal.SIGKILL)
    head.said("squeue failed")
    time.sleep(5)
    slurm.start_slurmctld()
    text = head.ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("squeue failed") == 1


@pytest.mark.alone
def test_slurmdbd_away(train, head, is_as_undisturbed, slurm):
    head.arguments = ["--retries", "1"]
    trainer = train().is_training()
    slurm.end("slurmdbd", signal.SIGKILL)
    try:
        os.kill(trainer, signal.SIGKILL)  # so that states matter
        head.ends()
    finally:
        slurm.start_slurmdbd()
    is_as_undisturbed(attempts=2)


def test_killed_head(head, is_as_undisturbed, project):
    """One training runs and another waits when the head is gone: both are found again."""
    head.arguments = ["--set-resources", "train:gpu=2"]
    head.start(*(METRICS.format(run=RUN.format(seed=seed)) for seed in (0, 1)))
    head.said("submitted array")
    pid = head.is_training(wait_any(project)[0])
    head.kill()
    head.running.wait()
    os.kill(pid, signal.SIGSTOP)  # else it may have ended before the next head looks
    first_jobs = head.job_ids()
    subprocess.run(["snakemake", "--unlock"], cwd=project, check=True, capture_output=True)
    head.start(*(METRICS.format(run=RUN.format(seed=seed)) for seed in (0, 1)))
    head.said("2 jobs of an earlier run are taken over")
    os.kill(pid, signal.SIGCONT)
    head.ends()
    assert head.job_ids() == first_jobs
    for seed in (0, 1):
        is_as_undisturbed(attempts=1, resumed=False, seed=seed)


def wait_any(project: Path) -> list[int]:
    """Return the seeds whose training has begun, waiting for the first."""
    logs = {seed: project / f"logs/tiny/train/{RUN.format(seed=seed)}.log" for seed in (0, 1)}
    wait_for(lambda: any(log.exists() for log in logs.values()), 60, "a training")
    return [seed for seed, log in logs.items() if log.exists()]


def test_killed_head_and_a_job_that_ended_meanwhile(train, head, is_as_undisturbed, project):
    train().is_training()
    head.kill()
    head.running.wait()
    wait_for(lambda: not head.is_queued(), 120, "the training to end")
    subprocess.run(["snakemake", "--unlock"], cwd=project, check=True, capture_output=True)
    assert "Nothing to be done" in train().ends()
    shutil.rmtree(project / ".snakemake/submitit")  # nobody took the result file away
    is_as_undisturbed(attempts=1, resumed=False)


def test_ctrl_c_then_again(train, head, is_as_undisturbed, project):
    train().is_training()
    head.kill(signal.SIGINT)
    text = head.ends(status=1)
    assert "cancelling 1 jobs" in text and "all of them have ended" in text
    assert not trainers(str(project))
    train().ends()
    is_as_undisturbed(attempts=2)


def test_full_disk_in_the_job_folder(train, head, is_as_undisturbed, project):
    folder = project / ".snakemake/submitit-small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)], check=True)
    filler = folder / "filler"
    try:
        head.arguments = ["--submitit-folder", str(folder)]
        train().is_training()
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        wait_for(lambda: (project / METRICS.format(run=RUN.format(seed=0))).exists(), 60, "metrics")
        time.sleep(3)
        filler.unlink()
        head.ends()
    finally:
        head.close()
        wait_for(lambda: not head.is_queued(), 60, "an empty queue")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    is_as_undisturbed(attempts=1, resumed=False)


def test_sbatch_fails_three_times(train, head, is_as_undisturbed, faked):
    script = (
        'echo x >>"$NOTES"; [ "$(wc -l <"$NOTES")" -gt 3 ] && exec "$REAL" "$@"; echo "sbatch: error: {}" >&2; exit 1'
    )
    head.environment["PATH"] = faked("sbatch", script.format("Batch job submission failed: Unable to contact"))
    text = train().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("jobs cannot be submitted now") == 1
    assert "jobs can be submitted again" in text


def test_sbatch_submits_and_says_that_it_did_not(train, head, is_as_undisturbed, faked):
    """'Socket timed out' often means that the job was taken all the same."""
    script = '"$REAL" "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'
    head.environment["PATH"] = faked("sbatch", script)
    train().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert len(head.job_ids()) == 1


def test_sacct_hangs(train, head, is_as_undisturbed, faked, slurm):
    """A job that only the accounting knows of, and the accounting is silent: nothing is concluded from it."""
    head.environment["PATH"] = faked("sacct", "sleep 600")
    head.arguments = ["--retries", "1"]
    os.kill(train().is_training(), signal.SIGKILL)
    head.ends()
    is_as_undisturbed(attempts=2)


def test_squeue_hangs_for_a_while(train, head, is_as_undisturbed, faked):
    head.environment["PATH"] = faked("squeue", '[ -e "$NOTES" ] || { touch "$NOTES"; sleep 600; }; exec "$REAL" "$@"')
    text = train().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("squeue failed") <= 1
