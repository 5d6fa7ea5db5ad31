"""docs/deviations.md is in step with config/paper.yaml, and what it says a change would rerun is what would rerun."""

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
def changes():
    return deviations.Changes("paper", ROOT / "config")


def doctored(tmp_path, *replacements):
    text = PAPER.read_text(encoding="utf-8")
    for old, new in replacements:
        assert text.count(old) == 1, f"the test expects one '{old}' in paper.yaml"
        text = text.replace(old, new)
    (tmp_path / "paper.yaml").write_text(text, encoding="utf-8")
    return deviations.Changes("paper", tmp_path)


@pytest.mark.slow
def test_the_table_is_what_the_command_writes_now():
    made = deviations.table("paper", ROOT / "config", REMARKS)
    written = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    assert written == made, "docs/deviations.md is out of step with config/paper.yaml or the library: make deviations"


def test_every_assumed_line_is_found(changes):
    lines = [line for line in PAPER.read_text(encoding="utf-8").splitlines() if "ASSUMED" in line]
    found = [value for value in changes.values if value.assumed]
    assert len(found) == len(lines) - HEADER_LINES > 40
    assert all(f"{value.path[-1]}: " in line for value, line in zip(found, lines[HEADER_LINES:], strict=True))


def test_every_value_is_found_with_its_place_and_content(changes):
    content = yaml.load(changes.text, Loader=yaml_files.StrictLoader)
    for value in changes.values:
        inside = content
        for part in value.path:
            inside = inside[part]
        assert inside == value.data
        assert changes.text[value.start : value.end] == value.text
        assert yaml.load(value.text, Loader=yaml_files.StrictLoader) == value.data


def test_nearly_every_value_names_a_source(changes):
    """Titles and the keys that only structure a figure's runs have none."""
    without = {str(value.path[-1]) for value in changes.values if not value.sources}
    assert without <= {"title", "setup", "ivon"}


@pytest.mark.parametrize(
    ("line", "sources", "origin", "reason"),
    [
        ("k: 1 # P", ("P",), "P", ""),
        ("k: 1 # ASSUMED (A)", ("A",), "A", ""),
        ("k: 1 # ASSUMED (A): as LS; D says so: yes", ("A", "D"), "A", "as LS; D says so: yes"),
        ("k: 1 # P for X (Table 1); ASSUMED (A) for Y", ("P", "A"), "P for X (Table 1); A for Y", ""),
        ('k: "a # b" # P, B: Eq. 21', ("P", "B"), "P, B: Eq. 21", ""),
        ("k: a#b", (), "", ""),
        ("k: {a: 1,\n  b: 2} # I: PyTorch's", ("I",), "I: PyTorch's", ""),
        ("k: 1 # R\n# P: of nothing", ("R",), "R", ""),
    ],
)
def test_comments(line, sources, origin, reason):
    (value,) = deviations.read(line, "x.yaml")
    assert (value.key, value.sources, value.origin, value.reason) == ("k", sources, origin, reason)
    assert value.assumed == ("A" in sources)


def test_an_inherited_value_is_reported_where_it_stands():
    text = "a: &a # B\n  lr: &rate 1e-3 # P\n  m: 0.9\nb:\n  <<: *a\n  rho: *rate\n  own: 2 # D\n"
    values = {value.key: (value.text, value.data, value.sources) for value in deviations.read(text, "x.yaml")}
    assert values == {"a.lr": ("1e-3", 1e-3, ("P",)), "a.m": ("0.9", 0.9, ()), "b.own": ("2", 2, ("D",))}


@pytest.mark.parametrize("text", ["a: # ASSUMED (A)\n  b: 1\n", "# ASSUMED (A): b\na: 1\n"])
def test_an_assumption_without_a_value_is_refused(text):
    with pytest.raises(UserError, match=r"x\.yaml, line 1: .* in the line of the value"):
        deviations.read(text, "x.yaml")


def test_a_learning_rate_reruns_the_runs_that_use_it(changes):
    """LS on CIFAR-10: 3 noises × 6 α × 3 seeds in Fig. 5, 5 κ × 6 × 3 in Fig. 7, 2 α on clean labels in Fig. 4."""
    reruns = changes.reruns("setups.cifar10.methods.ls.lr")
    assert len(reruns.trained) == 3 * 6 * 3 + 5 * 6 * 3 + 2
    assert not reruns.new
    assert all("/ls-alpha" in name and name.startswith("cifar10-") for name in reruns.trained)
    assert reruns.figures == {"fig4", "fig5", "fig7"}
    assert reruns.work == "146"


def test_the_variances_of_fig_2_only_redraw_it(changes):
    reruns = changes.reruns("figures.fig2.options.variances")
    assert reruns == deviations.Reruns(figures=frozenset({"fig2"}))
    assert reruns.work == "0"


def test_a_seed_more_adds_its_runs(changes):
    """Figs. 5, 6, 7, 8, 9 and 10; IVON's own h₀ and learned Σ in Figs. 6 and 10 are those of Fig. 5."""
    reruns = changes.reruns("seeds")
    grid = 1 + 6 + 6
    assert len(reruns.trained) == 3 * grid + 3 + 5 * grid + 3 * grid + grid + 3 * 4
    assert reruns.trained == reruns.new
    assert all(name.endswith("/seed3") for name in reruns.new)
    assert reruns.figures == {f"fig{number}" for number in range(5, 11)}
    assert reruns.work == "171 new"


def test_measured_label_noise_is_told_from_training(changes):
    reruns = changes.reruns("figures.fig4.label_noise_mc_samples")
    assert (len(reruns.trained), len(reruns.measured), reruns.figures) == (0, 8, {"fig4"})
    assert reruns.work == "0 (label noise of 8 measured)"


def test_a_value_that_is_merged_elsewhere_counts_there_too(changes):
    """Table 1 sets the learning rate of all noisy runs on CIFAR-100, but not the schedule that SAM and OLS inherit."""
    methods = {
        name.split("/")[2].split("-")[0] for name in changes.reruns("setups.cifar100.methods.ls.schedule").trained
    }
    assert methods == {"ls", "sam", "ols"}
    assert len(changes.reruns("setups.cifar100.methods.ls.lr").trained) == 3


def test_every_assumption_has_another_legal_value():
    assert "no other value to try" not in (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")


def test_where_no_other_value_is_legal_it_says_so(tmp_path):
    changes = doctored(tmp_path, ("label: null # R", "label: null # ASSUMED (A)"))
    assert changes.reruns("label") is None
    assert deviations._effect(None) == ("no other value to try", "")


def test_a_path_into_a_mapping_in_braces(changes):
    assert changes.reruns("datasets.mnist.validation").figures == {"fig3"}
    with pytest.raises(UserError, match=r"unknown key 'validaton'.*legal: name, validation"):
        changes.reruns("datasets.mnist.validaton")
    with pytest.raises(UserError, match=r"unknown key path 'setups.mnist.epoch'.*setups.mnist.epochs"):
        changes.reruns("setups.mnist.epoch")


def test_code_reruns_what_reaches_it(changes):
    sam = changes.reaching("methods.sam")
    assert {changes.plan.runs[name].method for name in sam.trained} == {"sam"}
    assert sam.figures == {"fig5", "fig7", "fig8", "fig9"}
    assert changes.reaching("figures.fig7") == deviations.Reruns(figures=frozenset({"fig7"}))
    assert changes.reaching("noises.symmetric").figures == {"fig5", "fig6", "fig8", "fig10"}
    assert changes.reaching("datasets.mnist").figures == {"fig3"}
    assert len(changes.reaching("training").trained) == len(changes.plan.runs)
    noise = changes.reaching("label_noise")
    assert (len(noise.trained), len(noise.measured), noise.figures) == (0, 9, {"fig3", "fig4"})
    with pytest.raises(UserError, match=r"no module 'methods.sma'"):
        changes.reaching("methods.sma")


def test_nothing_changed_reruns_nothing(changes):
    assert deviations.compared(changes.plan, changes.plan) == deviations.Reruns()


def test_a_doctored_config_changes_the_table(tmp_path):
    text = PAPER.read_text(encoding="utf-8")
    old = "    epochs: 20 # ASSUMED (A)\n"
    assert text.count(old) == 1
    made = []
    for new in (
        old,
        "    epochs: 30 # ASSUMED (A)\n",
        "    epochs: 20 # P\n",
        "    epochs: 20 # ASSUMED (A): as usual\n",
    ):
        # one assumption is enough, and ten times as fast
        kept = text.replace(old, new).replace("ASSUMED (A)", "D").replace(new.replace("ASSUMED (A)", "D"), new)
        (tmp_path / "paper.yaml").write_text(kept, encoding="utf-8")
        reasons = {"setups.mnist.epochs": "none"} if "ASSUMED" in new else {}
        remarks = tmp_path / "deviations.yaml"
        remarks.write_text(yaml.safe_dump({"reasons": reasons, "deviations": []}), encoding="utf-8")
        made.append(deviations.table("paper", tmp_path, remarks))
    assert len(set(made)) == 4
    rows = [re.findall(r"^\| `epochs.*$", table, re.MULTILINE) for table in made]
    assert rows == [
        ["| `epochs: 20` | A | none | 1 | 3 |"],
        ["| `epochs: 30` | A | none | 1 | 3 |"],
        [],
        ["| `epochs: 20` | A | as usual; none | 1 | 3 |"],
    ]


@pytest.mark.parametrize(
    ("reasons", "deviations", "message"),
    [
        ({}, [], "assumption 'setups.mnist.epochs' has no reason"),
        ({"setups.mnist.epochs": "why", "seeds": "x"}, [], "unknown assumption 'seeds'.*legal: setups.mnist.epochs"),
        ({"setups.mnist.epochs": ""}, [], r'reasons\.setups\.mnist\.epochs: "" is not allowed; it must not be empty'),
        ({}, [{"what": "w", "paper": "p", "ours": "o", "why": "y"}], "'w' needs keys or modules"),
        ({}, [{"wat": "w"}], "unknown key 'wat'"),
    ],
)
def test_remarks_that_do_not_fit_are_refused(tmp_path, reasons, deviations, message):
    path = tmp_path / "deviations.yaml"
    path.write_text(yaml.safe_dump({"reasons": reasons, "deviations": deviations}), encoding="utf-8")
    values = deviations.read("setups:\n  mnist:\n    epochs: 20 # ASSUMED (A)\nseeds: [0] # P\n", "paper.yaml")
    with pytest.raises(UserError, match=message):
        deviations.load_remarks(path, values)


@pytest.mark.parametrize("text", ["reasons: {a: b\n", "reasons: {}\nreasons: {}\ndeviations: []\n", None])
def test_remarks_that_cannot_be_read_are_refused(tmp_path, text):
    path = tmp_path / "deviations.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"deviations\.yaml: cannot be read"):
        deviations.load_remarks(path, [])


def test_figure_numbers_are_written_in_short():
    written = deviations._numbers(["fig10", "fig2", "fig5", "fig4", "fig6", "fig9", "mine"])
    assert written == "2, 4–6, 9, 10, mine"
