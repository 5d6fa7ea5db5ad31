"""What every registered dataset must do. Downloads are replaced by tiny files in the published formats."""

import inspect
from pathlib import Path
from typing import Any

import generated
import image_folders
import numpy as np
import pytest

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare
from adaptive_smoothing.data.types import UNKNOWN, Arrays, Source
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands.smoke import formats

CONFIG = Path(__file__).parents[2] / "config"
COUNTS = (20, 200)  # sizes that options with a number of images are given, in this order


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder of tiny downloads, and of images in the folder that a generated option names."""
    folder = tmp_path_factory.mktemp("downloads")
    formats.write_mnist(folder)
    formats.write_mnist(folder, folder="FashionMNIST")
    formats.write_cifar10(folder)
    formats.write_cifar100(folder)
    formats.write_clothing1m(folder, train=14, test=14)
    image_folders.write_image_folder(folder, "word")
    return folder


def candidates(name: str) -> list[dict[str, Any]]:
    """Return sets of options: generated ones, then those of the scales."""
    plans = [plan.Plan(scale, CONFIG).scale for scale in plan.scale_names(CONFIG)]
    used = [dataset.options for scale in plans for dataset in scale.datasets.values() if dataset.name == name]
    return [*(one for count in COUNTS for one in generated.options("dataset", name, count=count)), *used]


def made(name: str, root: Path, data_seed: int = 0) -> Arrays:
    """Return the dataset with the first options that it accepts; skip the test if it refuses them all."""
    module, refusals = registry.load("dataset", name), []
    for options in candidates(name):
        try:
            arrays: Arrays = module.make(module.Options(**options), data_seed, Source(root, (), False, published=False))
            return arrays
        except UserError as error:
            refusals.append(str(error))
    pytest.skip(f"no options that can be tried: {'; '.join(dict.fromkeys(refusals))}")


@pytest.mark.parametrize("name", registry.names("dataset"))
def test_it_says_how_it_is_made(name):
    module = registry.load("dataset", name)
    assert list(inspect.signature(module.make).parameters) == ["options", "data_seed", "source"]


@pytest.mark.parametrize("name", registry.names("dataset"))
def test_its_images_and_labels_are_what_its_file_declares(name, root):
    arrays = made(name, root)
    prepare.check(arrays, name)
    classes = registry.constant("dataset", name, "CLASSES")
    assert classes is None or len(arrays.classes) == classes
    known = arrays.train_clean_labels[arrays.train_clean_labels != UNKNOWN]
    for labels in (arrays.train_labels, arrays.test_labels, known):
        assert labels.min(initial=0) >= 0 and labels.max(initial=0) < len(arrays.classes)
    assert arrays.image_source == (registry.constant("dataset", name, "IMAGES") or "memory")


@pytest.mark.parametrize("name", registry.names("dataset"))
def test_its_data_seed_alone_decides(name, root):
    one, again = made(name, root), made(name, root)
    for array in ("train_images", "train_labels", "train_clean_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(one, array), getattr(again, array))
