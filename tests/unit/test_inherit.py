"""Scales that inherit: what overrides and cuts do, and the rehearsal, which is the paper's scale cut short."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import inherit, plan, scale_files, yaml_files
from adaptive_smoothing.pipeline.validation import Place

ROOT = Path(__file__).parents[2]
PAPER = scale_files.load_scale(ROOT / "config/paper.yaml")
HEIR = {"inherits": "paper", "overrides": {"label": "mine"}}

# Where the rehearsal may differ from the paper's scale.
CUT = re.compile(
    r"""(?x) label | data_root | data_variant | seeds(\.\d+)? | eval_mc_samples
    | setups\.\w+\.epochs
    | setups\.\w+(\.methods|\.noise_overrides\.[\w.]+)\.\w+\.schedule\.(milestones\.\d+|warmup_epochs)
    | figures\.\w+\.label_noise_mc_samples
    | (figures|extras)\.\w+\.runs\.\d+\.methods\.\w+\.\w+(\.\d+)?"""
)


def leaves(node, path=""):
    """Return path → value of all that is no mapping or list (or an empty one) in a scale's content."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else None
    if not pairs:
        return {path: node}
    return {key: leaf for name, value in pairs for key, leaf in leaves(value, f"{path}.{name}".strip(".")).items()}


def written(folder, **scales):
    """Write scale files with these contents (mappings or text) beside a copy of paper.yaml; return mine.yaml."""
    for name, content in {"paper": (ROOT / "config/paper.yaml").read_text(), **scales}.items():
        (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder / "mine.yaml"


def heir(inherits="paper", cut=None, **overrides):
    return {"inherits": inherits, "cut": cut or {}, "overrides": {"label": "mine", **overrides}}


def loaded(folder, content, **scales):
    return scale_files.load_scale(written(folder, mine=content, **scales))


def refused(folder, content, **scales):
    """Return the sentence that refuses mine.yaml with this content, without the folder's name."""
    with pytest.raises(UserError) as caught:
        loaded(folder, content, **scales)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/")


def test_an_heir_is_the_other_scale_but_for_its_overrides(tmp_path):
    assert loaded(tmp_path, HEIR) == PAPER.model_copy(update={"label": "mine"})


def test_the_example_of_the_documentation_says_what_its_text_says(tmp_path):
    *_, text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/scales.md").read_text(), re.DOTALL)
    assert len(text.splitlines()) <= 10
    scale = loaded(tmp_path, text)
    assert scale.setups["cifar10"].dataset == "flowers"
    assert scale.setups["cifar10"].model == PAPER.setups["cifar10"].model
    assert scale.datasets["flowers"].name == "image_folder"
    assert PAPER.figures.keys() - scale.figures.keys() == {"fig9"}
    specs = [run.spec for run in plan.Plan("mine", tmp_path).figure("fig5").runs]
    assert {spec.epochs for spec in specs} == {20}
    milestones = [spec.hyperparameters["schedule"].get("milestones") for spec in specs if spec.method == "sam"]
    assert {tuple(epochs) for epochs in milestones} == {(10, 15)}


def test_mappings_merge_at_every_depth_and_anything_else_replaces():
    base = {"a": {"b": {"c": 1, "d": 2}, "list": [1, 2]}, "x": 1}
    overrides = {"a": {"b": {"c": 5}, "list": [3]}, "x": {"y": 1}, "new": {"z": 1}}
    assert inherit.merge(base, overrides) == {
        "a": {"b": {"c": 5, "d": 2}, "list": [3]},
        "x": {"y": 1},
        "new": {"z": 1},
    }
    assert base == {"a": {"b": {"c": 1, "d": 2}, "list": [1, 2]}, "x": 1}


def test_extras_with_the_runs_of_a_figure_follow_its_overrides(tmp_path):
    runs = [{"setup": "cifar10", "noises": ["pair20"], "methods": {"ivon": {}}}]
    own = [{**runs[0], "noises": ["symmetric20"]}]
    extras = {"extra_cost": {"runs": own}, "extra_memorisation": None, "extra_calibration": {"title": "mine"}}
    scale = loaded(tmp_path, heir(figures={"fig5": {"runs": runs}}, extras=extras, cut={"grids": "ends"}))
    assert scale.extras["extra_calibration"].runs == scale.figures["fig5"].runs
    assert scale.extras["extra_calibration"].runs[0].noises == ("pair20",)
    assert scale.extras["extra_calibration"].title == "mine"
    assert scale.extras["extra_cost"].runs[0].noises == ("symmetric20",)
    assert scale.extras["extra_moons"] == PAPER.extras["extra_moons"]
    assert "extra_memorisation" not in scale.extras


def test_extras_keep_the_runs_of_a_figure_that_is_removed(tmp_path):
    scale = loaded(tmp_path, heir(figures={"fig5": None}))
    assert scale.extras == PAPER.extras


def test_null_removes_what_is_inherited(tmp_path):
    assert inherit.merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}
    scale = loaded(tmp_path, heir(setups={"clothing1m": {"train_eval_subset": None}}, extras=None))
    assert scale.setups["clothing1m"].train_eval_subset is None
    assert scale.extras == {}


def test_another_kind_of_schedule_needs_the_inherited_keys_removed(tmp_path):
    cosine = {"kind": "cosine", "warmup_epochs": 5}
    methods = {"setups": {"cifar10": {"methods": {"ls": {"schedule": cosine}}}}}
    assert refused(tmp_path, heir(**methods)) == (
        "mine.yaml, overrides.setups.cifar10.methods.ls.schedule: unknown key 'milestones'; legal: kind, "
        "warmup_epochs; 'milestones' is inherited, and 'milestones: null' removes it"
    )
    cosine |= {"milestones": None, "factor": None}
    assert loaded(tmp_path, heir(**methods)).setups["cifar10"].methods["ls"]["schedule"] == {
        "kind": "cosine",
        "warmup_epochs": 5,
    }


def test_an_heir_of_an_heir(tmp_path):
    middle = heir(cut={"epochs": 20}, seeds=[7, 8], setups={"mnist": {"batch_size": 10}})
    scale = loaded(tmp_path, heir("middle", setups={"mnist": {"epochs": 30}}), middle=middle)
    assert scale.seeds == (7, 8)
    assert (scale.setups["mnist"].epochs, scale.setups["mnist"].batch_size) == (30, 10)
    assert scale.setups["cifar10"].epochs == 20


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({**HEIR, "lable": 1}, ": unknown key 'lable'; legal: add, cut, inherits, overrides"),
        ({**HEIR, "setups": {}}, ": unknown key 'setups'; legal: add, cut, inherits, overrides"),
        ({"inherits": "paper"}, ": key 'overrides' is missing"),
        ({**HEIR, "overrides": [1]}, ", overrides: [1] is not allowed; it must be a mapping"),
        ({**HEIR, "overrides": {}}, ": key 'label' is missing"),
        ({**HEIR, "overrides": {"seeds": [1]}}, ", overrides: key 'label' is missing"),
        (heir(label=None), ", overrides: key 'label' is missing"),
        (heir(label=""), ', overrides.label: "" is not allowed; it must not be empty'),
        (heir(lable="x"), ", overrides: unknown key 'lable' (did you mean 'label'?); legal: data_root, data_seed, "),
        (heir(speed=1), ", overrides: unknown key 'speed'"),
        (
            heir(setups={"mnist": {"epoch": 1}}),
            ", overrides.setups.mnist: unknown key 'epoch'",
        ),
        (
            heir(setups={"mnist": {"epochs": 0}}),
            ", overrides.setups.mnist.epochs: 0 is not allowed; it must be g",
        ),
        (heir(setups={"mnist": {"by_noise": {}}}), ", overrides.setups.mnist: key 'by_noise' was renamed"),
        (heir(setups={"mnist": {"dataset": "x"}}), ", overrides.setups.mnist.dataset: unknown dataset 'x'"),
        (
            heir(setups={"cifar1": {"epochs": 5}}),
            ", overrides.setups.cifar1: key 'dataset' is missing; 'cifar1' is not inherited (did you mean 'cifar1",
        ),
        (
            heir(figures={"fgi5": {"label_noise_mc_samples": 5}}),
            ", overrides.figures.fgi5: key 'title' is missing; 'fgi5' is not inherited (did you mean 'fig5'?)",
        ),
        (
            heir(noises={"pair2": {"rate": 0.3}}),
            ", overrides.noises.pair2: key 'kind' is missing; 'pair2' is not inherited (did you mean 'pair20'?)",
        ),
        (
            heir(figures={"fgi9": None}),
            ", overrides.figures: unknown inherited key 'fgi9' (did you mean 'fig9'?); legal: fig10, fig2",
        ),
        (
            heir(setups={"cifar10": {"methods": {"smm": None}}}),
            ", overrides.setups.cifar10.methods: unknown inherited key 'smm' (did you mean 'sam'?); legal: ivon, ls,",
        ),
        (
            heir(setups={"cifar10": {"epochs": 20}}),
            ", setups.cifar10.methods.ls.schedule.milestones: 150 lies beyond the setup's 20 epochs; shorten the sched",
        ),
        (
            heir(setups={"cifar10": {"methods": {"ls": {"alfa": 1}}}}),
            ", overrides.setups.cifar10.methods.ls: unk",
        ),
        (heir(setups={"cifar10": {"methods": {"sam": None}}}), ", figures.fig5.runs[0].methods: unknown method"),
        (
            heir(figures={"fig5": {"runs": [{"setup": "no"}]}}),
            ", overrides.figures.fig5.runs[0]: key 'noises'",
        ),
        (heir(data_variant="x"), ", overrides: data_variant 'x' needs data_root"),
        (heir(cut={"epoch": 1}), ", cut: unknown key 'epoch' (did you mean 'epochs'?); legal: epochs, figures, grids"),
        (heir(cut={"epochs": 0}), ", cut.epochs: 0 is not allowed; it must be greater than or equal to 1"),
        (heir(cut={"grids": "first"}), ", cut.grids: unknown value 'first'; legal: ends"),
        (heir("papper"), ", inherits: unknown scale 'papper' (did you mean 'paper'?); legal: middle, paper"),
        (heir(None), ", inherits: null is not allowed; it must be a text"),
        (heir("mine"), ", inherits: mine → mine is a circle; one of these scales must not inherit"),
    ],
)
def test_a_mistake_is_named_where_it_stands(tmp_path, content, sentence):
    assert refused(tmp_path, content, middle=HEIR).startswith(f"mine.yaml{sentence}")


def test_a_circle_of_scales_is_refused(tmp_path):
    scales = {"middle": heir("other"), "other": heir("middle")}
    sentence = refused(tmp_path, heir("middle"), **scales)
    assert sentence == "other.yaml, inherits: middle → other → middle is a circle; one of these scales must not inherit"


def test_a_mistake_in_the_other_scale_names_that_scale(tmp_path):
    assert refused(tmp_path, heir("base"), base={"label": "x"}).startswith("base.yaml: key 'data_seed' is missing")


# Cuts


@pytest.mark.parametrize(
    ("epochs", "milestones", "warm_up"),
    [(2, (1, 2), 1), (3, (2, 3), 1), (40, (20, 30), 1), (41, (21, 31), 2), (200, (100, 150), 5), (999, (100, 150), 5)],
)
def test_schedules_shrink_with_the_epochs_to_whole_ones(tmp_path, epochs, milestones, warm_up):
    setup = loaded(tmp_path, heir(cut={"epochs": epochs})).setups["cifar10"]
    assert setup.epochs == min(epochs, 200)
    assert tuple(setup.methods["ls"]["schedule"]["milestones"]) == milestones
    assert setup.methods["ivon"]["schedule"]["warmup_epochs"] == warm_up
    assert setup.methods["ls"]["schedule"]["factor"] == 0.1


def test_a_schedule_of_one_noise_shrinks_too_and_no_warm_up_stays_none(tmp_path):
    base = json.loads(json.dumps(yaml_files.read(ROOT / "config/paper.yaml", ())))
    overrides = base["setups"]["cifar100"]["noise_overrides"]
    overrides["pair20"]["ivon"]["schedule"] = {"kind": "cosine", "warmup_epochs": 50}
    base["setups"]["mnist"]["methods"]["ivon"]["schedule"]["warmup_epochs"] = 0
    scale = loaded(tmp_path, heir("base", cut={"epochs": 8}), base=base)
    assert scale.setups["cifar100"].noise_overrides["pair20"]["ivon"]["schedule"]["warmup_epochs"] == 2
    assert scale.setups["mnist"].methods["ivon"]["schedule"]["warmup_epochs"] == 0


def test_milestones_that_fall_together_become_one(tmp_path):
    setup = loaded(tmp_path, heir(cut={"epochs": 1})).setups["cifar10"]
    assert setup.methods["ls"]["schedule"]["milestones"] == [1]


def test_overrides_come_after_the_cut(tmp_path):
    cifar10 = {"epochs": 50, "methods": {"ls": {"schedule": {"milestones": [7]}}}}
    setups = loaded(tmp_path, heir(cut={"epochs": 20}, setups={"cifar10": cifar10})).setups
    assert (setups["cifar10"].epochs, setups["cifar100"].epochs) == (50, 20)
    assert setups["cifar10"].methods["ls"]["schedule"]["milestones"] == [7]
    assert tuple(setups["cifar10"].methods["sam"]["schedule"]["milestones"]) == (10, 15)


@settings(max_examples=15, deadline=None)
@given(epochs=st.none() | st.integers(min_value=1, max_value=250), grids=st.sampled_from([None, "ends"]))
def test_every_cut_leaves_a_scale_that_can_be_planned(tmp_path_factory, epochs, grids):
    path = written(tmp_path_factory.mktemp("scales"), mine=heir(cut={"epochs": epochs, "grids": grids}))
    planned = plan.Plan("mine", path.parent)
    for run in planned.runs.values():
        schedule = run.spec.hyperparameters["schedule"]
        assert run.spec.epochs <= (epochs or 200)
        assert all(1 <= milestone <= run.spec.epochs for milestone in schedule.get("milestones", ()))
        assert schedule.get("warmup_epochs", 0) <= run.spec.epochs


# The rehearsal


def rehearsed(folder, *edits):
    """Return the rehearsal beside a copy of paper.yaml in which texts were replaced."""
    folder.mkdir(exist_ok=True)
    text = (ROOT / "config/paper.yaml").read_text()
    for old, new in edits:
        assert old in text, f"paper.yaml lacks {old!r}"
        text = text.replace(old, new)
    written(folder, paper=text, rehearsal=(ROOT / "config/rehearsal.yaml").read_text())
    return plan.Plan("rehearsal", folder)


def kinds(planned):
    return {(run.spec.dataset.name, run.spec.model.name, run.method, run.noise) for run in planned.runs.values()}


def test_the_rehearsal_differs_from_the_papers_scale_in_size_and_data_alone():
    paper, mine = (
        leaves(PAPER.model_dump()),
        leaves(scale_files.load_scale(ROOT / "config/rehearsal.yaml").model_dump()),
    )
    differing = {key for key in paper.keys() | mine.keys() if paper.get(key, "absent") != mine.get(key, "absent")}
    assert {key for key in differing if not CUT.fullmatch(key)} == set()
    assert {key.split(".")[0] for key in differing} == {
        *("label", "data_root", "data_variant", "seeds", "eval_mc_samples", "setups", "figures", "extras")
    }


def test_the_rehearsal_has_a_few_steps_one_seed_and_the_ends_of_each_grid():
    rehearsal = plan.Plan("rehearsal", ROOT / "config")
    assert {run.spec.seed for run in rehearsal.runs.values()} == {PAPER.seeds[0]}
    assert {run.spec.epochs for run in rehearsal.runs.values()} == {2}
    assert {run.spec.eval_mc_samples for run in rehearsal.runs.values()} == {2, None}
    assert {figure.label_noise_mc_samples for figure in rehearsal.figures.values()} == {2, None}
    assert rehearsal.scale.figures.keys() == PAPER.figures.keys()
    assert kinds(rehearsal) == kinds(plan.Plan("paper", ROOT / "config"))
    for name, figure in rehearsal.scale.figures.items():
        for grid, whole in zip(figure.runs, PAPER.figures[name].runs, strict=True):
            for method, axes in grid.methods.items():
                for axis, values in axes.items():
                    full = whole.methods[method][axis]
                    assert values == (full if len(full) < 3 else (full[0], full[-1]))
    assert rehearsal.scale.label and "rehearsal" in rehearsal.scale.label


def test_its_data_never_pass_for_the_published_ones():
    ours = set(plan.Plan("rehearsal", ROOT / "config").sources())
    assert not ours & set(plan.Plan("paper", ROOT / "config").sources())
    assert all("-rehearsal-" in folder for folder in ours)


def test_a_change_in_the_papers_scale_is_rehearsed_by_itself(tmp_path):
    before = rehearsed(tmp_path / "before")
    after = rehearsed(
        tmp_path / "after",
        ("  pair20: {kind: pair, rate: 0.2}", "  pair10: {kind: pair, rate: 0.1}\n  pair20: {kind: pair, rate: 0.25}"),
        ("noises: [symmetric20, symmetric40, pair20]", "noises: [symmetric20, symmetric40, pair10, pair20]"),
        ("batch_size: 50 # P", "batch_size: 40"),
        ("        batch_norm: first_pass # ASSUMED (A): running", "        batch_norm: both_passes # running"),
        ("hess_init: [0.01, 0.05, 0.1, 0.5, 1]", "hess_init: [0.02, 0.05, 0.1, 0.5, 2]"),
        ("    options: {classes: [0, 3, 6]}", "    options: {classes: [1, 2]}"),
        ("evaluate_every: 5", "evaluate_every: 1"),
    )
    assert after.noise("pair10") == {"kind": "pair", "rate": 0.1}
    assert after.noise("pair20")["rate"] == 0.25
    assert len(after.runs) > len(before.runs)
    specs = [run.spec for run in after.runs.values() if run.setup == "cifar10"]
    assert {spec.batch_size for spec in specs} == {40}
    assert {spec.evaluate_every for spec in specs} == {1}
    assert {spec.hyperparameters["hess_init"] for spec in specs if spec.method == "ivon"} == {0.02, 0.5, 2}
    assert after.figure("fig4").description["options"]["classes"] == [1, 2]
    assert after.scale.setups["cifar10"].methods["sam"]["batch_norm"] == "both_passes"


def test_the_rehearsal_draws_in_a_folder_of_its_own():
    assert paths.figure_files("rehearsal", "fig7")[0] == "paper_figures/rehearsal/fig7.pdf"


def test_what_is_added_goes_behind_what_is_inherited(tmp_path):
    runs = [{"setup": "cifar10", "noises": ["pair30"], "methods": {"ols": {}}}]
    content = heir() | {"add": {"noises": {"pair30": {"kind": "pair", "rate": 0.3}}, "seeds": [7]}}
    content["add"]["figures"] = {"fig5": {"runs": runs}}
    scale = loaded(tmp_path, content)
    assert scale.seeds == (*PAPER.seeds, 7)
    assert scale.noises.keys() - PAPER.noises.keys() == {"pair30"}
    *inherited, added = scale.figures["fig5"].runs
    assert tuple(inherited) == PAPER.figures["fig5"].runs
    assert (added.noises, added.methods) == (("pair30",), {"ols": {}})
    assert scale.extras["extra_cost"].runs == scale.figures["fig5"].runs  # they have the runs of Fig. 5
    assert scale.figures["fig7"] == PAPER.figures["fig7"]


@pytest.mark.parametrize(
    ("addition", "sentence"),
    [
        ({"data_seed": 1}, "add.data_seed: has a value already; write the new one under 'overrides'"),
        ({"seeds": 3}, "add.seeds: has a value already; write the new one under 'overrides'"),
        ({"figures": {"fig5": {"title": "x"}}}, "add.figures.fig5.title: has a value already; "),
        ({"figures": {"fig9": None}}, "add.figures.fig9: null adds nothing; write it under 'overrides'"),
    ],
)
def test_an_addition_never_replaces(tmp_path, addition, sentence):
    assert refused(tmp_path, heir() | {"add": addition}).startswith(f"mine.yaml, {sentence}")


def test_a_cut_keeps_the_figures_that_it_names(tmp_path):
    scale = loaded(tmp_path, heir(cut={"figures": ["fig5", "extra_cost"]}))
    assert (list(scale.figures), list(scale.extras)) == (["fig5"], ["extra_cost"])
    assert scale.figures["fig5"] == PAPER.figures["fig5"]
    found = refused(tmp_path, heir(cut={"figures": ["fig55"]}))
    assert found.startswith("mine.yaml, cut.figures: unknown figure 'fig55' (did you mean 'fig5'?); legal: ")


def test_a_method_of_ones_own_is_added_as_the_documentation_says():
    text = re.search(r"```yaml\n(inherits: small.*?)```", (ROOT / "docs/scales.md").read_text(), re.DOTALL)[1]
    content = inherit.Heir.model_validate(yaml.load(text, Loader=yaml_files.StrictLoader))
    small = scale_files.load_scale(ROOT / "config/small.yaml").model_dump(exclude_unset=True)
    inherit.check(content, small, Place("mine.yaml"))
    scale = inherit.expand(content, small)
    assert list(scale["figures"]) == ["fig5"]
    assert [sorted(grid["methods"]) for grid in scale["figures"]["fig5"]["runs"]] == [["ivon", "ls", "sam"], ["maxsup"]]
    sgd = small["setups"]["digits"]["methods"]["ls"]
    assert sgd.items() <= {**scale["setups"]["digits"]["methods"]["maxsup"]}.items()
