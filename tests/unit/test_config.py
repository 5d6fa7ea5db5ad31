"""A scale's YAML: what is refused, and with which sentence."""

import re

import pytest
import yaml
from edited_scales import ROOT, SMALL, accepted, changed, refused

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, scales, validation, yaml_files

METHODS = ", ".join(registry.names("method"))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("lable", "x", ": unknown key 'lable' (did you mean 'label'?); legal: data_root, data_seed, data_variant, "),
        ("label", None, ": key 'label' is missing"),
        ("label", "", ', label: "" is not allowed; it must not be empty'),
        ("seeds", [], ", seeds: [] is not allowed; it must not be empty"),
        ("seeds", 3, ", seeds: 3 is not allowed; it must be a list"),
        ("seeds", [0, "x"], ', seeds[1]: "x" is not allowed; it must be a whole number'),
        ("data_variant", "a b", ', data_variant: "a b" is not allowed; it must consist of letters, digits, '),
        ("noises", {"a b": {"kind": "natural"}}, ', noises.a b: "a b" is not allowed; it must consist of letters, '),
        (
            "datasets/digits/name",
            "digitz",
            ", datasets.digits.name: unknown dataset 'digitz' (did you mean 'digits'",
        ),
        (
            "datasets/digits/options/size",
            1,
            ", datasets.digits.options: unknown key 'size' (did you mean 'test_size",
        ),
        ("noises/pair20/kind", "pairs", ", noises.pair20.kind: unknown noise 'pairs' (did you mean 'pair'?); legal: "),
        ("noises/pair20/rat", 0.1, ", noises.pair20: unknown key 'rat' (did you mean 'rate'?); legal: rate"),
        ("noises/pair20/rate", 1.5, ", noises.pair20.rate: 1.5 is not allowed; it must be less than or equal to 1"),
        ("noises/kappa0.5/kappa", 0.7, ", figures.fig7.runs[0].noises: noise 'kappa0.5' on dataset 'digits': "),
        (
            "figures/fig77",
            {"title": "x"},
            ", figures.fig77: unknown figure kind 'fig77' (did you mean 'fig7'?); legal: ",
        ),
        ("figures/fig2/options/colour", 1, ", figures.fig2.options: unknown key 'colour'; legal: largest_mean, "),
    ],
)
def test_a_wrong_key_or_value_is_named_where_it_stands(tmp_path, path, value, sentence):
    assert refused(tmp_path, changed((path, value))).startswith(f"mine.yaml{sentence}")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("epoch", 3, ": unknown key 'epoch' (did you mean 'epochs'?); legal: augment, "),
        ("epochs", 1.5, ".epochs: 1.5 is not allowed; it must be a whole number"),
        ("augment", ["crap"], ".augment[0]: unknown value 'crap' (did you mean 'crop'?); legal: crop, flip"),
        ("performance", True, ".performance: true is not allowed; it must be a mapping"),
        ("methods/adam", {}, f".methods: unknown method 'adam'; legal: {METHODS}"),
        ("methods/ls", [1], ".methods.ls: [1] is not allowed; it must be a mapping"),
        (
            "model/name",
            "resnet",
            ".model.name: unknown model 'resnet' (did you mean 'resnet50'?); legal: mnist_cnn",
        ),
        ("model/options", {"width": 1}, ".model.options: unknown key 'width'"),
        (
            "dataset",
            "digit",
            ".dataset: unknown dataset 'digit' (did you mean 'digits'?); legal: digit_pairs, ",
        ),
    ],
)
def test_a_mistake_in_a_setup_is_named_where_it_stands(tmp_path, path, value, sentence):
    found = refused(tmp_path, changed((f"setups/digits/{path}", value)))
    assert found.startswith(f"mine.yaml, setups.digits{sentence}")


@pytest.mark.parametrize("setup", ["digits", "digits_weak"])  # figures use LS of both, OLS of digits_weak none
@pytest.mark.parametrize("method", ["ls", "ols"])
@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("momentun", 1, ": unknown key 'momentun' (did you mean 'momentum'?); legal: alpha, "),
        ("lr", -1.0, ".lr: -1.0 is not allowed; it must be greater than 0"),
        ("lr", float("inf"), ".lr: Infinity is not allowed; it must be a finite number"),
        ("lr", "fast", '.lr: "fast" is not allowed; it must be a number'),
        ("alpha", 1.2, ".alpha: 1.2 is not allowed; it must be less than or equal to 1"),
        (
            "schedule/kind",
            "cosin",
            ".schedule.kind: unknown kind 'cosin' (did you mean 'cosine'?); legal: cosine, step",
        ),
        ("schedule/kind", None, ".schedule: key 'kind' is missing"),
        ("schedule/factor", None, ".schedule: key 'factor' is missing"),
        (
            "schedule/milestones",
            [0],
            ".schedule.milestones[0]: 0 is not allowed; it must be greater than or equal to 1",
        ),
        (
            "schedule/milestone",
            [1],
            ".schedule: unknown key 'milestone' (did you mean 'milestones'?); legal: factor",
        ),
    ],
)
def test_every_method_block_is_checked_whether_a_figure_uses_it_or_not(tmp_path, setup, method, path, value, sentence):
    found = refused(tmp_path, changed((f"setups/{setup}/methods/{method}/{path}", value)))
    assert found.startswith(f"mine.yaml, setups.{setup}.methods.{method}{sentence}")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"pair20": {"ls": {"lr": "x"}}}, '.pair20.ls.lr: "x" is not allowed; it must be a number'),
        ({"pair20": {"ls": {"alhpa": 0.1}}}, ".pair20.ls: unknown key 'alhpa' (did you mean 'alpha'?); legal: alpha, "),
        ({"pair20": {"ls": 1}}, ".pair20.ls: 1 is not allowed; it must be a mapping"),
        ({"pair20": {"adam": {}}}, ".pair20: unknown method 'adam'; legal: ivon, ls, ols, sam"),
        ({"pare20": {"ls": {}}}, ": unknown noise 'pare20' (did you mean 'pair20'?); legal: clean, "),
        ({"clean": {"ols": {"lr": 0}}}, ".clean.ols.lr: 0 is not allowed; it must be greater than 0"),
    ],
)
def test_overrides_for_a_noise_are_checked_where_they_stand(tmp_path, overrides, sentence):
    found = refused(tmp_path, changed(("setups/digits_weak/noise_overrides", overrides)))
    assert found.startswith(f"mine.yaml, setups.digits_weak.noise_overrides{sentence}")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("setup", "cifar", ".setup: unknown setup 'cifar'; legal: digit_pairs, digits, digits_weak"),
        ("noises", ["pare20"], ".noises: unknown noise 'pare20' (did you mean 'pair20'?); legal: clean, "),
        ("noises", [], ".noises: [] is not allowed; it must not be empty"),
        ("seeds", [], ".seeds: [] is not allowed; it must not be empty"),
        ("methods", {}, ".methods: {} is not allowed; it must not be empty"),
        ("methods/adam", {}, ".methods: unknown method 'adam'; legal: ivon, ls, ols, sam"),
        ("methods/ls/alfa", [0.1], ".methods.ls: unknown key 'alfa' (did you mean 'alpha'?); legal: alpha, lr, "),
        (
            "methods/ls/alpha",
            [0, 0.3, 1.5],
            ".methods.ls.alpha: 1.5 is not allowed; it must be less than or equal to 1",
        ),
        ("methods/ls/alpha", [], ".methods.ls.alpha: [] is not allowed; it must not be empty"),
        ("methods/ls/alpha", 0.1, ".methods.ls.alpha: 0.1 is not allowed; it must be a list"),
        (
            "methods/ls/alpha",
            [[0.1]],
            ".methods.ls.alpha[0]: [0.1] is not allowed; it must be a number, a word, ",
        ),
        ("methods/sam/rho", [-0.1], ".methods.sam.rho: -0.1 is not allowed; it must be greater than or equal to 0"),
        ("methods/sam/rho", ["big"], '.methods.sam.rho: "big" is not allowed; it must be a number'),
        (
            "methods/sam/batch_norm",
            ["no"],
            ".methods.sam.batch_norm: unknown value 'no'; legal: both_passes, ",
        ),
    ],
)
@pytest.mark.parametrize("figure", ["figures/fig5", "extras/extra_cost"])
def test_every_axis_and_value_of_a_grid_is_checked_where_it_stands(tmp_path, figure, path, value, sentence):
    found = refused(tmp_path, changed((f"{figure}/runs/0/{path}", value)))
    assert found.startswith(f"mine.yaml, {figure.replace('/', '.')}.runs[0]{sentence}")


def test_a_block_may_lack_what_every_grid_supplies(tmp_path):
    assert "rho" not in SMALL["setups"]["digits"]["methods"]["sam"]
    accepted(tmp_path, SMALL)


def test_a_key_that_only_some_grids_supply_is_missing_in_the_block_and_the_figure_is_named(tmp_path):
    found = refused(tmp_path, changed(("figures/fig7/runs/0/methods/sam", {"lr": [0.1]})))
    assert found == "mine.yaml, setups.digits.methods.sam: key 'rho' is missing; figures.fig7.runs[0] needs it"


def test_a_block_that_no_figure_uses_may_be_incomplete(tmp_path):
    accepted(tmp_path, changed(("setups/digits_weak/methods/ols", {"lr": 0.1})))


@pytest.mark.parametrize(
    ("parent", "old", "new"),
    [
        ("", "posterior_samples", "eval_mc_samples"),
        ("figures/fig3/", "label_noise_samples", "label_noise_mc_samples"),
        ("setups/digits/", "train_evaluation", "train_eval_subset"),
        ("setups/digits/", "by_noise", "noise_overrides"),
        ("setups/digits/", "speed", "performance"),
        ("setups/digits/methods/ivon/", "mc_samples", "train_mc_samples"),
    ],
)
def test_an_old_key_says_its_new_name(tmp_path, parent, old, new):
    place = f", {parent.strip('/').replace('/', '.')}" if parent else ""
    expected = f"mine.yaml{place}: key '{old}' was renamed to '{new}'; write '{new}'"
    assert refused(tmp_path, changed((f"{parent}{old}", 1))) == expected
    assert validation.RENAMED[old] == new


def test_an_old_key_where_its_new_name_is_not_legal_is_an_unknown_one(tmp_path):
    assert "unknown key 'speed'" in refused(tmp_path, changed(("speed", 1)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "mine.yaml: holds nothing, not a mapping; legal keys: label"),
        ("# only a comment\n", "mine.yaml: holds nothing"),
        ("a: [1\n", "mine.yaml: is not YAML"),
        ("- 1\n", "mine.yaml: holds a list, not a mapping"),
        ("label: a\nlabel: b\n", "mine.yaml: is not YAML: key 'label' is given twice in the mapping of line 1"),
        ("label: a\nfigures:\n  fig2: {}\n  fig2: {}\n", "key 'fig2' is given twice in the mapping of line 3"),
        ("label: a\nnoises:\n  1: {}\n", "is not YAML: key 1 in the mapping of line 3 is no text; write it in quotes"),
        ("noises: {true: {kind: natural}}\n", "is not YAML: key true in the mapping of line 1 is no text; write it in"),
        ("label: &a [*a]\n", "mine.yaml: an alias (*…) stands within the block that it names; write that block out"),
        (f"data_seed: {'1' * 5000}\n", "mine.yaml: is not YAML: Exceeds the limit"),
        ("label: !!int x\n", "mine.yaml: is not YAML: "),
    ],
)
def test_what_is_no_scale_is_refused(tmp_path, text, sentence):
    assert sentence in refused(tmp_path, text)


@pytest.mark.parametrize(
    "word", ["12:00:00", "1:30", "010", "0x10", "1_000", "2024-13-45", "2024-01-31", "no", "on", "yes", "off", "Y", "="]
)
def test_only_what_looks_like_a_number_or_a_truth_value_is_one(tmp_path, word):
    text = yaml.safe_dump(changed(("label", "LABEL"), ("setups/digits/resources/runtime", "RUNTIME")))
    found = refused(tmp_path, text.replace("RUNTIME", word))
    assert found.startswith(f'mine.yaml, setups.digits.resources.runtime: "{word}" is not allowed; it must be a whole')
    (tmp_path / "mine.yaml").write_text(text.replace("LABEL", word).replace("RUNTIME", "10"))
    assert plan.Plan("mine", tmp_path).scale.label == word


def test_a_noise_may_be_called_no(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changed()).replace("symmetric20", "no"))
    assert plan.Plan("mine", tmp_path).noise("no") == {"kind": "symmetric", "rate": 0.2}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1.5E+2", 150.0), (".5", 0.5), ("-3", -3), ("1.", 1.0), ("0", 0), ("True", True)],
)
def test_numbers_and_truth_values_are_those_of_yaml_1_2(text, value):
    found = yaml.load(text, Loader=yaml_files.StrictLoader)
    assert found == value and type(found) is type(value)


def test_a_missing_scale_names_the_others(tmp_path):
    (tmp_path / "smal.yaml").write_text("")
    with pytest.raises(UserError, match=r"unknown scale 'small' \(did you mean 'smal'\?\)"):
        plan.Plan("small", tmp_path)


def test_a_figure_that_the_scale_lacks_is_named(tmp_path):
    planned = accepted(tmp_path, changed(("figures/fig9", None)))
    with pytest.raises(UserError, match=r"unknown figure 'fig9'.*legal: extra_calibration, .*fig10, fig2"):
        planned.figure("fig9")


def test_settings_of_the_command_line_are_checked():
    assert scales.load_settings({"strict": True}).strict
    with pytest.raises(UserError, match=r"^--config: unknown key 'stricct' \(did you mean 'strict'\?\); legal: assign"):
        scales.load_settings({"stricct": True})
    with pytest.raises(UserError, match="--config: key 'warm' was renamed to 'fork_server'"):
        scales.load_settings({"warm": False})
    with pytest.raises(UserError, match=r"^--config, device: unknown value 'gpu'.*; legal: auto, cpu, cuda"):
        scales.load_settings({"device": "gpu"})
    assert not scales.load_settings({"fork_server": "False"}).fork_server
    assert scales.load_settings({"assign_gpus": "true"}).assign_gpus
    with pytest.raises(UserError, match=r'^--config, strict: "yes" is not allowed; it must be true or false'):
        scales.load_settings({"strict": "yes"})
    with pytest.raises(UserError, match=r"^--config, data_root: has no value; a variable of your shell may not be set"):
        scales.load_settings({"data_root": None})
    with pytest.raises(UserError, match=r"^--config, data_root: .* the variable NO_SUCH_PLACE is not set$"):
        scales.load_settings({"data_root": "$NO_SUCH_PLACE"})


def test_numbers_with_exponents_are_numbers():
    assert SMALL["setups"]["digits"]["methods"]["ls"]["weight_decay"] == 1e-3


def leaf_lines(text):
    """Yield the numbered lines of paper.yaml that set a value."""
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(r"\s*(- )?[\w.]+: *[^ &#*]|\s*(- )?\{|\s*- \{", line) and "title:" not in line and "<<" not in line:
            yield number, line


def test_every_value_of_the_papers_scale_bears_its_source():
    text = (ROOT / "config/paper.yaml").read_text()
    mark = re.compile(r"#.*\b(P|B|I|D|R|ASSUMED \(A\))([^A-Za-z]|$)")
    bookkeeping = re.compile(r"^\s*(- setup: \w+|\w+: \{\})$")  # names a setup, or gives no value
    lines = list(leaf_lines(text))
    assert len(lines) > 100
    assert [
        f"{number}: {line}" for number, line in lines if not mark.search(line) and not bookkeeping.match(line)
    ] == []


def test_an_assumption_is_always_spelled_so_that_grep_finds_it():
    text = (ROOT / "config/paper.yaml").read_text()
    body = text.split("\nlabel:")[1]
    assert body.count("(A)") == body.count("ASSUMED (A)") > 40
