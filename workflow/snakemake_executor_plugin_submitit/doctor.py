"""Tells what `--profile slurm` will meet on this cluster, with advice.

    python -m snakemake_executor_plugin_submitit.doctor [--folder FOLDER] [-- OPTIONS OF SBATCH]

It asks SLURM for its configuration, and submits one job of a minute to see that a node can run Python from this
environment and write into this folder. Ends with 1 if something would keep jobs from running.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.slurm import NO_ACCOUNTING, Silent, Slurm, configuration

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "srun", "sacct")
NEEDED = PROGRAMS[:4]
SIGNAL_OPTION = "preempt_send_user_signal"
TIMEOUT_S = 60

GOOD, ADVICE, BAD = "ok", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    grade: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.grade:>4}  {self.text}" + (f"\n      → {self.advice}" if self.advice else "")


def programs() -> Iterator[Finding]:
    """Look for SLURM's programs."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if any(name in NEEDED for name in missing):
        text = f"not found: {', '.join(missing)}"
        yield Finding(BAD, text, "run this on a login node; elsewhere --submitit-cluster local runs the same jobs")
    elif missing:
        advice = {
            "srun": "set submitit-use-srun: false",
            "sacct": "states then come from squeue alone, which is enough",
        }
        yield Finding(ADVICE, f"not found: {', '.join(missing)}", "; ".join(advice[name] for name in missing))
    else:
        yield Finding(GOOD, f"found {', '.join(PROGRAMS)}")


def version(config: Mapping[str, str]) -> Finding:
    """Look at SLURM's version."""
    text = config.get("SLURM_VERSION", "unknown")
    return Finding(GOOD, f"SLURM {text}")


def arrays(config: Mapping[str, str]) -> Finding:
    """Look at how large an array may be, and how many jobs a cluster takes."""
    size = config.get("MaxArraySize", "unknown")
    most = config.get("MaxJobCount", "unknown")
    if size in ("0", "1"):
        return Finding(ADVICE, f"MaxArraySize is {size}: jobs go up one by one")
    return Finding(GOOD, f"arrays of up to {size} jobs (MaxArraySize); {most} jobs in all (MaxJobCount)")


def preemption(config: Mapping[str, str]) -> Finding:
    """Look at what a job hears of its preemption."""
    mode, kind = config.get("PreemptMode", "OFF"), config.get("PreemptType", "preempt/none")
    if kind in ("preempt/none", "(null)") or mode == "OFF":
        return Finding(GOOD, "jobs are not preempted")
    if SIGNAL_OPTION in config.get("SlurmctldParameters", ""):
        return Finding(GOOD, f"preemption: {mode}; jobs get SIGUSR2 first ({SIGNAL_OPTION})")
    advice = (
        "jobs save on SIGTERM too; for one that only knows SIGUSR2 ask for SlurmctldParameters="
        f"{SIGNAL_OPTION} and a GraceTime of the partition"
    )
    return Finding(ADVICE, f"preemption: {mode}; jobs get SIGTERM only", advice)


def requeues(config: Mapping[str, str]) -> Finding:
    """Look at whether jobs may be put back into the queue."""
    wait = config.get("KillWait", "unknown")
    if config.get("JobRequeue", "1") == "0":
        return Finding(GOOD, f"JobRequeue is 0, but jobs ask for it with --requeue; KillWait {wait}")
    return Finding(GOOD, f"jobs may be requeued; KillWait {wait}")


def processes(config: Mapping[str, str]) -> Finding:
    """Look at whether SLURM finds all processes of a job."""
    kind = config.get("ProctrackType", "unknown")
    if "cgroup" in kind:
        return Finding(GOOD, f"{kind}: no process outlives its job")
    advice = "the plugin's guard takes a job's processes down; control groups would hold against anything"
    return Finding(ADVICE, f"{kind}: processes may outlive a job that is killed", advice)


def accounting(slurm: Slurm) -> Finding:
    """Look at whether sacct answers."""
    try:
        slurm.call("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID", "--starttime=now-1minutes")
    except Silent as error:
        off = NO_ACCOUNTING in str(error).lower()
        advice = "squeue serves; raise MinJobAge if jobs vanish from it before Snakemake looks"
        return Finding(ADVICE, "accounting is off" if off else f"sacct failed: {error}", advice)
    return Finding(GOOD, "accounting answers")


def partitions(text: str) -> list[Finding]:
    """Return the partitions, from the output of sinfo with fields partition, time limit, GRES and availability."""
    findings, seen = [], set()
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and tuple(fields) not in seen:
            seen.add(tuple(fields))
            name, limit, gres, available = fields
            gpus = gres if "gpu" in gres else "no GPUs"
            findings.append(
                Finding(GOOD if available == "up" else ADVICE, f"partition {name}: {gpus}, limit {limit}, {available}")
            )
    if not any("gpu:" in finding.text for finding in findings):
        findings.append(Finding(ADVICE, "no partition shows GPUs", "rules with gpu=1 would wait for ever; set gpu=0"))
    return findings


def shared_folder(slurm: Slurm, folder: Path, options: list[str], say: Callable[[str], None]) -> Finding:
    """Submit a job that writes into `folder` with this Python, and wait for what it wrote."""
    token = uuid.uuid4().hex[:10]
    answer, log = folder / f"doctor-{token}.txt", folder / f"doctor-{token}.log"
    code = f"import os, submitit, snakemake; open({str(answer)!r}, 'w').write(os.uname().nodename)"
    small = ["--time=1", "--mem=500M"]  # without the latter a site without a default gives it a whole node's memory
    command = ["sbatch", "--parsable", f"--job-name=doctor-{token}", f"--output={log}", *small, *options]
    try:
        job = slurm.call(*command, f'--wrap={sys.executable} -c "{code}"').strip().partition(";")[0]
    except Silent as error:
        return Finding(
            BAD, f"sbatch failed: {error}", "give what this cluster wants: doctor -- --partition=… --account=…"
        )
    say(f"waiting for job {job}, at most {TIMEOUT_S} s")
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            os.listdir(folder)  # makes a network file system look again
            if answer.exists() and (host := answer.read_text()):
                return Finding(GOOD, f"a job on {host} ran this Python and wrote into {folder}")
            time.sleep(1)
        state = slurm.states([job], time.time() - TIMEOUT_S).states.get(job, "unknown")
        if state in ("PENDING", "CONFIGURING"):
            return Finding(
                ADVICE, f"job {job} is still {state}", "the cluster is busy; try again, or read squeue's reason"
            )
        text = folders.last_lines(log, 5) or "it has no log: SLURM could not write there"
        advice = "Snakemake's folder and its environment must be seen by all nodes"
        return Finding(BAD, f"job {job} is {state} and wrote nothing into {folder}: {text}", advice)
    finally:
        subprocess.run(["scancel", job], capture_output=True, check=False)
        for path in (answer, log):
            path.unlink(missing_ok=True)


def environment() -> Iterator[Finding]:
    """Look at whether this is itself a job, and at variables that change what sbatch does."""
    if "SLURM_JOB_ID" in os.environ:
        yield Finding(
            GOOD, f"inside job {os.environ['SLURM_JOB_ID']}: its SLURM variables are kept from jobs submitted here"
        )
    elif names := sorted(name for name in os.environ if re.match("SBATCH_", name)):
        yield Finding(ADVICE, f"{', '.join(names)} in the environment change what sbatch does")


def examine(folder: Path, options: list[str], say: Callable[[str], None]) -> Iterator[Finding]:
    """Yield all findings."""
    slurm = Slurm(TIMEOUT_S, warn=lambda text: None, say=lambda text: None)
    for finding in programs():
        yield finding
        if finding.grade == BAD:
            return
    try:
        config = configuration(slurm.call("scontrol", "show", "config"))
    except Silent as error:
        yield Finding(
            BAD, f"slurmctld does not answer: {error}", "is this machine configured for the cluster (SLURM_CONF)?"
        )
        return
    yield from (look(config) for look in (version, arrays, preemption, requeues, processes))
    yield accounting(slurm)
    try:
        yield from partitions(slurm.call("sinfo", "--noheader", "--format=%P|%l|%G|%a"))
    except Silent as error:
        yield Finding(ADVICE, f"sinfo failed: {error}")
    yield from environment()
    yield shared_folder(slurm, folder, options, say)


def main() -> None:
    """Print the findings."""
    parser = argparse.ArgumentParser(prog="doctor", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=Path(".snakemake/submitit"), help="the folder to try (%(default)s)"
    )
    parser.add_argument("sbatch", nargs="*", help="options for the job that is tried, after --")
    arguments = parser.parse_args()
    folder = folders.private(arguments.folder.absolute())
    bad = False
    for finding in examine(folder, arguments.sbatch, lambda text: print(f"      {text}", flush=True)):
        print(finding, flush=True)
        bad |= finding.grade == BAD
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
