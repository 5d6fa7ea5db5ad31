"""What Snakemake would run, and why, in its own words: the decision is left to `snakemake --dry-run`."""

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


def dry_run(targets: Sequence[str]) -> dict[str, Job]:
    """Return the jobs that `snakemake TARGETS` would run, by each file they would make; make nothing."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *targets]
    done = subprocess.run(command, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if done.returncode != 0:
        raise UserError(_complaint(text))
    planned = [_job(match[1]) for match in _JOB.finditer(text)]
    _check_complete(len(planned), text)
    return {output: job for job in planned for output in job.outputs}


def _job(block: str) -> Job:
    """Return a job from its indented lines, each 'key: value'."""
    fields = dict(line.strip().partition(": ")[::2] for line in block.splitlines())
    return Job(tuple(fields.get("output", "").split(", ")), fields.get("reason", ""))


def _check_complete(found: int, text: str) -> None:
    """Raise UserError unless Snakemake itself counts as many jobs; another version might print them otherwise."""
    totals = _TOTAL.findall(text)
    said = int(totals[-1]) if totals else 0 if _NOTHING in text else None
    if said != found:
        raise UserError(f"the plan that snakemake --dry-run prints cannot be read ({found} jobs found, {said} stated)")


def _complaint(text: str) -> str:
    """Return the sentence in which a failed Snakemake says what is wrong; a line that ends in ':' goes on."""
    if ours := _OURS.search(text):
        return ours[1]
    theirs = _THEIRS.search(text)
    said = " ".join(theirs[0].split()) if theirs else "run it to see why"
    return f"snakemake --dry-run failed: {said}"
