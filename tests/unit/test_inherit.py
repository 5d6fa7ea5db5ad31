"""Scales that inherit: the rehearsal is the paper's scale but for what is documented; and the archives it reads."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import formats
import numpy as np
import pytest
import torch
import torchvision.datasets
import torchvision.models
import write_rehearsal_data
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import inherit, plan, scales

ROOT = Path(__file__).parents[2]
PAPER = scales.load_scale(ROOT / "config/paper.yaml")
HEIR = {"inherits": "paper", "label": "mine"}

# Where the rehearsal may differ from the paper's scale: what config/rehearsal.yaml says of its keys.
DOCUMENTED = re.compile(
    r"""(?x) label | data_root | data_variant | seeds(\.\d+)? | eval_mc_samples
    | setups\.\w+\.epochs
    | setups\.\w+(\.methods|\.noise_overrides\.[\w.]+)\.\w+\.schedule\.(milestones\.\d+|warmup_epochs)
    | (figures|extras)\.\w+\.label_noise_mc_samples
    | (figures|extras)\.\w+\.runs\.\d+\.(seeds(\.\d+)?|methods\.\w+\.\w+(\.\d+)?)"""
)


def leaves(node, path=""):
    """Return path → value of all that is no mapping or list (or an empty one) in a scale's content."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else None
    if not pairs:
        return {path: node}
    return {key: leaf for name, value in pairs for key, leaf in leaves(value, f"{path}.{name}".strip(".")).items()}


def heir_of(folder, content, **others):
    """Write a scale 'mine' with this content beside a copy of paper.yaml and `others`; return its path."""
    folder.mkdir(exist_ok=True)
    if not (folder / "paper.yaml").exists():
        shutil.copy(ROOT / "config/paper.yaml", folder)
    for name, other in others.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(other))
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return folder / "mine.yaml"


def rehearsed(folder, *edits):
    """Return the rehearsal beside a copy of paper.yaml in which texts were replaced."""
    folder.mkdir(exist_ok=True)
    text = (ROOT / "config/paper.yaml").read_text()
    for old, new in edits:
        assert old in text, f"paper.yaml lacks {old!r}"
        text = text.replace(old, new)
    (folder / "paper.yaml").write_text(text)
    shutil.copy(ROOT / "config/rehearsal.yaml", folder)
    return plan.Plan("rehearsal", folder)


def test_nothing_but_what_is_documented_differs_from_the_papers_scale():
    paper, mine = leaves(PAPER.model_dump()), leaves(scales.load_scale(ROOT / "config/rehearsal.yaml").model_dump())
    differing = {key for key in paper.keys() | mine.keys() if paper.get(key, "absent") != mine.get(key, "absent")}
    assert {key for key in differing if not DOCUMENTED.fullmatch(key)} == set()
    assert {key.split(".")[0] for key in differing} == {
        *("label", "data_root", "data_variant", "seeds", "eval_mc_samples", "setups", "figures", "extras")
    }


def test_the_rehearsal_has_a_few_steps_one_seed_and_the_ends_of_each_grid():
    rehearsal = plan.Plan("rehearsal", ROOT / "config")
    assert {run.specification["seed"] for run in rehearsal.runs.values()} == {PAPER.seeds[0]}
    assert {run.specification["epochs"] for run in rehearsal.runs.values()} == {2}
    assert rehearsal.scale.figures.keys() == PAPER.figures.keys()
    for name, figure in rehearsal.scale.figures.items():
        for grid, whole in zip(figure.runs, PAPER.figures[name].runs, strict=True):
            for method, axes in grid.methods.items():
                for axis, values in axes.items():
                    full = whole.methods[method][axis]
                    assert values == (full if len(full) < 3 else (full[0], full[-1]))
    wanted = {
        (run.specification["dataset"]["name"], run.specification["model"]["name"], run.method, run.noise)
        for run in plan.Plan("paper", ROOT / "config").runs.values()
    }
    assert wanted == {
        (run.specification["dataset"]["name"], run.specification["model"]["name"], run.method, run.noise)
        for run in rehearsal.runs.values()
    }
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
    runs = [run.specification for run in after.runs.values() if run.setup == "cifar10"]
    assert {run["batch_size"] for run in runs} == {40}
    assert {run["evaluate_every"] for run in runs} == {1}
    assert {run["hyperparameters"]["hess_init"] for run in runs if run["method"] == "ivon"} == {0.02, 0.5, 2}
    assert after.figure("fig4").description["options"]["classes"] == [1, 2]
    assert after.scale.setups["cifar10"].methods["sam"]["batch_norm"] == "both_passes"


@pytest.mark.parametrize(
    ("epochs", "milestones", "warm_up"),
    [(2, (1, 2), 1), (3, (2, 3), 1), (40, (20, 30), 1), (41, (21, 31), 2), (200, (100, 150), 5), (999, (100, 150), 5)],
)
def test_schedules_shrink_with_the_epochs_to_whole_ones(tmp_path, epochs, milestones, warm_up):
    scale = scales.load_scale(heir_of(tmp_path, {**HEIR, "cut": {"epochs": epochs}}))
    setup = scale.setups["cifar10"]
    assert setup.epochs == min(epochs, 200)
    assert tuple(setup.methods["ls"]["schedule"]["milestones"]) == milestones
    assert setup.methods["ivon"]["schedule"]["warmup_epochs"] == warm_up
    assert setup.methods["ls"]["schedule"]["factor"] == 0.1


def test_a_schedule_of_one_noise_shrinks_too_and_no_warm_up_stays_none(tmp_path):
    base = yaml.load((ROOT / "config/paper.yaml").read_text(), Loader=scales.StrictLoader)
    base["setups"]["cifar100"]["noise_overrides"]["pair20"]["ivon"]["schedule"] = {
        "kind": "cosine",
        "warmup_epochs": 50,
    }
    base["setups"]["mnist"]["methods"]["ivon"]["schedule"] = {"kind": "cosine", "warmup_epochs": 0}
    scale = scales.load_scale(heir_of(tmp_path, {**HEIR, "inherits": "base", "cut": {"epochs": 8}}, base=base))
    assert scale.setups["cifar100"].noise_overrides["pair20"]["ivon"]["schedule"]["warmup_epochs"] == 2
    assert scale.setups["mnist"].methods["ivon"]["schedule"]["warmup_epochs"] == 0


LIMIT = st.none() | st.integers(min_value=1, max_value=250)


@settings(max_examples=30, deadline=None)
@given(
    cut=st.fixed_dictionaries(
        {
            "epochs": LIMIT,
            "seeds": LIMIT,
            "grids": st.sampled_from([None, "ends"]),
            "eval_mc_samples": LIMIT,
            "label_noise_mc_samples": LIMIT,
        }
    )
)
def test_every_cut_leaves_a_scale_that_can_be_planned(tmp_path_factory, cut):
    planned = plan.Plan("mine", heir_of(tmp_path_factory.mktemp("scales"), {**HEIR, "cut": cut}).parent)
    for run in planned.runs.values():
        specification = run.specification
        schedule = specification["hyperparameters"]["schedule"]
        assert specification["epochs"] <= (cut["epochs"] or 200)
        assert all(1 <= milestone <= specification["epochs"] for milestone in schedule.get("milestones", ()))
        assert schedule.get("warmup_epochs", 0) <= specification["epochs"]
        samples = min(cut["eval_mc_samples"] or 999, PAPER.eval_mc_samples)
        assert specification["eval_mc_samples"] == (samples if run.method == "ivon" else None)
        assert specification["seed"] in PAPER.seeds[: cut["seeds"]]
    if cut == dict.fromkeys(cut):
        assert planned.scale == PAPER.model_copy(update={"label": "mine"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {**HEIR, "lable": 1},
            r"in the top level: unknown key 'lable' \(did you mean 'label'\?\); legal: cut, data_root",
        ),
        (
            {**HEIR, "cut": {"epoch": 1}},
            r"in cut: unknown key 'epoch' \(did you mean 'epochs'\?\); legal: epochs, eval_mc_samples, grids",
        ),
        ({**HEIR, "setups": {}}, r"in the top level: unknown key 'setups'.*legal: cut"),
        ({"inherits": "paper"}, r"key 'label' is missing"),
        ({**HEIR, "label": None}, r"key 'label' is None: Input should be a valid string"),
        ({**HEIR, "label": ""}, r"key 'label' is ''"),
        ({**HEIR, "cut": {"epochs": 0}}, r"key 'cut\.epochs' is 0: Input should be greater than or equal to 1"),
        ({**HEIR, "cut": {"grids": "first"}}, r"key 'cut\.grids' is 'first': Input should be 'ends'"),
        (
            {**HEIR, "inherits": "papper"},
            r"inherits: unknown scale 'papper' \(did you mean 'paper'\?\); legal: .*paper",
        ),
        ({**HEIR, "inherits": None}, r"key 'inherits' is None"),
        ({**HEIR, "inherits": "mine"}, r"inherits from 'mine', which inherits itself; legal: a scale that stands"),
        ({**HEIR, "inherits": "middle"}, r"inherits from 'middle', which inherits itself"),
        ({**HEIR, "data_variant": "x"}, r"data_variant 'x' needs data_root"),
        ({**HEIR, "data_root": "x", "data_variant": "a b"}, r"key 'data_variant' is 'a b'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, content, sentence):
    path = heir_of(tmp_path, content, middle={**HEIR, "inherits": "mine"})
    with pytest.raises(UserError, match=sentence) as caught:
        scales.load_scale(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_mistake_in_the_other_scale_names_that_scale(tmp_path):
    path = heir_of(tmp_path, {**HEIR, "inherits": "base"}, base={"label": None})
    with pytest.raises(UserError, match=rf"^{tmp_path}/base\.yaml: key '\w+' is missing"):
        scales.load_scale(path)


def test_the_modules_own_keys_are_all_documented_where_a_user_reads():
    text = (ROOT / "config/rehearsal.yaml").read_text().split("\ninherits:")[0]
    keys = {*inherit.Inheriting.model_fields, *inherit.Cut.model_fields}
    assert {key for key in keys if not re.search(rf"^# +{key}\b", text, re.MULTILINE)} == set()


# The archives


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """Return a folder with the tiny MNIST and CIFAR archives."""
    root = tmp_path_factory.mktemp("archives")
    for write in (formats.write_mnist, formats.write_cifar10, formats.write_cifar100):
        write(root)
    return root


def test_torchvisions_reader_of_idx_files_reads_ours(archives):
    data = archives / "MNIST/raw"
    for part, size in (("train", 150), ("t10k", 20)):
        for kind, shape in (("images-idx3", (size, 28, 28)), ("labels-idx1", (size,))):
            packed = data / f"{part}-{kind}-ubyte.gz"
            unpacked = torchvision.datasets.utils._decompress(str(packed), str(archives / packed.stem))
            read = torchvision.datasets.mnist.read_sn3_pascalvincent_tensor(unpacked)
            assert read.shape == shape
            assert read.dtype == torch.uint8


@pytest.mark.parametrize(("name", "classes", "size"), [("CIFAR10", 10, 30), ("CIFAR100", 100, 54)])
def test_torchvisions_own_classes_read_our_cifar(archives, tmp_path, monkeypatch, name, classes, size):
    # torchvision's md5 sums are those of the published files
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    dataset_class = getattr(torchvision.datasets, name)
    with tarfile.open(archives / dataset_class.filename) as archive:
        archive.extractall(tmp_path, filter="data")
    listed = [file for file, _ in dataset_class.train_list + dataset_class.test_list]
    files = {path.name for path in (tmp_path / dataset_class.base_folder).iterdir()}
    assert files == {*listed, dataset_class.meta["filename"]}
    train, test = (dataset_class(tmp_path, train=part) for part in (True, False))
    assert train.data.shape == (size, 32, 32, 3)
    assert len(test) == 20
    assert len(train.classes) == classes
    labels = formats.labels_of(size, classes, 0)
    assert train.targets == labels.tolist()
    if classes == 100:
        expected = formats.pictures(labels, 100, (3, 32, 32), 0)
        np.testing.assert_array_equal(train.data, expected.transpose(0, 2, 3, 1))


def test_python_2_pickles_hold_what_was_given():
    given = {"text": "", "list": [1, 300, 70000, -1], "array": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    pickled = formats.python2_pickle(given)
    assert b"numpy.core.multiarray" in pickled
    assert b"_codecs" not in pickled  # how Python 3 writes bytes for protocol 2
    read = formats.pickle.loads(pickled, encoding="latin1")
    np.testing.assert_array_equal(read.pop("array"), given.pop("array"))
    assert read == given
    assert set(formats.pickle.loads(pickled, encoding="bytes")) == {b"text", b"list", b"array"}


def test_a_class_can_be_seen_in_its_images():
    """Images of one class are nearer to each other than to other classes' (or training on them would show nothing)."""
    labels = np.repeat(np.arange(10), 4)
    images = formats.pictures(labels, 10, (3, 32, 32), 0).reshape(40, -1).astype(float)
    distances = np.linalg.norm(images[:, None] - images[None], axis=2) + 1e9 * np.eye(40)
    assert (labels[distances.argmin(axis=1)] == labels).all()


def test_archives_are_the_same_bytes_every_time_and_are_left_alone_where_they_are(archives, tmp_path):
    script = "import sys; import formats; from pathlib import Path; formats.write_cifar10(Path(sys.argv[1]))"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT / "tests", check=False)
        assert done.returncode == 0
        (tmp_path / "stamp").touch()
    name = "cifar-10-python.tar.gz"
    assert (tmp_path / name).read_bytes() == (archives / name).read_bytes()
    (tmp_path / name).write_bytes(b"the user's")
    formats.write_cifar10(tmp_path)
    assert (tmp_path / name).read_bytes() == b"the user's"


def test_every_dataset_of_the_rehearsal_has_a_writer_and_a_scale_of_published_data_has_none(tmp_path):
    rehearsal = plan.Plan("rehearsal", ROOT / "config")
    assert {dataset.name for dataset in rehearsal.scale.datasets.values()} <= write_rehearsal_data.WRITERS.keys()
    with pytest.raises(UserError, match=r"mine\.yaml: has no data_variant"):
        write_rehearsal_data.write(PAPER, "mine.yaml")
    base = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=scales.StrictLoader)
    mine = {**HEIR, "inherits": "base", "data_root": str(tmp_path / "data"), "data_variant": "x"}
    scale = scales.load_scale(heir_of(tmp_path, mine, base=base))
    with pytest.raises(UserError, match=r"unknown dataset with tiny archives 'digit.*legal: .*mnist"):
        write_rehearsal_data.write(scale, "mine.yaml")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_the_weights_lie_where_they_are_looked_for_and_fit_the_network(tmp_path):
    formats.write_resnet50_weights(tmp_path, "IMAGENET1K_V1")
    (file,) = (tmp_path / "weights").iterdir()
    assert file.name == Path(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url).name
    state = torch.load(file, weights_only=True)
    torchvision.models.resnet50(weights=None).load_state_dict(state)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_the_rehearsal_draws_in_a_folder_of_its_own():
    assert paths.figure_files("rehearsal", "fig7")[0] == "paper_figures/rehearsal/fig7.pdf"
