"""What Snakemake would run and why, in its own words. Its printed answers are read here and nowhere else.

Whether a file is made again is Snakemake's decision alone: `snakemake --dry-run` and `--summary` are asked for it.
"""

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from adaptive_smoothing.core.errors import UserError

_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) \w+:\n((?: {4}.*\n)+)", re.MULTILINE)
_TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)
_NOTHING = "Nothing to be done"
_OURS = re.compile(r"^error: (.*)", re.MULTILINE)
_THEIRS = re.compile(r"^\w*(?:Error|Exception)\b(?:.*:\n)*.*", re.MULTILINE)
_DIGEST = re.compile(r"'([\w.]+)': '([0-9a-f]{16})'")  # of one module, in a param that changed
_INPUTS_CHANGED = ("updated input files", "set of input files changed")


@dataclass(frozen=True)
class Job:
    """A job that Snakemake would run: the files it would make, and Snakemake's reason."""

    outputs: tuple[str, ...]
    reason: str

    @property
    def changed_modules(self) -> list[str]:
        """The library modules whose code Snakemake found changed; none if it looked no further than the inputs."""
        before, _, now = self.reason.partition(" now: ")
        old, new = dict(_DIGEST.findall(before)), dict(_DIGEST.findall(now))
        return sorted(module for module in old.keys() | new.keys() if old.get(module) != new.get(module))


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
    return {
        row["output_file"]: FileSummary(row["plan"] != "no update", row["status"] in _INPUTS_CHANGED) for row in rows
    }


def mark_current(files: Sequence[str], rules: Sequence[str]) -> None:
    """Let Snakemake record files, outputs of `rules`, as made with the present params; their inputs keep their state.

    `--force` because Snakemake does not record a file that it takes for current; `--allowed-rules` because `--touch`
    alone would also mark stale labels and datasets as current.
    """
    _ended("--touch", "--force", *files, "--allowed-rules", *rules)


def write_report(target: str, file: str) -> None:
    """Let Snakemake write its report of a target, whose files must all be there."""
    _ended(target, "--report", file)


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in this folder to its end; raise UserError if it fails."""
    done = subprocess.run([sys.executable, "-m", "snakemake", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UserError(_complaint(done.stdout + done.stderr, f"snakemake {arguments[0]}"))
    return done


def _job(block: str) -> Job:
    """Return a job from its indented lines, each 'key: value'."""
    fields = dict(line.strip().partition(": ")[::2] for line in block.splitlines())
    return Job(tuple(fields.get("output", "").split(", ")), fields.get("reason", ""))


def _check_complete(count: int, text: str) -> None:
    """Raise UserError unless Snakemake itself counts as many jobs; another version might print them otherwise."""
    totals = _TOTAL.findall(text)
    stated = int(totals[-1]) if totals else 0 if _NOTHING in text else None
    if stated != count:
        raise UserError(
            f"the plan that snakemake --dry-run prints cannot be read ({count} jobs found, {stated} stated)"
        )


def _complaint(text: str, command: str) -> str:
    """Return the sentence in which a failed Snakemake says what is wrong; a line that ends in ':' continues."""
    if ours := _OURS.search(text):
        return ours[1]
    theirs = _THEIRS.search(text)
    sentence = " ".join(theirs[0].split()) if theirs else "run it to see why"
    return f"{command} failed: {sentence}"
