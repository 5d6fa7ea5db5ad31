"""Checks what `--profile slurm` will meet on this cluster, and gives advice.

    python -m snakemake_executor_plugin_submitit.doctor [--folder FOLDER] [-- OPTIONS OF SBATCH]

It asks SLURM for its configuration, and submits one job of a minute to check that a node can run this Python and write
into this folder. Ends with 1 if something would keep jobs from running.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit import folders
from snakemake_executor_plugin_submitit.environment import removed, sbatch_defaults
from snakemake_executor_plugin_submitit.messages import Messages
from snakemake_executor_plugin_submitit.records import Handle
from snakemake_executor_plugin_submitit.slurm import NO_ACCOUNTING, Commands, Slurm, SlurmUnavailable, configuration

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "srun", "sacct")
NEEDED = PROGRAMS[:4]
SIGNAL_OPTION = "preempt_send_user_signal"
TIMEOUT_S = 60

GOOD, ADVICE, BAD = "ok", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    grade: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.grade:>4}  {self.text}" + (f"\n      → {self.advice}" if self.advice else "")


def programs() -> Finding:
    """Check that SLURM's programs exist."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    text = f"not found: {', '.join(missing)}"
    if any(name in NEEDED for name in missing):
        return Finding(BAD, text, "run this on a login node; elsewhere --submitit-cluster local runs the same jobs")
    advice = {"srun": "set submitit-use-srun: false", "sacct": "states then come from squeue alone, which is enough"}
    if missing:
        return Finding(ADVICE, text, "; ".join(advice[name] for name in missing))
    return Finding(GOOD, f"found {', '.join(PROGRAMS)}")


def version(config: Mapping[str, str]) -> Finding:
    """Return SLURM's version."""
    return Finding(GOOD, f"SLURM {config.get('SLURM_VERSION', 'unknown')}")


def arrays(config: Mapping[str, str]) -> Finding:
    """Check how large an array may be, and how many jobs a cluster takes."""
    size, most = config.get("MaxArraySize", "unknown"), config.get("MaxJobCount", "unknown")
    if size in ("0", "1"):
        return Finding(ADVICE, f"MaxArraySize is {size}: jobs go up one by one")
    return Finding(GOOD, f"arrays of up to {size} jobs (MaxArraySize); {most} jobs in all (MaxJobCount)")


def preemption(config: Mapping[str, str]) -> Finding:
    """Check which signal a job gets before its preemption."""
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
    """Check whether jobs may be put back into the queue."""
    denied = config.get("JobRequeue", "1") == "0"
    text = "JobRequeue is 0, but jobs ask for it with --requeue" if denied else "jobs may be requeued"
    return Finding(GOOD, f"{text}; KillWait {config.get('KillWait', 'unknown')}")


def processes(config: Mapping[str, str]) -> Finding:
    """Check whether SLURM finds all processes of a job."""
    kind = config.get("ProctrackType", "unknown")
    if "cgroup" in kind:
        return Finding(GOOD, f"{kind}: no process outlives its job")
    advice = "the plugin kills a job's process group; control groups would hold against anything"
    return Finding(ADVICE, f"{kind}: processes may outlive a job that is killed", advice)


def accounting(commands: Commands) -> Finding:
    """Check whether sacct answers."""
    try:
        commands.run("sacct", "--allocations", "--noheader", "--format=JobID", "--starttime=now-1minutes")
    except SlurmUnavailable as error:
        off = NO_ACCOUNTING in str(error).lower()
        advice = "squeue is enough; raise MinJobAge if jobs vanish from it before Snakemake looks"
        return Finding(ADVICE, "accounting is off" if off else f"sacct failed: {error}", advice)
    return Finding(GOOD, "accounting answers")


def partitions(text: str) -> list[Finding]:
    """Return the partitions, from the output of sinfo with fields partition, time limit, GRES and availability."""
    rows = dict.fromkeys(tuple(field.strip() for field in line.split("|")) for line in text.splitlines())
    findings = []
    for name, limit, gres, available in [row for row in rows if len(row) == 4]:
        gpus = gres if "gpu" in gres else "no GPUs"
        grade = GOOD if available == "up" else ADVICE
        findings.append(Finding(grade, f"partition {name}: {gpus}, limit {limit}, {available}"))
    if not any("gpu:" in finding.text for finding in findings):
        findings.append(Finding(ADVICE, "no partition shows GPUs", "rules with gpu=1 would wait for ever; set gpu=0"))
    return findings


def shared_folder(commands: Commands, folder: Path, options: list[str]) -> Finding:
    """Submit a job that writes into `folder` with this Python, and wait for the file."""
    token = uuid.uuid4().hex[:10]
    answer, log = folder / f"doctor-{token}.txt", folder / f"doctor-{token}.log"
    code = f"import os, submitit, snakemake; open({str(answer)!r}, 'w').write(os.uname().nodename)"
    small = ["--time=1", "--mem=500M"]  # without the latter a site without a default gives it a whole node's memory
    command = ["sbatch", "--parsable", f"--job-name=doctor-{token}", f"--output={log}", *small, *options]
    try:
        job = commands.run(*command, f'--wrap={sys.executable} -c "{code}"').strip().partition(";")[0]
    except SlurmUnavailable as error:
        advice = "give the options that this cluster requires: doctor -- --partition=… --account=…"
        return Finding(BAD, f"sbatch failed: {error}", advice)
    print(f"      waiting for job {job}, at most {TIMEOUT_S} s", flush=True)
    try:
        if host := _content(answer):
            return Finding(GOOD, f"a job on {host} ran this Python and wrote into {folder}")
        handle = Handle(job, f"doctor-{token}")
        state = Slurm(commands).states([handle], time.time() - TIMEOUT_S).states.get(job, "unknown")
        if state in ("PENDING", "CONFIGURING"):
            advice = "the cluster is busy; try again, or read squeue's reason"
            return Finding(ADVICE, f"job {job} is still {state}", advice)
        text = folders.last_lines(log, 5) or "it has no log: SLURM could not write there"
        advice = "Snakemake's folder and its environment must be seen by all nodes"
        return Finding(BAD, f"job {job} is {state} and wrote nothing into {folder}: {text}", advice)
    finally:
        subprocess.run(["scancel", job], capture_output=True, check=False)
        for path in (answer, log):
            path.unlink(missing_ok=True)


def _content(file: Path) -> str:
    """Return a file's content once it has any, '' after a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        os.listdir(file.parent)  # makes a network file system look again
        if file.exists() and (text := file.read_text()):
            return text
        time.sleep(1)
    return ""


def environment() -> Iterator[Finding]:
    """Check whether this is itself a job, and for variables that change what sbatch does."""
    if job := os.environ.get("SLURM_JOB_ID"):
        yield Finding(GOOD, f"inside job {job}: its SLURM variables are kept from jobs submitted here")
    elif names := removed(os.environ):
        defaults = [f"--{option}" for option in sbatch_defaults(os.environ)]
        used = f"; of them {', '.join(defaults)} are defaults for jobs without such a resource" if defaults else ""
        yield Finding(GOOD, f"{', '.join(names)} in the environment are kept from SLURM's commands{used}")


def examine(folder: Path, options: list[str]) -> Iterator[Finding]:
    """Yield all findings."""
    quiet = logging.getLogger("doctor")
    quiet.disabled = True
    commands = Commands(TIMEOUT_S, Messages(quiet))
    found = programs()
    yield found
    if found.grade == BAD:
        return
    try:
        config = configuration(commands.run("scontrol", "show", "config"))
    except SlurmUnavailable as error:
        advice = "is this machine configured for the cluster (SLURM_CONF)?"
        yield Finding(BAD, f"slurmctld does not answer: {error}", advice)
        return
    yield from (check(config) for check in (version, arrays, preemption, requeues, processes))
    yield accounting(commands)
    try:
        yield from partitions(commands.run("sinfo", "--noheader", "--format=%P|%l|%G|%a"))
    except SlurmUnavailable as error:
        yield Finding(ADVICE, f"sinfo failed: {error}")
    yield from environment()
    yield shared_folder(commands, folder, options)


def main() -> None:
    """Print the findings."""
    parser = argparse.ArgumentParser(prog="doctor", description=(__doc__ or "").splitlines()[0])
    default = Path(".snakemake/submitit")
    parser.add_argument("--folder", type=Path, default=default, help="the folder to try (%(default)s)")
    parser.add_argument("sbatch", nargs="*", help="options for the job that is submitted, after --")
    arguments = parser.parse_args()
    grades = set()
    for finding in examine(folders.private(arguments.folder.absolute()), arguments.sbatch):
        print(finding, flush=True)
        grades.add(finding.grade)
    sys.exit(1 if BAD in grades else 0)


if __name__ == "__main__":
    main()
