"""The paper's datasets from small files in their true formats, through torchvision's own readers."""

import pickle
import struct

import numpy as np
import pytest
import torchvision.datasets

from adaptive_smoothing import datasets
from adaptive_smoothing.datasets import cifar10, cifar100, mnist
from adaptive_smoothing.errors import UserError


def write_idx(path, array):
    """Write MNIST's format: magic number with the number of dimensions, sizes, bytes."""
    header = struct.pack(">I", 0x0800 + array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def test_mnist_from_idx_files(tmp_path):
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    made = {}
    for part, size in (("train", 12), ("t10k", 7)):
        images = generator.integers(0, 256, (size, 28, 28)).astype(np.uint8)
        labels = generator.integers(0, 10, size).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
        made[part] = (images, labels)
    arrays = mnist.make(mnist.Options(), 0, tmp_path)
    np.testing.assert_array_equal(arrays.train_images[:, 0], made["train"][0])
    np.testing.assert_array_equal(arrays.test_labels, made["t10k"][1])
    assert arrays.train_images.shape == (12, 1, 28, 28)
    assert arrays.train_labels.dtype == np.int64


def write_cifar(folder, names, key, sizes, meta):
    """Write CIFAR's format: pickled dictionaries of N × 3072 bytes (red, green, blue planes) and label lists."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    made = []
    for name, size in zip(names, sizes, strict=True):
        data = generator.integers(0, 256, (size, 3072)).astype(np.uint8)
        labels = generator.integers(0, 10, size).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": data, key: labels}))
        made.append((data.reshape(-1, 3, 32, 32), labels))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: [f"class{label}" for label in range(10)]}))
    return made


@pytest.mark.parametrize(
    ("module", "folder", "names", "key", "meta"),
    [
        (
            cifar10,
            "cifar-10-batches-py",
            [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"],
            "labels",
            ("batches.meta", "label_names"),
        ),
        (cifar100, "cifar-100-python", ["train", "test"], "fine_labels", ("meta", "fine_label_names")),
    ],
)
def test_cifar_from_pickled_batches(tmp_path, monkeypatch, module, folder, names, key, meta):
    # torchvision's md5 sums are those of the full files
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    made = write_cifar(tmp_path / folder, names, key, range(2, 2 + len(names)), meta)
    arrays = module.make(module.Options(), 0, tmp_path)
    np.testing.assert_array_equal(arrays.train_images, np.concatenate([images for images, _ in made[:-1]]))
    np.testing.assert_array_equal(arrays.test_images, made[-1][0])
    assert arrays.test_labels.tolist() == made[-1][1]
    assert arrays.classes[3] == "class3"
    datasets._check(arrays, module.__name__)


def test_what_cannot_be_downloaded_is_one_sentence_that_says_where_files_may_lie(tmp_path, monkeypatch):
    def no_network(self):
        raise RuntimeError("Error downloading cifar-10-python.tar.gz")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", no_network)
    with pytest.raises(
        UserError, match=rf"dataset CIFAR10: cannot be downloaded .* put torchvision's files .* {tmp_path}"
    ):
        cifar10.make(cifar10.Options(), 0, tmp_path)
