"""docs/deviations.md is in step with config/paper.yaml and docs/deviations.yaml."""

import re
from pathlib import Path

import pytest
import yaml

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import yaml_files
from adaptive_smoothing.pipeline.commands import deviations

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "config" / "paper.yaml"
REMARKS = ROOT / "docs" / "deviations.yaml"
HEADER_LINES = 1  # the line at the top of paper.yaml that says what ASSUMED means


@pytest.fixture(scope="module")
def paper():
    return deviations.read_scale(PAPER.read_text(encoding="utf-8"), "config/paper.yaml")


def test_the_document_is_what_the_command_writes():
    written = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    assert written == deviations.table(PAPER, REMARKS), "docs/deviations.md is out of date: smoothing deviations"


def test_every_assumed_line_is_found(paper):
    lines = [line for line in PAPER.read_text(encoding="utf-8").splitlines() if "ASSUMED" in line]
    assumed = list(paper.assumptions.values())
    assert len(assumed) == len(lines) - HEADER_LINES > 40
    assert all(f"{value.path[-1]}: " in line for value, line in zip(assumed, lines[HEADER_LINES:], strict=True))


def test_every_value_is_found_as_it_is_written(paper):
    content = yaml.load(PAPER.read_text(encoding="utf-8"), Loader=yaml_files.StrictLoader)
    for value in paper.values:
        inside = content
        for part in value.path:
            inside = inside[part]
        assert yaml.load(value.text, Loader=yaml_files.StrictLoader) == inside


def test_nearly_every_value_names_a_source(paper):
    """Titles and the keys that only structure a figure's runs have none."""
    sourced = re.compile(r"\b[PBIDR]\b|ASSUMED \(A\)")
    without = {str(value.path[-1]) for value in paper.values if not sourced.search(value.comment)}
    assert without <= {"title", "setup", "ivon"}


@pytest.mark.parametrize(
    ("line", "assumed", "origin", "reason"),
    [
        ("k: 1 # P", False, "P", ""),
        ("k: 1 # ASSUMED (A)", True, "A", ""),
        ("k: 1 # ASSUMED (A): as LS; D says so: yes", True, "A", "as LS; D says so: yes"),
        ("k: 1 # P for X (Table 1); ASSUMED (A) for Y", True, "P for X (Table 1); A for Y", ""),
        ('k: "a # b" # P, B: Eq. 21', False, "P, B: Eq. 21", ""),
        ("k: a#b", False, "", ""),
        ("k: {a: 1,\n  b: 2} # I: PyTorch's", False, "I: PyTorch's", ""),
        ("k: 1 # R\n# P: of nothing", False, "R", ""),
    ],
)
def test_comments(line, assumed, origin, reason):
    (value,) = deviations.read_scale(line, "x.yaml").values
    assert (value.key, value.assumed, value.origin, value.reason) == ("k", assumed, origin, reason)


def test_an_inherited_value_is_listed_where_it_is_written():
    text = "a: &a # B\n  lr: &rate 1e-3 # P\n  m: 0.9\nb:\n  <<: *a\n  rho: *rate\n  own: 2 # D\n"
    values = {value.key: (value.text, value.comment) for value in deviations.read_scale(text, "x.yaml").values}
    assert values == {"a.lr": ("1e-3", "P"), "a.m": ("0.9", ""), "b.own": ("2", "D")}


@pytest.mark.parametrize("text", ["a: # ASSUMED (A)\n  b: 1\n", "# ASSUMED (A): b\na: 1\n"])
def test_an_assumption_without_a_value_is_refused(text):
    with pytest.raises(UserError, match=r"x\.yaml, line 1: .* in the line of the value"):
        deviations.read_scale(text, "x.yaml")


def test_a_changed_scale_file_changes_the_table(tmp_path):
    text = PAPER.read_text(encoding="utf-8")
    old = "    epochs: 20 # ASSUMED (A)\n"
    assert text.count(old) == 1
    tables = []
    for new in (
        old,
        "    epochs: 30 # ASSUMED (A)\n",
        "    epochs: 20 # P\n",
        "    epochs: 20 # ASSUMED (A): as usual\n",
    ):
        file = tmp_path / "paper.yaml"
        file.write_text(
            text.replace("ASSUMED (A)", "D").replace(old.replace("ASSUMED (A)", "D"), new), encoding="utf-8"
        )
        reasons = {"setups.mnist.epochs": "none"} if "ASSUMED" in new else {}
        tables.append(deviations.table(file, remarks_file(tmp_path, reasons)))
    assert [re.findall(r"^\| `epochs.*$", table, re.MULTILINE) for table in tables] == [
        ["| `epochs: 20` | A | none |"],
        ["| `epochs: 30` | A | none |"],
        [],
        ["| `epochs: 20` | A | as usual; none |"],
    ]


def remarks_file(folder, reasons, *deviations_):
    path = folder / "deviations.yaml"
    path.write_text(yaml.safe_dump({"reasons": reasons, "deviations": list(deviations_)}), encoding="utf-8")
    return path


WHY = {"setups.mnist.epochs": "why"}
DEVIATION = {"what": "w", "paper": "p", "ours": "o", "why": "y"}


@pytest.mark.parametrize(
    ("reasons", "remarks", "message"),
    [
        ({}, [], "assumption 'setups.mnist.epochs' has no reason"),
        (WHY | {"seeds": "x"}, [], "unknown assumption 'seeds'.*legal: setups.mnist.epochs"),
        ({"setups.mnist.epochs": ""}, [], r'reasons\.setups\.mnist\.epochs: "" is not allowed; it must not be empty'),
        (WHY, [DEVIATION], "'w' needs keys or modules"),
        (WHY, [{"wat": "w"}], "unknown key 'wat'"),
        (
            WHY,
            [DEVIATION | {"keys": ["setups.mnist.epoch"]}],
            r"'w': unknown key of paper.yaml .*'setups.mnist.epochs'\?",
        ),
        (WHY, [DEVIATION | {"keys": ["datasets.mnist.nam"]}], r"unknown key of .*'datasets.mnist.name'\?"),
        (WHY, [DEVIATION | {"modules": ["methods.sma"]}], r"'w': unknown module 'methods.sma' .*'methods.sam'\?"),
    ],
)
def test_remarks_that_do_not_fit_are_refused(tmp_path, reasons, remarks, message):
    text = "datasets:\n  mnist: {name: mnist}\nsetups:\n  mnist:\n    epochs: 20 # ASSUMED (A)\nseeds: [0] # P\n"
    with pytest.raises(UserError, match=message):
        deviations.read_remarks(remarks_file(tmp_path, reasons, *remarks), deviations.read_scale(text, "paper.yaml"))


def test_places_of_a_deviation_may_lie_in_brackets_and_in_packages(tmp_path):
    scale = deviations.read_scale("datasets:\n  mnist: {name: mnist}\n", "paper.yaml")
    path = remarks_file(tmp_path, {}, DEVIATION | {"keys": ["datasets.mnist.name"], "modules": ["methods"]})
    assert deviations.read_remarks(path, scale).deviations[0].modules == ("methods",)


@pytest.mark.parametrize("text", ["reasons: {a: b\n", "reasons: {}\nreasons: {}\ndeviations: []\n", None])
def test_remarks_that_cannot_be_read_are_refused(tmp_path, text):
    path = tmp_path / "deviations.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"deviations\.yaml: (is not YAML|does not exist)"):
        deviations.read_remarks(path, deviations.read_scale("a: 1", "paper.yaml"))
