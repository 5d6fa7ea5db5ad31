"""From a scale to runs: shared ones once, stable names, and no heavy import."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, stages, yaml_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    return plan.Plan("paper", ROOT / "config")


def names(figure):
    return {run.name for run in figure.runs}


def test_the_paper_has_nine_figures_with_the_full_grids(paper):
    assert list(paper.figures) == [f"fig{number}" for number in range(2, 11)]
    count = {name: len(figure.runs) for name, figure in paper.figures.items()}
    grid = 1 + 6 + 6  # IVON, LS over α, SAM over ρ
    assert count == {
        "fig2": 0,
        "fig3": 1,
        "fig4": 2 * 4,
        "fig5": 3 * grid * 3,
        "fig6": 3 * 2 * 3,
        "fig7": 5 * grid * 3,
        "fig8": 3 * grid * 3,
        "fig9": grid * 3,
        "fig10": 3 * 5 * 3,
    }


def test_runs_that_figures_share_appear_once(paper):
    ivon = {run.name for run in paper.figures["fig5"].runs if run.method == "ivon"}
    assert len(ivon) == 9
    assert ivon <= names(paper.figures["fig6"])
    assert ivon <= names(paper.figures["fig10"])
    assert len(paper.runs) == sum(len(f.runs) for f in paper.figures.values()) - 2 * 9


def test_table_1_reaches_the_runs(paper):
    def hyperparameters(noise, method):
        run = next(r for r in paper.figures["fig8"].runs if (r.noise, r.method) == (noise, method))
        return run.spec.hyperparameters

    assert hyperparameters("pair20", "ivon")["lr"] == 0.5
    assert hyperparameters("pair20", "ivon")["hess_init"] == 0.5
    assert hyperparameters("pair20", "ls")["weight_decay"] == 5e-4
    assert hyperparameters("symmetric20", "sam")["lr"] == 0.05
    assert hyperparameters("symmetric40", "ivon")["lr"] == 0.8


def test_names_are_readable(paper):
    assert "cifar10-resnet34/kappa0.1/sam-rho0.15/seed2" in names(paper.figures["fig7"])
    assert "cifar10-resnet34/symmetric20/ivon/seed0" in names(paper.figures["fig10"])
    assert "cifar10-resnet34/symmetric20/ivon-hessianfixed/seed0" in names(paper.figures["fig6"])
    assert "mnist-mnist_cnn/clean/ivon/seed0-posterior" in names(paper.figures["fig3"])


def small_with(tmp_path, change):
    content = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    change(content)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    return plan.Plan("mine", tmp_path)


def test_a_seed_more_adds_only_its_runs(tmp_path):
    plain = small_with(tmp_path, lambda content: None).runs
    more = small_with(tmp_path, lambda content: content["seeds"].append(3)).runs
    assert set(plain) < set(more)
    assert all(name.endswith(("/seed3", "/seed3-posterior")) for name in set(more) - set(plain))
    assert all(more[name].spec == run.spec for name, run in plain.items())


def test_setups_of_one_dataset_and_model_do_not_share_names(tmp_path):
    def twin(content):
        content["setups"]["longer"] = {**content["setups"]["digits"], "epochs": 51}
        content["figures"]["fig5"]["runs"][0]["setup"] = "longer"

    runs = small_with(tmp_path, twin).runs
    assert {run.spec.epochs for run in runs.values() if run.setup == "longer"} == {51}
    assert any(name.startswith("digits-small_cnn-longer/") for name in runs)


def test_colliding_names_are_told_apart_by_a_digest(tmp_path):
    def twice(content):
        grid = content["figures"]["fig5"]["runs"][0]
        # both values are written '0.1' in a name
        content["figures"]["fig5"]["runs"] = [{**grid, "methods": {"ivon": {"lr": [0.12345671, 0.12345672]}}}]

    runs = [run for run in small_with(tmp_path, twice).runs.values() if "-lr0.123457-" in run.name]
    assert len(runs) == 2 * 3 * 3
    assert len({run.spec.hyperparameters["lr"] for run in runs}) == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("train", "cannot be called 'train', as a rule is"),
        ("all", "cannot be called 'all', as a rule is"),
        ("extras", "cannot be called 'extras', as a rule is"),
        ("mini (copy)", "must consist of letters, digits, '_' and '.'"),
        ("a-b", "must consist of letters, digits, '_' and '.'"),
        ("fig7.pdf", "must not end like a picture's, in '.pdf'"),
    ],
)
def test_a_scale_of_a_name_that_cannot_be_a_target_stops_no_other(tmp_path, name, why):
    for scale in (name, "mine"):
        (tmp_path / f"{scale}.yaml").write_text("")
    (tmp_path / "._mine.yaml").write_bytes(b"\0")  # as macOS leaves them
    (tmp_path / "old.yaml").mkdir()
    names, (problem,) = plan.target_names(tmp_path)
    assert names == ["mine"]
    assert str(problem).startswith(f"{tmp_path / name}.yaml: a scale") and why in str(problem)
    assert str(problem).endswith("; rename the file")
    with pytest.raises(UserError, match="rename the file"):
        plan.Plan(name, tmp_path)


def test_names_of_shipped_scales_can_be_targets():
    assert plan.target_names(ROOT / "config") == (plan.scale_names(ROOT / "config"), [])


def test_no_rule_is_missing_among_the_names_that_scales_cannot_have():
    texts = [path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk"))]
    rules = {name for text in texts for name in re.findall(r"^(?:rule|use rule \w+ as) (\w+)(?:| with):$", text, re.M)}
    assert rules == stages.RULES


def test_a_folder_without_scales_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        plan.check_folder(Path("/the/project"))
    message = f"there is no folder 'config' in {tmp_path}; start Snakemake in the project's, /the/project"
    assert str(caught.value) == message
    (tmp_path / "config").mkdir()
    plan.check_folder(Path("/the/project"))


def scale_folder(folder, **scales):
    """Write each scale into config/: the small one with changes to its digits (None: a broken file)."""
    (folder / "config").mkdir()
    for name, dataset in scales.items():
        content = yaml_files.read(ROOT / "config/small.yaml", ())
        content["datasets"]["digits"] |= dataset or {}
        text = yaml.safe_dump(content) if dataset is not None else "figurs: {}"
        (folder / f"config/{name}.yaml").write_text(text)


def test_a_broken_scale_hides_no_dataset_of_another(tmp_path, monkeypatch):
    scale_folder(tmp_path, a_broken=None, b_whole={})
    monkeypatch.chdir(tmp_path)
    assert plan.dataset_source("digits-seed0-test_size997")["options"] == {"test_size": 997}
    with pytest.raises(UserError, match=r"^config/a_broken\.yaml: unknown key 'figurs'"):
        plan.dataset_source("nothing-seed0")


def test_the_mirrors_of_all_scales_with_a_dataset_count(tmp_path, monkeypatch):
    scale_folder(tmp_path, c_mine={"mirrors": ["/a", "/b"]}, d_other={"mirrors": ["/b", "/c"]}, e_none={})
    monkeypatch.chdir(tmp_path)
    location = plan.dataset_location("digits-seed0-test_size997")
    assert location == plan.Location(None, None, ("/a", "/b", "/c"))


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_planning_imports_neither_torch_nor_pandas_nor_pyarrow(scale):
    code = (
        "import sys; from adaptive_smoothing.core import paths; from adaptive_smoothing.pipeline import plan\n"
        "from adaptive_smoothing.pipeline.runtime import fork_server\n"
        f"p = plan.load({scale!r}); [run.code for run in p.runs.values()]\n"
        "[f.drawing_code for f in p.figures.values()]\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'matplotlib', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
