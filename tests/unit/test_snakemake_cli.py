"""Snakemake's printed answers: what cannot be read with certainty is an error, and a failure is one sentence.

That answers are read rightly, tests/workflow/test_explain.py and test_adopt.py check with the real workflow.
"""

from pathlib import Path

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import snakemake_cli


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_failure_is_one_sentence():
    Path("Snakefile").write_text('rule copied:\n    input: "a"\n    output: "b"\n    shell: "cp {input} {output}"\n')
    with pytest.raises(UserError, match=r"^snakemake --dry-run failed: MissingInputException.*rule copied[^\n]*$"):
        snakemake_cli.dry_run(["b"])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [("total    2", r"\(0 jobs found, 2 stated\)"), ("All is well", r"\(0 jobs found, None stated\)")],
)
def test_a_plan_that_another_version_prints_otherwise_is_refused(answer, problem, monkeypatch):
    Path("snakemake.py").write_text(f"print({answer!r})\n")
    monkeypatch.setenv("PYTHONPATH", ".")
    with pytest.raises(UserError, match=f"cannot be read {problem}"):
        snakemake_cli.dry_run(["b"])
