"""The program `smoothing`: its subcommands, its help, and how it ends."""

from pathlib import Path

import pytest

from adaptive_smoothing.pipeline.commands import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wy"], "error: smoothing: unknown command 'wy' (did you mean 'why'?); legal: status, why\n"),
        (
            ["status", "--folow"],
            "error: no such option: --folow (did you mean '--follow'?)\nsee: smoothing status --help\n",
        ),
    ],
)
def test_misuse_is_one_sentence_with_the_nearest_word(arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(arguments) == 2
    assert capsys.readouterr() == ("", message)
