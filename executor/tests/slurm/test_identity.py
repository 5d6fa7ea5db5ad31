"""Whose job is it, and why did it end? What the plugin believes of a real SLURM, and what it leaves alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counting import Counting
from slurm_testing.cluster import alive, wait_for

CHANGED = ["--config", "megabytes=1"]  # another parameter, and so another job for the same output


def stop_head(head):
    head.kill()
    head.running.wait()
    head.unlock()


@pytest.fixture
def precious(slurm, tmp_path):
    """Return a job of the same user that has nothing to do with Snakemake."""
    options = ["--parsable", "--job-name=precious", "--mem=50", f"--output={tmp_path}/precious.log"]
    job = slurm.run("sbatch", *options, "--wrap=sleep 600").strip()
    yield job
    slurm.run("scancel", job)


def test_a_copied_folder_leaves_the_originals_job_alone(head, is_as_undisturbed, slurm, project, tmp_path):
    pid = head.count().is_counting()
    os.kill(pid, signal.SIGSTOP)  # else it would end before the copy looks
    (job,) = head.job_ids()
    copy = Counting(Path(shutil.copytree(project, tmp_path / "copy")), slurm, arguments=CHANGED)
    for table in copy.folder.glob(".snakemake/submitit/*/jobs.tsv"):
        table.unlink()  # at its end a test cancels what the table names
    try:
        copy.unlock()
        text = copy.count().ends()
    finally:
        copy.close()
    assert "whose jobs are left alone" in text and "cancelled first" not in text
    assert head.state(job) == "RUNNING"
    os.kill(pid, signal.SIGCONT)
    head.ends()
    is_as_undisturbed(attempts=1, resumed=False)


def test_an_id_that_slurm_has_given_away_is_left_alone(head, is_as_undisturbed, slurm, project, precious):
    """As after a wipe of SLURM's state. The job that is really running is not found, and has to give way."""
    head.count().is_counting()
    stop_head(head)
    journal = project / ".snakemake/submitit/journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    lines = [{**line, "id": precious} if line["do"] == "id" else line for line in lines]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    head.arguments = CHANGED
    text = head.count().ends()
    assert f"SLURM has given ids of the journal to other jobs, which are left alone: {precious}" in text
    assert head.state(precious) == "RUNNING"
    for pickle in project.glob(".snakemake/submitit/*/count/*.pkl"):
        pickle.unlink()  # of the job whose id nobody knows any more
    is_as_undisturbed(attempts=2)


def test_an_interrupt_during_a_slow_sbatch_leaves_no_job(head, slurm, project, faked):
    head.environment["PATH"] = faked("sbatch", 'touch "$NOTES"; sleep 4; exec "$REAL" "$@"')
    head.count()
    notes = project.with_name("fake") / "sbatch.notes"
    head.awaits(notes.exists, "sbatch is not called")
    for _ in range(2):
        head.kill(signal.SIGINT)
        time.sleep(0.5)
    text = head.ends(status=1)
    assert "cancelling 1 jobs" in text and "all of them have ended" in text
    assert not head.is_queued()


def test_a_cancelled_job_is_no_timed_out_one(head, slurm):
    head.count().is_counting()
    slurm.run("scancel", head.job_ids()[0])
    text = head.ends(status=1)
    assert "no result; SLURM says CANCELLED" in text and "time limit" not in text


def test_a_held_job_says_so_once(head, is_as_undisturbed, slurm):
    head.arguments = ["--set-resources", "count:slurm_extra=--begin=now+30"]
    head.count().said("submitted job")
    (job,) = head.job_ids()
    slurm.run("scontrol", "hold", job)
    head.said("does not start by itself: JobHeldAdmin: an administrator holds it; ask for: scontrol release")
    slurm.run("scontrol", "release", job)
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    assert head.ends().count("does not start by itself") == 1
    is_as_undisturbed(attempts=1, resumed=False)


def test_variables_of_the_users_neither_rename_nor_hide_a_job(head, is_as_undisturbed, slurm):
    head.environment |= {"SBATCH_JOB_NAME": "mine", "SQUEUE_PARTITION": "urgent", "SQUEUE_USERS": "nobody"}
    head.count().is_counting()
    (job,) = head.job_ids()
    assert slurm.run("squeue", "--noheader", "--format=%j", f"--jobs={job}").startswith("smk-count-")
    head.ends()
    is_as_undisturbed(attempts=1, resumed=False)


@pytest.mark.alone
def test_a_preemption_that_cancels_is_submitted_again(head, is_as_undisturbed, slurm):
    slurm.run("scontrol", "update", "PartitionName=gpu", "PreemptMode=CANCEL", "GraceTime=0")
    try:
        head.count().is_counting()
        options = ["--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null"]
        urgent = slurm.run("sbatch", *options, "--wrap=sleep 3").strip()
        wait_for(lambda: head.state(urgent) == "RUNNING", 60, "the urgent job")
        text = head.ends()
    finally:
        slurm.run("scontrol", "update", "PartitionName=gpu", "PreemptMode=REQUEUE", "GraceTime=20")
    assert "was interrupted (PREEMPTED) and is submitted again" in text
    is_as_undisturbed(attempts=2)


HEAD_IN_A_JOB = """#!/bin/bash
#SBATCH --time=2 --mem=500M --requeue --open-mode=append
#SBATCH --signal=B:USR1@100

trap 'kill -KILL $head; scontrol requeue $SLURM_JOB_ID' USR1
{snakemake} --unlock
{snakemake} --profile profile counts/0.json --seconds-between-status-checks 1 &
head=$!
wait $head
"""


def test_a_snakemake_in_a_job_comes_back_before_its_time_limit(head, is_as_undisturbed, slurm, project):
    """The script of docs/life_of_a_job.md with a limit of two minutes."""
    script = project / "head.sh"
    script.write_text(HEAD_IN_A_JOB.format(snakemake=f"{sys.executable} -m snakemake"))
    job = subprocess.run(
        ["sbatch", "--parsable", f"--output={head.output}", script],
        cwd=project,
        env={**os.environ, **slurm.environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        wait_for(lambda: len(head.saved(0)["values"]) >= 3, 120, "the job that counts")
        pid = head.started(0)[0]
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: "1 jobs of an earlier run are taken over" in head.text, 240, "the second Snakemake")
        os.kill(pid, signal.SIGCONT)
        wait_for((project / "counts/0.json").exists, 120, "the output")
        wait_for(lambda: not alive(pid), 30, "the job's end")
    finally:
        slurm.run("scancel", job)
    is_as_undisturbed(attempts=1, resumed=False)
