"""Whether a user's own files changed: names and bytes count, times do not, and unchanged files are not read again."""

import json
import os

import image_folders
import pytest

from adaptive_smoothing.data import storage
from adaptive_smoothing.pipeline import own_files, plan
from adaptive_smoothing.pipeline.commands.smoke import formats

OPTIONS = {"folder": "own", "height": 8, "width": 8, "mode": "grey"}
IMAGE = "own/train/boot/0000.jpg"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_folders.write_image_folder(tmp_path)
    return tmp_path


def content(root):
    return own_files.content_of_dataset("image_folder", OPTIONS, root, "prepared")


def add(root):
    (root / "own/train/boot/9999.jpg").write_bytes(b"x")


def edit(root):
    path = root / IMAGE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # the same size
    state = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # and the same time


@pytest.mark.parametrize(
    "change",
    [
        add,
        edit,
        lambda root: (root / IMAGE).unlink(),
        lambda root: (root / IMAGE).rename(root / "own/train/coat/moved.jpg"),
        lambda root: (root / "own/test/boot").rename(root / "own/test/boots"),
    ],
)
def test_changed_files_change_it(root, change):
    before = content(root)
    change(root)
    assert content(root) != before


def test_other_times_and_files_that_are_no_images_change_nothing(root):
    before = content(root)
    os.utime(root / IMAGE)
    (root / "own/train/boot/Thumbs.db").write_bytes(b"x")
    assert content(root) == before


def test_files_are_read_once(root, monkeypatch):
    before = content(root)
    monkeypatch.setattr(own_files, "_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert content(root) == before


@pytest.mark.parametrize("damage", ["", "[]", '{"train/boot/0000.jpg": 1}'])
def test_a_damaged_memory_is_made_anew(root, damage):
    before = content(root)
    (cache,) = own_files.KNOWN.iterdir()
    cache.write_text(damage)
    assert content(root) == before
    assert json.loads(cache.read_text())[IMAGE.removeprefix("own/")]


def test_where_the_files_are_gone_the_prepared_folder_says_what_they_were(root):
    before = content(root)
    (root / "own").rename(root / "archived")
    assert content(root) == "not there"
    (root / "data/prepared").mkdir(parents=True)
    (root / "data/prepared/meta.json").write_text(json.dumps({storage.OWN_CONTENT: before}))
    assert content(root) == before


def test_the_lists_of_clothing1m_count_and_published_data_have_no_own_files(root):
    formats.write_clothing1m(root)
    options = {"resize": 40, "crop": 32, "unusable": "refuse"}
    before = own_files.content_of_dataset("clothing1m", options, root, "prepared")
    with (root / "clothing1m/noisy_label_kv.txt").open("a") as file:
        file.write("images/0/x.jpg 3\n")
    assert own_files.content_of_dataset("clothing1m", options, root, "prepared") != before
    assert own_files.content_of_dataset("cifar10", {}, root, "prepared") is None


def test_planning_hands_it_to_the_rule_and_to_it_alone(root, monkeypatch):
    dataset = {"name": "image_folder", "options": OPTIONS, "validation": 0}
    digits = {"name": "digits", "options": {"test_size": 997}, "validation": 0}
    figure = {"title": "x", "options": {"variances": [1], "largest_mean": 1, "points": 3}}
    scale = {"label": "x", "data_seed": 0, "noise_seed": 0, "seeds": [0], "eval_mc_samples": 1, "noises": {}}
    scale |= {"datasets": {"own": dataset, "digits": digits}, "setups": {}, "figures": {"fig2": figure}}
    (root / "config").mkdir()
    (root / "config/mine.yaml").write_text(json.dumps({**scale, "data_root": str(root)}))
    plan.load.cache_clear()
    folders = plan.load("mine").sources()
    (own,) = [folder for folder in folders if folder.startswith("image_folder")]
    (other,) = [folder for folder in folders if folder.startswith("digits")]
    assert plan.dataset_source(own) == {**folders[own], "content": content(root)}
    assert plan.dataset_source(other) == folders[other]
    plan.load.cache_clear()
