"""docs/theory.md quotes the code: every function it names is there, and every line stands in that function."""

import importlib
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
QUOTE = re.compile(r"^\[`([\w.]+)`\]\(\.\./workflow/([\w/]+)\.py\)\n\n```python\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
QUOTES = QUOTE.findall(PAGE)


def test_every_code_block_names_its_function():
    assert len(QUOTES) == PAGE.count("```python") == PAGE.count("](../workflow") > 12


@pytest.mark.parametrize(("name", "file", "lines"), QUOTES, ids=[quote[0] for quote in QUOTES])
def test_quoted_lines_stand_in_the_function_named(name, file, lines):
    module = importlib.import_module(file.replace("/", "."))
    last = file.rsplit("/", 1)[1]
    parts = name.removeprefix(f"{last}.").split(".")
    source = inspect.getsource(reduce(getattr, parts, module))
    found = [line.strip() for line in source.splitlines()]
    for line in lines.splitlines():
        assert line.strip() in found, f"{name} has no line {line!r}"


def test_every_equation_that_the_code_names_is_on_the_page():
    numbers = {int(number) for number in re.findall(r"\d+", " ".join(re.findall(r"\*\*(?:App\.|Eq\.)[^*]*\*\*", PAGE)))}
    assert {*range(6, 21), 23, 24, 25} <= numbers


def test_every_formula_is_closed():
    assert PAGE.count("$$") == 2 * len(re.findall(r"^\$\$.*\$\$$", PAGE, re.MULTILINE))
    assert PAGE.replace("$$", "").count("$") % 2 == 0
