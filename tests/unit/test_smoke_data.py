"""The tiny archives that the rehearsal reads: other readers of the true formats read them, too."""

import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
import torchvision.models

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, scale_files
from adaptive_smoothing.pipeline.commands.smoke import archives as tiny_archives
from adaptive_smoothing.pipeline.commands.smoke import formats, python2_pickle

ROOT = Path(__file__).parents[2]


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
    pickled = python2_pickle.dumps(given)
    assert b"numpy.core.multiarray" in pickled
    assert b"_codecs" not in pickled  # how Python 3 writes bytes for protocol 2
    read = pickle.loads(pickled, encoding="latin1")
    np.testing.assert_array_equal(read.pop("array"), given.pop("array"))
    assert read == given
    assert set(pickle.loads(pickled, encoding="bytes")) == {b"text", b"list", b"array"}


def test_a_class_can_be_seen_in_its_images():
    """Images of one class are nearer to each other than to other classes' (or training on them would show nothing)."""
    labels = np.repeat(np.arange(10), 4)
    images = formats.pictures(labels, 10, (3, 32, 32), 0).reshape(40, -1).astype(float)
    distances = np.linalg.norm(images[:, None] - images[None], axis=2) + 1e9 * np.eye(40)
    assert (labels[distances.argmin(axis=1)] == labels).all()


def test_archives_are_the_same_bytes_every_time_and_are_left_alone_where_they_are(archives, tmp_path):
    module = formats.__name__
    script = f"import sys; from pathlib import Path; import {module} as m; m.write_cifar10(Path(sys.argv[1]))"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
        assert done.returncode == 0
        (tmp_path / "stamp").touch()
    name = "cifar-10-python.tar.gz"
    assert (tmp_path / name).read_bytes() == (archives / name).read_bytes()
    (tmp_path / name).write_bytes(b"the user's")
    formats.write_cifar10(tmp_path)
    assert (tmp_path / name).read_bytes() == b"the user's"


def test_every_dataset_of_the_rehearsal_has_a_writer():
    rehearsal = plan.Plan("rehearsal", ROOT / "config")
    assert {dataset.name for dataset in rehearsal.scale.datasets.values()} <= tiny_archives.WRITERS.keys()


def test_nothing_is_written_for_published_data_or_for_a_dataset_without_a_writer(tmp_path):
    with pytest.raises(UserError, match=r"mine\.yaml: has no data_root and data_variant"):
        tiny_archives.write(scale_files.load_scale(ROOT / "config/paper.yaml"), "mine.yaml")
    small = scale_files.load_scale(ROOT / "config/small.yaml")
    scale = small.model_copy(update={"data_root": str(tmp_path / "data"), "data_variant": "x"})
    mnist = small.datasets["digits"].model_copy(update={"name": "mnist"})
    scale = scale.model_copy(update={"datasets": {"mnist": mnist, **small.datasets}})  # one writer is there
    with pytest.raises(UserError, match=r"unknown dataset with tiny archives 'digit.*legal: .*mnist"):
        tiny_archives.write(scale, "mine.yaml")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_the_weights_lie_where_they_are_looked_for_and_fit_the_network(tmp_path):
    formats.write_resnet50_weights(tmp_path, "IMAGENET1K_V1")
    (file,) = (tmp_path / "weights").iterdir()
    assert file.name == Path(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url).name
    state = torch.load(file, weights_only=True)
    torchvision.models.resnet50(weights=None).load_state_dict(state)
    assert all(torch.isfinite(value).all() for value in state.values())
