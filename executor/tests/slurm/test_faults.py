"""Everything that goes wrong on clusters, done to a job that saves its state: it must end in the undisturbed output.

Each test counts processes: never two at once for one output, and no more than the fault explains.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from slurm_testing.cluster import alive, wait_for
from slurm_testing.head import processes_in


def test_nothing_happens(head, is_as_undisturbed):
    text = head.count().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert "submitted job" in text


@pytest.mark.parametrize("signals", ["USR2", "TERM", "TERM USR2"])
def test_preemption_by_signal(head, is_as_undisturbed, slurm, signals, project):
    """As `preempt_send_user_signal` has it (USR2), and as clusters without that do (TERM)."""
    head.count().is_counting()
    for number in signals.split():
        slurm.run("scancel", f"--signal={number}", head.job_ids()[0])
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "came through, after 1 requeue after a preemption" in text
    assert [entry["event"] for entry in head.attempts()] == ["start", "preempted", "start", "done"]


@pytest.mark.parametrize("number", ["USR2", "TERM"])
def test_preemption_of_two_jobs_in_one(head, is_as_undisturbed, slurm, project, number):
    """One after the other in one SLURM job: the one that runs is saved, and goes on after the requeue."""
    head.arguments = ["--groups", "count=both", "--group-components", "both=2"]
    head.arguments += ["--resources", "mem_mb=500", "--set-resource-scopes", "mem_mb=local"]
    head.count(0, 1)
    head.awaits(lambda: any(len(head.saved(number)["values"]) >= 3 for number in (0, 1)), "nothing counts")
    (first,) = [number for number in (0, 1) if (project / f"states/{number}.json").exists()]
    (job,) = head.job_ids()
    slurm.run("scancel", f"--signal={number}", job)
    text = head.ends()
    assert "came through, after 1 requeue after a preemption" in text
    assert head.job_ids() == [job]
    is_as_undisturbed(attempts=2, number=first)
    is_as_undisturbed(attempts=1, resumed=False, number=1 - first)


@pytest.mark.alone
def test_preemption_by_a_job_of_higher_priority(head, is_as_undisturbed, slurm, project, tmp_path):
    """SLURM itself takes the node away, and the other job runs meanwhile."""
    head.count().is_counting()
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
def test_time_limit(head, is_as_undisturbed, slurm, project, srun):
    """SLURM's own limit and its own signal; the job is kept from ending before that."""
    head.arguments = ["--submitit-use-srun", srun]
    pid = head.count().is_counting()
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
    assert [entry["event"] for entry in head.attempts()] == ["start", "timeout", "start", "done"]


def is_pending(pid: int, number: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", status, re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in pending)


def test_scontrol_requeue(head, is_as_undisturbed, slurm):
    head.count().is_counting()
    slurm.run("scontrol", "requeue", head.job_ids()[0])
    head.ends()
    is_as_undisturbed(attempts=2)


def test_too_little_memory_then_more(head, is_as_undisturbed, slurm):
    """SLURM kills the first attempt; Snakemake's retry asks for more, and goes on where the first one was."""
    head.arguments = ["--retries", "1", "--set-resources", "count:mem_mb=500+1500*(attempt-1)"]
    head.arguments += ["--config", "megabytes=700"]
    text = head.count().ends()
    assert "exceeded memory limit" in text
    is_as_undisturbed(attempts=2)
    by_job = sorted(memories(slurm, head.job_ids()), key=lambda pair: int(pair[0]))
    assert [memory for _, memory in by_job] == ["500M", "2000M"]


def memories(slurm, job_ids):
    lines = slurm.run("sacct", "-X", "-n", "-P", "-o", "JobID,ReqMem", "-j", ",".join(job_ids)).split()
    return [tuple(line.split("|")) for line in lines]


def test_killed_job(head, is_as_undisturbed):
    head.arguments = ["--retries", "1"]
    os.kill(head.count().is_counting(), signal.SIGKILL)
    text = head.ends()
    is_as_undisturbed(attempts=2)
    assert "exit status 1" in text and "_log.err" in text


def test_killed_wrapper_leaves_no_process(head, is_as_undisturbed, project):
    """kill -9 of the program that watches the job: the guard takes the job down."""
    head.arguments = ["--retries", "1"]
    counter = head.count().is_counting()
    wrapper = int(head.attempts()[0]["attempt"].partition("-")[0])
    os.kill(wrapper, signal.SIGKILL)
    wait_for(lambda: not alive(counter), 10, "the job to be taken down")
    head.ends()
    is_as_undisturbed(attempts=2)


@pytest.mark.alone
def test_lost_node(head, is_as_undisturbed, slurm):
    """slurmd dies, SLURM takes the node for dead and requeues; the job is meanwhile still running there."""
    counter = head.count().is_counting()
    slurm.end("slurmd", signal.SIGKILL)
    os.kill(counter, signal.SIGSTOP)  # else it would end before SLURM notices
    wait_for(lambda: "down" in slurm.node_state(), 120, "the node to be down")
    slurm.start_slurmd()
    head.ends()
    is_as_undisturbed(attempts=2)


@pytest.mark.alone
def test_slurmctld_away(head, is_as_undisturbed, slurm):
    counter = head.count().is_counting()
    os.kill(counter, signal.SIGSTOP)  # so that the job outlasts what follows
    time.sleep(6)  # slurmctld saves its state within 5 s of a change; a job that is not saved is lost to it
    slurm.end("slurmctld", signal.SIGKILL)
    head.said("squeue failed")
    os.kill(counter, signal.SIGCONT)
    time.sleep(5)
    slurm.start_slurmctld()
    text = head.ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("squeue failed") == 1


@pytest.mark.alone
def test_slurmdbd_away(head, is_as_undisturbed, slurm):
    head.arguments = ["--retries", "1"]
    counter = head.count().is_counting()
    slurm.end("slurmdbd", signal.SIGKILL)
    try:
        os.kill(counter, signal.SIGKILL)  # so that states matter
        head.ends()
    finally:
        slurm.start_slurmdbd()
    is_as_undisturbed(attempts=2)


def test_killed_head(head, is_as_undisturbed, project):
    """One job runs and another waits when the head is gone: both are found again."""
    head.arguments = ["--set-resources", "count:gpu=2"]
    head.count(0, 1)
    head.said("submitted array")
    head.awaits(lambda: list(project.glob("states/*.starts")), "nothing counts")
    pid = head.is_counting(int(next(project.glob("states/*.starts")).stem))
    head.kill()
    head.running.wait()
    os.kill(pid, signal.SIGSTOP)  # else it may have ended before the next head looks
    first_jobs = head.job_ids()
    head.unlock()
    head.count(0, 1)
    head.said("2 jobs of an earlier run are taken over")
    os.kill(pid, signal.SIGCONT)
    head.ends()
    assert head.job_ids() == first_jobs
    for number in (0, 1):
        is_as_undisturbed(attempts=1, resumed=False, number=number)


def test_killed_head_and_a_job_that_ended_meanwhile(head, is_as_undisturbed, project):
    head.count().is_counting()
    head.kill()
    head.running.wait()
    wait_for(lambda: not head.is_queued(), 120, "the job to end")
    head.unlock()
    assert "Nothing to be done" in head.count().ends()
    shutil.rmtree(project / ".snakemake/submitit")  # nobody took the result file away
    is_as_undisturbed(attempts=1, resumed=False)


def test_ctrl_c_then_again(head, is_as_undisturbed, project):
    head.count().is_counting()
    head.kill(signal.SIGINT)
    text = head.ends(status=1)
    assert "cancelling 1 jobs" in text and "all of them have ended" in text
    assert not processes_in(project)
    head.count().ends()
    is_as_undisturbed(attempts=2)


def test_full_disk_in_the_job_folder(head, is_as_undisturbed, project):
    folder = project / ".snakemake/submitit-small"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)], check=True)
    filler = folder / "filler"
    try:
        head.arguments = ["--submitit-folder", str(folder)]
        head.count().is_counting()
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        wait_for(lambda: (project / "counts/0.json").exists(), 60, "the output")
        time.sleep(3)
        filler.unlink()
        head.ends()
    finally:
        head.close()
        wait_for(lambda: not head.is_queued(), 60, "an empty queue")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    is_as_undisturbed(attempts=1, resumed=False)


def test_sbatch_fails_three_times(head, is_as_undisturbed, faked):
    script = (
        'echo x >>"$NOTES"; [ "$(wc -l <"$NOTES")" -gt 3 ] && exec "$REAL" "$@"; echo "sbatch: error: {}" >&2; exit 1'
    )
    head.environment["PATH"] = faked("sbatch", script.format("Batch job submission failed: Unable to contact"))
    text = head.count().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("jobs cannot be submitted now") == 1
    assert "jobs can be submitted again" in text


def test_sbatch_submits_and_says_that_it_did_not(head, is_as_undisturbed, faked):
    """'Socket timed out' often means that the job was taken all the same."""
    script = '"$REAL" "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'
    head.environment["PATH"] = faked("sbatch", script)
    head.count().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert len(head.job_ids()) == 1


def test_sacct_hangs(head, is_as_undisturbed, faked, slurm):
    """A job that only the accounting knows of, and the accounting is silent: nothing is concluded from it."""
    head.environment["PATH"] = faked("sacct", "sleep 600")
    head.arguments = ["--retries", "1"]
    os.kill(head.count().is_counting(), signal.SIGKILL)
    head.ends()
    is_as_undisturbed(attempts=2)


def test_squeue_hangs_for_a_while(head, is_as_undisturbed, faked):
    head.environment["PATH"] = faked("squeue", '[ -e "$NOTES" ] || { touch "$NOTES"; sleep 600; }; exec "$REAL" "$@"')
    text = head.count().ends()
    is_as_undisturbed(attempts=1, resumed=False)
    assert text.count("squeue failed") <= 1
