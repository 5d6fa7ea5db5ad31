"""A scale's YAML: what is refused, and with which sentence."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, scales

ROOT = Path(__file__).parents[2]
SMALL = scales.yaml.load((ROOT / "config/small.yaml").read_text(), Loader=scales.StrictLoader)


def planned(tmp_path, content, name="mine"):
    """Plan a scale with this content (a mapping or text)."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (tmp_path / f"{name}.yaml").write_text(text)
    return plan.Plan(name, tmp_path).figures


def changed(path, value):
    """Return the small scale with the value at a dotted path replaced (None: the key is taken away)."""
    content = copy.deepcopy(SMALL)
    *parents, last = path.split("/")
    node = content
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "lable",
            "x",
            r"mine\.yaml, in the top level: unknown key 'lable' \(did you mean 'label'\?\); legal: data_root, data_se",
        ),
        ("label", None, r"mine\.yaml: key 'label' is missing"),
        ("seeds", [], r"mine\.yaml: key 'seeds' is \[\]"),
        (
            "setups/digits/epoch",
            3,
            r"in setups\.digits: unknown key 'epoch' \(did you mean 'epochs'\?\); legal: .*batch_size",
        ),
        (
            "setups/digits/methods/ls/momentun",
            1,
            r"\(ls\).*unknown key 'momentun' \(did you mean 'momentum'\?\); legal: alpha",
        ),
        ("setups/digits/methods/ls/lr", None, r"\(ls\): key 'lr' is missing"),
        ("setups/digits/methods/ls/lr", -1.0, r"\(ls\): key 'lr' is -1\.0: Input should be greater than 0"),
        (
            "setups/digits/methods/ls/schedule/kind",
            "cosin",
            r"unknown kind of schedule 'cosin' \(did you mean 'cosine'",
        ),
        (
            "setups/digits/methods/adam",
            {},
            r"mine\.yaml, setups\.digit\w+: unknown method 'adam'.*legal: ivon, ls, ols, sam",
        ),
        (
            "setups/digits/model/name",
            "resnet",
            r"unknown model 'resnet'.*legal: mnist_cnn, resnet34, resnet50, small_cnn",
        ),
        ("setups/digits/dataset", "digit", r"setups\.digits: unknown dataset 'digit' \(did you mean 'digits'"),
        ("datasets/digits/name", "digitz", r"datasets\.digits: unknown dataset 'digitz'.*legal: .*digit_pairs, digits"),
        ("datasets/digits/options/size", 1, r"unknown key 'size'.*legal: test_size"),
        (
            "noises/pair20/kind",
            "pairs",
            r"noises\.pair20: unknown noise 'pairs' \(did you mean 'pair'\?\); legal: .*symmetric",
        ),
        ("noises/pair20/rat", 0.1, r"unknown key 'rat' \(did you mean 'rate'\?\); legal: rate"),
        ("noises/pair20/rate", 1.5, r"noises\.pair20.*rate' is 1\.5: Input should be less than or equal to 1"),
        ("noises/kappa0.5/kappa", 0.7, r"noise 'kappa0\.5' on dataset 'digits'.*κ = 0\.7.*impossible noise rate 1\.2"),
        ("figures/fig5/runs/0/noises", ["pare20"], r"figures\.fig5: unknown noise 'pare20' \(did you mean 'pair20'"),
        ("figures/fig5/runs/0/setup", "cifar", r"figures\.fig5: unknown setup 'cifar'; legal: digit_pairs, digits"),
        (
            "figures/fig5/runs/0/methods/ls/alfa",
            [0.1],
            r"figures\.fig5 \(ls\).*unknown key 'alfa' \(did you mean 'alpha'",
        ),
        ("figures/fig5/runs/0/methods/sam/rho", [-0.1], r"figures\.fig5 \(sam\): key 'rho' is -0\.1"),
        ("figures/fig77", {"title": "x"}, r"unknown figure kind 'fig77'.*legal: .*fig10, fig2"),
        ("figures/fig2/options/colour", 1, r"figures\.fig2 \(fig2\).*unknown key 'colour'; legal: largest_mean"),
    ],
)
def test_a_wrong_key_or_name_is_one_sentence_with_file_place_and_legal_ones(tmp_path, path, value, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        planned(tmp_path, changed(path, value))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; a scale needs label"),
        ("# only a comment\n", "is empty"),
        ("a: [1\n", "is not YAML"),
        ("- 1\n", "holds a list, not a mapping"),
        ("label: a\nlabel: b\n", "key 'label' is given twice"),
    ],
)
def test_what_is_no_scale_is_refused(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        planned(tmp_path, text)


def test_a_missing_scale_names_the_others(tmp_path):
    planned(tmp_path, SMALL, "smal")
    with pytest.raises(UserError, match=r"unknown scale 'small' \(did you mean 'smal'\?\)"):
        plan.Plan("small", tmp_path)


def test_a_figure_that_the_scale_lacks_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changed("figures/fig9", None)))
    with pytest.raises(UserError, match=r"unknown figure 'fig9'.*legal: extra_calibration, .*fig10, fig2"):
        plan.Plan("mine", tmp_path).figure("fig9")


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
    bookkeeping = re.compile(r"^\s*(- setup: \w+|kind: \w+|\w+: \{\})$")  # names a setup or a kind, or has no value
    lines = list(leaf_lines(text))
    assert len(lines) > 100
    assert [
        f"{number}: {line}" for number, line in lines if not mark.search(line) and not bookkeeping.match(line)
    ] == []


def test_an_assumption_is_always_spelled_so_that_grep_finds_it():
    text = (ROOT / "config/paper.yaml").read_text()
    body = text.split("\nlabel:")[1]
    assert body.count("(A)") == body.count("ASSUMED (A)") > 40
