"""The checks of submitit-doctor: what this cluster is like, each with a grade and advice."""

import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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

GOOD, ADVICE, BAD = "ok", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    grade: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.grade:>4}  {self.text}" + (f"\n      → {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Visit:
    """What the doctor was asked to do."""

    folder: Path
    sbatch_options: tuple[str, ...] = ()
    timeout_s: int = 60
    program: str = "submitit-doctor"  # as the user types it


def examine(visit: Visit) -> Iterator[Finding]:
    """Yield all findings."""
    found = programs()
    yield found
    if found.grade == BAD:
        return
    quiet = logging.getLogger("submitit-doctor")
    quiet.disabled = True
    commands = Commands(visit.timeout_s, Messages(quiet))
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
    yield folder_and_job(commands, visit)


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


def environment() -> Iterator[Finding]:
    """Check whether this is itself a job, and for variables that change what sbatch does."""
    if job := os.environ.get("SLURM_JOB_ID"):
        yield Finding(GOOD, f"inside job {job}: its SLURM variables are kept from jobs submitted here")
    elif names := removed(os.environ):
        defaults = [f"--{option}" for option in sbatch_defaults(os.environ)]
        used = f"; of them {', '.join(defaults)} are defaults for jobs without such a resource" if defaults else ""
        yield Finding(GOOD, f"{', '.join(names)} in the environment are kept from SLURM's commands{used}")


def folder_and_job(commands: Commands, visit: Visit) -> Finding:
    """Check that this machine and a node can write into the folder."""
    try:
        with existing(visit.folder):
            return try_job(commands, visit)
    except OSError as error:
        text = f"this machine cannot write into {visit.folder}: {error.strerror or error}"
        return Finding(BAD, text, f"name another folder: {visit.program} --folder FOLDER")


@contextmanager
def existing(folder: Path) -> Iterator[None]:
    """Have a folder that can be written into; remove at the end what had to be made."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield
    finally:
        with suppress(OSError):  # somebody may have begun to use it
            for path in made:
                path.rmdir()


def try_job(commands: Commands, visit: Visit) -> Finding:
    """Submit a job that writes into the folder with this Python, and wait for the file."""
    token = uuid.uuid4().hex[:10]
    answer, log = visit.folder / f"doctor-{token}.txt", visit.folder / f"doctor-{token}.log"
    try:
        job = submit(commands, visit, answer, log)
    except SlurmUnavailable as error:
        advice = f"give the options that this cluster requires: {visit.program} -- --partition=… --account=…"
        return Finding(BAD, f"sbatch failed: {error}", advice)
    print(f"      waiting for job {job}, at most {visit.timeout_s} s", file=sys.stderr, flush=True)
    try:
        if host := _content(answer, visit.timeout_s):
            return Finding(GOOD, f"a job on {host} ran this Python and wrote into {visit.folder}")
        return silent_job(commands, visit, job, log)
    finally:
        with suppress(SlurmUnavailable):
            commands.run("scancel", job)
        for path in (answer, log):
            path.unlink(missing_ok=True)


def submit(commands: Commands, visit: Visit, answer: Path, log: Path) -> str:
    """Submit a job that writes its node's name into `answer`, and return its id."""
    code = f"import os, submitit, snakemake; open({str(answer)!r}, 'w').write(os.uname().nodename)"
    # Without --mem a site without a default gives the job a whole node's memory.
    defaults = [f"--{option}={value}" for option, value in sbatch_defaults(os.environ).items()]
    options = [f"--job-name={answer.stem}", f"--output={log}", "--time=1", "--mem=500M", *defaults]
    options += visit.sbatch_options
    script = shlex.join([sys.executable, "-c", code])
    printed = commands.run("sbatch", "--parsable", *options, f"--wrap={script}").split()
    if not printed:
        raise SlurmUnavailable("it printed no job id")
    return printed[-1].partition(";")[0]


def silent_job(commands: Commands, visit: Visit, job: str, log: Path) -> Finding:
    """Return what became of a job that has written nothing."""
    handle = Handle(job, log.stem)
    state = Slurm(commands).states([handle], time.time() - visit.timeout_s).states.get(job, "unknown")
    if state in ("PENDING", "CONFIGURING"):
        advice = "the cluster is busy; try again, or read squeue's reason"
        return Finding(ADVICE, f"job {job} is still {state}", advice)
    text = folders.last_lines(log, 5) or "it has no log: SLURM could not write there"
    advice = "Snakemake's folder and its environment must be seen by all nodes"
    return Finding(BAD, f"job {job} is {state} and wrote nothing into {visit.folder}: {text}", advice)


def _content(file: Path, seconds: int) -> str:
    """Return a file's content once it has any, '' after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            os.listdir(file.parent)  # makes a network file system look again
            if text := file.read_text():
                return text
        time.sleep(1)
    return ""
