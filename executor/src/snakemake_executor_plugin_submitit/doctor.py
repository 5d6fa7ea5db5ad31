"""Checks what the executor will meet on this SLURM cluster, and gives advice.

It asks SLURM for its configuration. Then it submits one job of a minute, which shows that a node can run this Python
and write into the folder. The exit status is 1 if something would keep jobs from running.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from snakemake_executor_plugin_submitit import names
from snakemake_executor_plugin_submitit.checks import BAD, Finding, Visit, examine

PROGRAM = "submitit-doctor"
INTERRUPTED_STATUS = 130  # as a shell has it for SIGINT
EXAMPLE = """\
example: a cluster that wants a partition and an account of every job (options of sbatch go after --)
  {program} -- --partition=gpu --account=lab
"""


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Print the findings and return the exit status; `program` is what the user has typed to get here."""
    options = parse(arguments, program)
    try:
        visit = Visit(options.folder.absolute(), tuple(options.sbatch), options.timeout, program)
        return (print_json if options.json else print_lines)(examine(visit))
    except KeyboardInterrupt:
        print("error: interrupted; the test job is cancelled", file=sys.stderr)
        return INTERRUPTED_STATUS
    except BrokenPipeError:  # the reader, say head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {options.folder}: {error.strerror or error}; name another folder with --folder", file=sys.stderr)
        return 1


def parse(arguments: Sequence[str] | None, program: str) -> argparse.Namespace:
    """Return the command line's options; leave with status 2 and one sentence if they are wrong."""
    parser = argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [-h] [--folder FOLDER] [--timeout SECONDS] [--json] [-- OPTIONS OF SBATCH]",
        description=__doc__,
        epilog=EXAMPLE.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    folder = Path(names.FOLDER)
    parser.add_argument("--folder", type=Path, default=folder, help="the folder to write into (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=_seconds, default=60, metavar="SECONDS", help="for each command and for the job (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: healthy, findings")
    parser.add_argument("sbatch", nargs="*", metavar="-- OPTIONS", help="options of sbatch for the test job")
    options, unknown = parser.parse_known_args(arguments)
    stray = unknown or ([] if not options.sbatch or options.sbatch[0].startswith("-") else options.sbatch)
    if stray:
        words = " ".join(stray)
        parser.error(f"unknown argument {words}; options of sbatch go after --: {program} -- --partition=NAME")
    return options


def print_lines(findings: Iterable[Finding]) -> int:
    """Print each finding when it is known, and return the exit status."""
    grades = set()
    for finding in findings:
        print(finding, flush=True)
        grades.add(finding.grade)
    return 1 if BAD in grades else 0


def print_json(findings: Iterable[Finding]) -> int:
    """Print all findings as one JSON object, and return the exit status."""
    known = list(findings)
    healthy = all(finding.grade != BAD for finding in known)
    print(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in known]}, indent=2), flush=True)
    return 0 if healthy else 1


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
