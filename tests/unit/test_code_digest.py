"""The digest of a job's code: blind to comments, awake to code, over exactly the modules that are reached."""

import importlib
import textwrap
from pathlib import Path

import pytest

from adaptive_smoothing.pipeline import code_digest, stages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(tmp_path):
    """A small library on disk; returns a function that rewrites one module and gives the code that another reaches."""
    for folder in ("core", "methods"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "core/errors.py").write_text("class UserError(Exception): ...\n")
    (tmp_path / "core/log.py").write_text("def log(line): print(line)\n")
    (tmp_path / "methods/base.py").write_text("BASE = 1\n")
    (tmp_path / "methods/sam.py").write_text(
        "from adaptive_smoothing.helper import f\nfrom adaptive_smoothing.methods.base import BASE\n"
    )
    (tmp_path / "methods/ls.py").write_text("from adaptive_smoothing.methods.base import BASE\n")
    (tmp_path / "helper.py").write_text(
        textwrap.dedent(
            '''
            """Docstring."""
            from adaptive_smoothing.core.errors import UserError
            from adaptive_smoothing.core.log import log

            def f(x: int) -> int:
                """Docstring."""
                log(f"x is {x}")
                if x < 0:
                    raise UserError(f"x: is {x}" + "; legal: 0 and more")
                if x > 9:
                    raise ValueError("too large")
                return x + 1  # comment
            '''
        )
    )

    def digest(module, file=None, old="", new=""):
        if file is not None:
            text = (tmp_path / file).read_text()
            assert old in text
            (tmp_path / file).write_text(text.replace(old, new))
        return code_digest.Library(tmp_path, "adaptive_smoothing").code(module)

    return digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# comment", "# another one"),
        ('"""Docstring."""\n    log', '"""Reworded."""\n    log'),
        ("x + 1", "(x\n      + 1)"),
        ("(x: int) -> int", "(x: float) -> float"),
        ('"""Docstring."""\nfrom', "from"),
        ("x is {x}", "the number is {x:03d}"),
        ("x: is {x}", "x: cannot be {x!r}"),
        ("legal: 0 and more", "legal: numbers from 0 on"),
        ("too large", "larger than 9"),
    ],
)
def test_what_changes_no_result_changes_no_digest(library, old, new):
    before = library("methods.sam")
    assert library("methods.sam", "helper.py", old, new) == before


def test_an_edit_reaches_only_who_imports_it(library):
    sam, ls = library("methods.sam"), library("methods.ls")
    assert library("methods.sam", "helper.py", "x + 1", "x + 2") != sam
    assert library("methods.ls") == ls
    assert library("methods.ls", "methods/base.py", "BASE = 1", "BASE = 2") != ls


def test_a_new_file_that_nobody_imports_changes_nothing(library, tmp_path):
    before = library("methods.sam")
    (tmp_path / "methods/new.py").write_text("x = 1\n")
    assert library("methods.sam") == before


def test_an_edit_of_core_changes_no_digest(library):
    before = library("methods.sam")
    assert not [module for module in before if module.startswith("core")]
    assert library("methods.sam", "core/errors.py", "...", "exit_status = 3") == before


@pytest.mark.parametrize(("old", "new"), [("x < 0", "x < 1"), ("UserError(", "KeyError("), ("ValueError", "TypeError")])
def test_when_and_with_what_an_error_comes_is_code(library, old, new):
    before = library("methods.sam")
    assert library("methods.sam", "helper.py", old, new) != before


def run(method, model="small_cnn", source="memory"):
    return stages.code("train", method=method, model=model, source=source).keys()


def test_the_real_modules_of_a_run():
    sam = run("sam", "resnet34")
    assert {"methods._batch_norm", "methods.base", "methods.sam", "training.evaluation", "training.schedules"} <= sam
    assert {room for room in (module.partition(".")[0] for module in sam)} == {"data", "models", "methods", "training"}
    assert not {"methods.ls", "methods.ivon", "data.corruption", "training.sources.files", "data.image_files"} & sam
    assert {"methods._flat_ivon", "methods._reference_ivon"} <= run("ivon")
    assert "methods._batch_norm" not in run("ls")
    assert "data.image_files" in run("ls", source="files")


def test_the_look_of_one_figure_touches_only_it():
    drawn = stages.code("draw", figure="fig7")
    assert "figures.fig7" in drawn and "figures.accuracy_over_grid" not in drawn


def test_a_table_of_one_kind_depends_on_no_other():
    examples = stages.code("collect", table="examples")
    assert "results.tables.examples" in examples and "results.tables.metrics" not in examples


@pytest.mark.parametrize("rule", stages.STAGES)
def test_a_rule_a_script_and_a_function_share_a_line(rule):
    text = (ROOT / "workflow/scripts" / f"{rule}.py").read_text()
    assert f'run(\n    "{rule}",\n' in text
    assert any(f'"../workflow/scripts/{rule}.py"' in file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    module, _, name = stages.STAGES[rule].function.partition(":")
    assert callable(getattr(importlib.import_module(f"adaptive_smoothing.{module}"), name))


def test_every_script_is_a_rules():
    assert {file.stem for file in (ROOT / "workflow/scripts").glob("*.py")} == stages.STAGES.keys()
