"""The digest of a job's code: blind to comments, awake to code, over exactly the modules that are reached."""

import textwrap

import pytest

from adaptive_smoothing import fingerprint


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small library on disk; returns a function that rewrites one module and gives the code that another reaches."""
    for cached in (fingerprint._tree, fingerprint._digest, fingerprint._imports, fingerprint.code):
        cached.cache_clear()
    monkeypatch.setattr(fingerprint, "LIBRARY", tmp_path)
    monkeypatch.setattr(fingerprint, "NAME", "adaptive_smoothing")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/__init__.py").write_text("BASE = 1\n")
    (tmp_path / "methods/sam.py").write_text(
        "from adaptive_smoothing.helper import f\nfrom adaptive_smoothing.methods import BASE\n"
    )
    (tmp_path / "methods/ls.py").write_text("from adaptive_smoothing.methods import BASE\n")
    (tmp_path / "helper.py").write_text(
        textwrap.dedent(
            '''
            """Docstring."""
            def f(x: int) -> int:
                """Docstring."""
                return x + 1  # comment
            '''
        )
    )

    def digest(module, file=None, old="", new=""):
        if file is not None:
            text = (tmp_path / file).read_text()
            assert old in text
            (tmp_path / file).write_text(text.replace(old, new))
        for cached in (fingerprint._tree, fingerprint._digest, fingerprint._imports, fingerprint.code):
            cached.cache_clear()
        return fingerprint.code(module)

    yield digest
    for cached in (fingerprint._tree, fingerprint._digest, fingerprint._imports, fingerprint.code):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# comment", "# another one"),
        ('"""Docstring."""\n    return', '"""Reworded."""\n    return'),
        ("x + 1", "(x\n      + 1)"),
        ("(x: int) -> int", "(x: float) -> float"),
        ('"""Docstring."""\n', ""),
    ],
)
def test_what_changes_no_result_changes_no_digest(library, old, new):
    before = library("methods.sam")
    assert library("methods.sam", "helper.py", old, new) == before


def test_an_edit_reaches_only_who_imports_it(library):
    sam, ls = library("methods.sam"), library("methods.ls")
    assert library("methods.sam", "helper.py", "x + 1", "x + 2") != sam
    assert library("methods.ls") == ls
    assert library("methods.ls", "methods/__init__.py", "BASE = 1", "BASE = 2") != ls


def test_a_new_file_that_nobody_imports_changes_nothing(library, tmp_path):
    before = library("methods.sam")
    (tmp_path / "methods/new.py").write_text("x = 1\n")
    assert library("methods.sam") == before


def test_the_real_modules_of_a_run():
    reached = fingerprint.reachable(("training", "methods.sam", "models.resnet34"))
    assert {"batch_norm", "batches", "evaluation", "methods", "methods.sam", "options", "schedules"} <= reached
    assert not {"methods.ls", "methods.ivon", "config", "plan", "figures", "collect", "noise"} & reached
    assert {"methods._flat_ivon", "methods._reference_ivon"} <= fingerprint.reachable(("methods.ivon",))
    assert "batch_norm" not in fingerprint.reachable(("training", "methods.ls", "models.small_cnn"))


def test_the_look_of_one_figure_touches_only_it():
    assert "figures.fig7" in fingerprint.reachable(("drawing", "figures.fig7"))
    assert "figures.fig5" not in fingerprint.reachable(("drawing", "figures.fig7"))
    assert not {name for name in fingerprint.reachable(("training",)) if name.startswith("figures")}
