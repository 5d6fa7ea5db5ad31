"""Which figures a command is asked about, and how it ends."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import common, program
from adaptive_smoothing.pipeline.commands.common import Selection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def _in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def raising(error: BaseException):
    def work() -> None:
        print("before")
        raise error

    return work


@pytest.mark.usefixtures("_in_the_project")
def test_named_figures_are_selected_once_and_in_their_order():
    selection = Selection.of("small", ["fig9", "fig2", "fig9"])
    assert [figure.name for figure in selection.figures] == ["fig9", "fig2"]
    assert selection.targets == (
        "results/small/figures/fig9.parquet",
        "paper_figures/small/fig9.pdf",
        "paper_figures/small/fig9.png",
        "results/small/figures/fig2.parquet",
        "paper_figures/small/fig2.pdf",
        "paper_figures/small/fig2.png",
    )
    assert len(selection.runs) == len(selection.figures[0].runs) and not selection.has_shared_runs


@pytest.mark.usefixtures("_in_the_project")
def test_without_a_name_all_of_the_scales_figures_and_extras_are_selected():
    selection, small = Selection.of("small", []), plan.load("small")
    assert [figure.name for figure in selection.figures] == list(small.all_figures)
    assert set(selection.targets) >= {*small.figure_files(), *small.extra_files()}
    assert len(selection.targets) == len(set(selection.targets))
    assert selection.has_shared_runs
    assert len(selection.runs) == len(set(selection.runs)) < sum(len(figure.runs) for figure in selection.figures)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("config: is missing"), 1, "error: config: is missing\n"),
        (program.Misuse("which?"), 2, "error: which?\n"),
        (SyntaxError("invalid syntax", ("sam.py", 3, 1, "def")), 1, "error: sam.py, line 3: invalid syntax\n"),
        (PermissionError(13, "Permission denied", "results"), 1, "error: results: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(3), 3, ""),
    ],
)
def test_a_command_ends_with_one_sentence_and_a_status(error, status, message, capsys):
    assert program.ended(raising(error)) == status
    assert capsys.readouterr() == ("before\n", message)


def test_a_closed_pipe_ends_a_command_quietly():
    code = (
        "from adaptive_smoothing.pipeline.commands import cli, deviations; "
        "deviations.write_table = lambda: print('x\\n' * 1_000_000); cli.main(['deviations'])"
    )
    command = f'{sys.executable} -c "{code}" | head -n 1'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("x\n", "")


def test_what_json_has_no_number_for_is_null(capsys):
    common.print_json({"a": [1.5, math.inf, (math.nan,)], "b": {"c": -math.inf, "κ": "∞"}})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": [1.5, None, [None]], "b": {"c": None, "κ": "∞"}}
    assert text.isascii()
