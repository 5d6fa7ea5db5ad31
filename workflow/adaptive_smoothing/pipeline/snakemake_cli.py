"""What Snakemake would run and why, in its own words. Its printed answers are read here and nowhere else.

Whether a file is made again is Snakemake's decision alone: `snakemake --dry-run` and `--summary` are asked for it.
Snakemake promises nothing about the text of its answers. So another version than those whose answers were tested is
refused, and so is an answer that does not add up.
"""

import csv
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from adaptive_smoothing.core.errors import UserError

OLDEST_TESTED = (9, 2)  # tests/unit/test_snakemake_cli.py was run with this version,
NEWEST_TESTED = (9, 27)  # with this one, and with versions between
REQUIREMENT = f"snakemake>={OLDEST_TESTED[0]}.{OLDEST_TESTED[1]},<{NEWEST_TESTED[0]}.{NEWEST_TESTED[1] + 1}"
_MEND = f"pip install '{REQUIREMENT}'"

_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) \w+:\n((?: {4}.*\n)+)", re.MULTILINE)
_TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)
_NOTHING = "Nothing to be done"
_OURS = re.compile(r"^error: (.*)", re.MULTILINE)
_THEIRS = re.compile(r"^\w*(?:Error|Exception)\b(?:.*:\n)*.*", re.MULTILINE)
_DIGEST = re.compile(r"'([\w.]+)': '([0-9a-f]{16})'")  # of one module, in a param that changed
_INPUTS_CHANGED = ("updated input files", "set of input files changed")
_PLANS = {"no update": False, "update pending": True}  # Snakemake's words → whether it would make the file
_ENVIRONMENT = "Software environment definition"
# Snakemake's words → ours; the first that fits says most.
_CAUSES = {
    "Missing output files": "does not exist",
    "Forced execution": "was interrupted",  # nothing else is forced here
    "Incomplete output files": "was interrupted",
    "Input files updated by another job": "its inputs are made again",
    "Updated input files": "its inputs are newer",
    "Set of input files has changed": "its inputs are other ones",
    "Params have changed": "its settings changed",
    _ENVIRONMENT: "software environment changed",
}


@dataclass(frozen=True)
class Job:
    """A job that Snakemake would run: the files it would make, and Snakemake's reason."""

    outputs: tuple[str, ...]
    reason: str

    @property
    def cause(self) -> str:
        """The reason in our words, or in Snakemake's own where we have none."""
        return next((ours for theirs, ours in _CAUSES.items() if theirs in self.reason), self.reason)

    @property
    def has_new_environment(self) -> bool:
        """Whether the software environment of the rule has changed."""
        return _ENVIRONMENT in self.reason

    @property
    def changed_modules(self) -> list[str]:
        """The library modules whose code Snakemake found changed; none if it looked no further than the inputs."""
        before, _, now = self.reason.partition(" now: ")
        old, new = dict(_DIGEST.findall(before)), dict(_DIGEST.findall(now))
        return sorted(module for module in old.keys() | new.keys() if old.get(module) != new.get(module))

    def names(self, file: str) -> bool:
        """Whether the reason names a file."""
        return re.search(rf"(?<![^\s,]){re.escape(file)}(?![^\s,;])", self.reason) is not None


@dataclass(frozen=True)
class FileSummary:
    """What Snakemake says of one file: whether it would make it, and whether its inputs have changed since it did."""

    is_to_make: bool
    inputs_changed: bool


def dry_run(targets: Sequence[str]) -> dict[str, Job]:
    """Return the jobs that `snakemake TARGETS` would run, by each file they would make; make nothing."""
    done = _ended("--dry-run", *targets)
    text = done.stdout + done.stderr
    jobs = [_job(match[1]) for match in _JOB.finditer(text)]
    _check_complete(len(jobs), text)
    return {output: job for job in jobs for output in job.outputs}


def summary(targets: Sequence[str]) -> dict[str, FileSummary]:
    """Return what Snakemake says of the targets and of all files that they are made from."""
    rows = csv.DictReader(_ended("--summary", *targets).stdout.splitlines(), delimiter="\t")
    files = {str(row.get("output_file")): _file_summary(row) for row in rows}
    if absent := [target for target in targets if target not in files]:
        raise _unreadable("--summary", f"no line about {absent[0]}")
    return files


def mark_current(files: Sequence[str], rules: Sequence[str]) -> None:
    """Let Snakemake record files, outputs of `rules`, as made with the present params; their inputs keep their state.

    `--force` because Snakemake does not record a file that it takes for current; `--allowed-rules` because `--touch`
    alone would also mark stale labels and datasets as current.
    """
    _ended("--touch", "--force", *files, "--allowed-rules", *rules)


def write_report(target: str, file: str) -> None:
    """Let Snakemake write its report of a target, whose files must all be there."""
    _ended(target, "--report", file)


def run(*arguments: str) -> int:
    """Run Snakemake in this folder, with its output where ours goes, and return its exit status.

    A signal that asks to stop is Snakemake's to answer: it ends its jobs, and is waited for.
    """
    process = subprocess.Popen(_command(*arguments))
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal tells Snakemake, too
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in this folder to its end; raise UserError if it fails or is not of a tested version."""
    _check_version()
    done = subprocess.run(_command(*arguments), capture_output=True, text=True)
    if done.returncode:
        raise UserError(_complaint(done.stdout + done.stderr, f"snakemake {arguments[0]}"))
    return done


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments]


def _check_version() -> None:
    """Raise UserError unless the installed Snakemake is one whose answers were tested."""
    try:
        installed = version("snakemake")
    except PackageNotFoundError:
        raise UserError(f"Snakemake is not installed: {sys.executable}; {_MEND}") from None
    numbers = re.match(r"(\d+)\.(\d+)", installed)
    if not numbers or not OLDEST_TESTED <= (int(numbers[1]), int(numbers[2])) <= NEWEST_TESTED:
        tested = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST_TESTED, NEWEST_TESTED))
        raise UserError(f"Snakemake {installed} is installed, but only {tested} are tested; {_MEND}")


def _job(block: str) -> Job:
    """Return a job from its indented lines, each 'key: value'."""
    fields = dict(line.strip().partition(": ")[::2] for line in block.splitlines())
    if not fields.get("reason"):
        raise _unreadable("--dry-run", f"a job without a reason that makes {fields.get('output', 'no file')}")
    return Job(tuple(fields.get("output", "").split(", ")), fields["reason"])


def _file_summary(row: dict[str, Any]) -> FileSummary:
    """Return a line of the table of files."""
    if not row.get("status") or row.get("plan") not in _PLANS:
        raise _unreadable("--summary", f"status {row.get('status')!r}, plan {row.get('plan')!r}")
    return FileSummary(_PLANS[row["plan"]], row["status"] in _INPUTS_CHANGED)


def _check_complete(count: int, text: str) -> None:
    """Raise UserError unless Snakemake itself counts as many jobs."""
    totals = _TOTAL.findall(text)
    stated = int(totals[-1]) if totals else 0 if _NOTHING in text else None
    if stated != count:
        raise _unreadable("--dry-run", f"{count} jobs found, {'no number' if stated is None else stated} stated")


def _unreadable(option: str, finding: str) -> UserError:
    return UserError(f"what snakemake {option} prints cannot be read ({finding}); {_MEND}")


def _complaint(text: str, command: str) -> str:
    """Return the sentence in which a failed Snakemake says what is wrong; a line that ends in ':' continues."""
    if ours := _OURS.search(text):
        return ours[1]
    theirs = _THEIRS.search(text)
    sentence = " ".join(theirs[0].split()) if theirs else "run it to see why"
    return f"{command} failed: {sentence}"
