"""Terminals without UTF-8: tables and symbols are shown as well as they can be."""

import subprocess
import sys

import pytest

CODE = """
import sys
from rich.box import SIMPLE_HEAD
from rich.table import Table
from adaptive_smoothing.pipeline.commands import common, program

def work():
    table = Table(box=SIMPLE_HEAD)
    table.add_column("figure")
    table.add_row("fig7 α → …")
    common.print_parts([table], common.console())
    print("ρ")

sys.exit(program.ended(work))
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_table_is_printed_whatever_the_terminal_can_show(encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "figure" in text and ("fig7 α → …" if encoding == "utf-8" else "fig7 ? ? ?") in text
