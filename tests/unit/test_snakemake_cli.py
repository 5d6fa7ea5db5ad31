"""Snakemake's printed answers: what cannot be read with certainty is an error, and a failure is one sentence.

That answers are read rightly, tests/workflow/test_explain.py and test_adopt.py check with the real workflow, too.
"""

import importlib.metadata
import os
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.snakemake_cli import FileSummary

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_failure_is_one_sentence():
    Path("Snakefile").write_text('rule copied:\n    input: "a"\n    output: "b"\n    shell: "cp {input} {output}"\n')
    with pytest.raises(UserError, match=r"^snakemake --dry-run failed: MissingInputException.*rule copied[^\n]*$"):
        snakemake_cli.dry_run(["b"])


@pytest.fixture
def answering(monkeypatch):
    """Return a function that puts a program in Snakemake's place, which prints a text."""

    def put(answer):
        Path("snakemake.py").write_text(f"print({answer!r})\n")
        monkeypatch.setenv("PYTHONPATH", ".")

    return put


JOB = "rule copied:\n    output: b\n{reason}\ntotal    1"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("total    2", r"\(0 jobs found, 2 stated\)"),
        ("All is well", r"\(0 jobs found, no number stated\)"),
        (JOB.format(reason="    why: none"), r"\(a job without a reason that makes b\)"),
    ],
)
def test_a_plan_that_another_version_prints_otherwise_is_refused(answer, problem, answering):
    answering(answer)
    with pytest.raises(UserError, match=f"--dry-run prints cannot be read {problem}; pip install 'snakemake>="):
        snakemake_cli.dry_run(["b"])


HEAD = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("file\tstate\nb\tok", r"\(status None, plan None\)"),
        (f"{HEAD}b\t-\tcopied\t\tok\tmaybe", r"\(status 'ok', plan 'maybe'\)"),
        (f"{HEAD}a\t-\tcopied\t\tok\tno update", r"\(no line about b\)"),
    ],
)
def test_a_table_that_another_version_prints_otherwise_is_refused(answer, problem, answering):
    answering(answer)
    with pytest.raises(UserError, match=f"--summary prints cannot be read {problem}; pip install 'snakemake>="):
        snakemake_cli.summary(["b"])


@pytest.mark.parametrize("found", ["9.1.11", "9.28.0", "10.0", "8.30.0", "unknown"])
def test_a_version_that_was_not_tested_is_refused(found, monkeypatch, answering):
    answering(snakemake_cli._NOTHING)
    monkeypatch.setattr(snakemake_cli, "version", lambda package: found)
    sentence = (
        rf"^Snakemake {found} is installed, but only 9\.2 to 9\.27 are tested; pip install 'snakemake>=9.2,<9.28'$"
    )
    for ask in (snakemake_cli.dry_run, snakemake_cli.summary, lambda files: snakemake_cli.mark_current(files, ["r"])):
        with pytest.raises(UserError, match=sentence):
            ask(["b"])


def test_no_snakemake_is_one_sentence(monkeypatch):
    def absent(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(snakemake_cli, "version", absent)
    with pytest.raises(UserError, match=r"^Snakemake is not installed: .*; pip install 'snakemake>="):
        snakemake_cli.dry_run(["b"])


def test_the_project_asks_for_the_tested_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert snakemake_cli.REQUIREMENT in project["dependencies"]


SNAKEFILE = """
config = {config}
rule joined:
    input: "b", "c"
    output: "d"
    shell: "cat {{input}} > {{output}}"
rule copied:
    input: "a"
    output: "b", "bb"
    params: code={code}
    shell: "cp {{input}} {{output[0]}}; cp {{input}} {{output[1]}}"
rule counted:
    output: "c"
    params: number={number}
    shell: "echo {{params.number}} > {{output}}"
"""


def written(number=1, **code):
    digests = {name: 16 * digit for name, digit in code.items()}
    Path("Snakefile").write_text(SNAKEFILE.format(config={}, code=digests, number=number))


def test_what_snakemake_would_make_and_why_is_read():
    """One project through its life: missing, made, edited, interrupted; the reasons are Snakemake's own."""
    Path("a").write_text("a")
    written(one="a", two="b")
    jobs = snakemake_cli.dry_run(["d"])
    assert {file: job.cause for file, job in jobs.items()} == dict.fromkeys(["b", "bb", "c", "d"], "does not exist")
    assert jobs["b"] is jobs["bb"]
    assert snakemake_cli.run("d", "--cores", "1", "--quiet", "all") == 0
    assert snakemake_cli.dry_run(["d"]) == {}

    written(number=2, one="a", two="c", three="d")
    jobs = snakemake_cli.dry_run(["d"])
    assert jobs["b"].changed_modules == ["three", "two"]
    assert jobs["c"].cause == "its settings changed" and jobs["c"].changed_modules == []
    assert jobs["d"].cause == "its inputs are made again"
    assert jobs["d"].names("b") and jobs["d"].names("c") and not jobs["d"].names("bb")
    Path("a").write_text("other")
    os.utime("a", (2e9, 2e9))  # far in the future
    files = snakemake_cli.summary(["b", "c"])
    assert files["b"] == FileSummary(is_to_make=True, inputs_changed=True)
    assert files["c"] == FileSummary(is_to_make=True, inputs_changed=False)

    snakemake_cli.mark_current(["c"], ["counted"])
    files = snakemake_cli.summary(["b", "c"])
    assert files["b"].is_to_make and not files["c"].is_to_make


def test_a_failing_snakemake_gives_its_exit_status():
    Path("Snakefile").write_text('rule failing:\n    output: "b"\n    shell: "exit 3"\n')
    assert snakemake_cli.run("b", "--cores", "1", "--quiet", "all") == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, 8)])
def test_a_signal_is_snakemakes_to_answer(number, status, monkeypatch):
    """Ctrl-C reaches both, a request to end is passed on; the program waits until Snakemake has put things in order."""
    code = """
import os, signal, sys, time
def answer(status):
    def wait(*_):
        time.sleep(0.5)
        os._exit(status)
    return wait
signal.signal(signal.SIGINT, answer(7))
signal.signal(signal.SIGTERM, answer(8))
os.kill(os.getppid(), NUMBER)
if NUMBER == signal.SIGINT:
    os.kill(os.getpid(), NUMBER)
time.sleep(60)
"""
    command = [sys.executable, "-c", code.replace("NUMBER", str(int(number)))]
    monkeypatch.setattr(snakemake_cli, "_command", lambda *arguments: command)
    handler = signal.getsignal(signal.SIGTERM)
    assert snakemake_cli.run("b") == status
    assert signal.getsignal(signal.SIGTERM) is handler
