"""The paper's datasets and Fashion-MNIST from small files in their true formats, through torchvision's own readers."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision.datasets

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare
from adaptive_smoothing.data.datasets import cifar10, cifar100, fashion_mnist, fashion_pairs, fashion_weak, mnist
from adaptive_smoothing.data.types import Source
from adaptive_smoothing.pipeline.commands.smoke import formats

PARTS = (("train", 103), ("t10k", 47))


def write_mnist(folder, parts):
    """Write part → (images, labels) as MNIST's four files, unpacked."""
    folder.mkdir(parents=True)
    for part, (images, labels) in parts.items():
        (folder / f"{part}-images-idx3-ubyte").write_bytes(formats.idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(formats.idx(labels))


def random_parts():
    """Return part → (images, labels) of random bytes; every class is there, class 0 three times as often as others."""
    generator = np.random.default_rng(0)
    labels_of = {
        part: (np.arange(size) % 12 % 10 * (np.arange(size) % 12 < 10)).astype(np.uint8) for part, size in PARTS
    }
    return {
        part: (generator.integers(0, 256, (len(labels), 28, 28)).astype(np.uint8), generator.permutation(labels))
        for part, labels in labels_of.items()
    }


@pytest.fixture
def fashion(tmp_path):
    """Return where a small Fashion-MNIST lies, and its part → (images, labels)."""
    made = random_parts()
    write_mnist(tmp_path / "FashionMNIST/raw", made)
    return Source(tmp_path, fetch=False, published=False), made


def rows(images):
    return {np.ascontiguousarray(image).tobytes() for image in images}


@pytest.mark.parametrize(("module", "folder"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_published_idx_files_come_out_untouched(tmp_path, module, folder):
    made = random_parts()
    write_mnist(tmp_path / folder / "raw", made)
    arrays = module.make(module.Options(), 0, Source(tmp_path, fetch=False, published=False))
    np.testing.assert_array_equal(arrays.train_images[:, 0], made["train"][0])
    np.testing.assert_array_equal(arrays.train_labels, made["train"][1])
    np.testing.assert_array_equal(arrays.test_images[:, 0], made["t10k"][0])
    np.testing.assert_array_equal(arrays.test_labels, made["t10k"][1])
    assert arrays.train_images.shape == (103, 1, 28, 28)
    assert arrays.train_labels.dtype == np.int64
    assert len(arrays.classes) == module.CLASSES
    prepare.check(arrays, folder)


def test_gzipped_files_of_the_right_md5_are_unpacked(tmp_path, monkeypatch):
    formats.write_mnist(tmp_path, folder="FashionMNIST")
    files = sorted((tmp_path / "FashionMNIST/raw").iterdir())
    resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in files]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    arrays = fashion_mnist.make(fashion_mnist.Options(), 0, Source(tmp_path, fetch=False))
    labels = formats.labels_of(20, 10, 1)
    np.testing.assert_array_equal(arrays.test_labels, labels)
    np.testing.assert_array_equal(arrays.test_images, formats.pictures(labels, 10, (1, 28, 28), 1))


@pytest.mark.parametrize("size", [1, 13, 50, 102, 103])
def test_a_subset_keeps_the_classes_proportions_and_depends_on_the_data_seed(fashion, size):
    source, _ = fashion
    full = fashion_mnist.make(fashion_mnist.Options(), 0, source)
    options = fashion_mnist.Options(train_size=size)
    part, again, other = (fashion_mnist.make(options, seed, source) for seed in (0, 0, 1))
    counts = np.bincount(part.train_labels, minlength=10)
    assert counts.sum() == size == len(rows(part.train_images)), "no image twice"
    assert np.abs(counts - np.bincount(full.train_labels) * size / 103).max() < 1
    label_of = {image.tobytes(): label for image, label in zip(full.train_images, full.train_labels, strict=True)}
    assert [label_of[image.tobytes()] for image in part.train_images] == part.train_labels.tolist()
    np.testing.assert_array_equal(part.train_images, again.train_images)
    assert np.array_equal(part.train_images, other.train_images) == (size == 103)
    np.testing.assert_array_equal(part.test_images, full.test_images)
    np.testing.assert_array_equal(part.train_clean_labels, part.train_labels)


def test_another_test_size_leaves_the_training_subset_alone(fashion):
    source, _ = fashion
    first, other = (
        fashion_mnist.make(fashion_mnist.Options(train_size=40, test_size=size), 0, source) for size in (20, 30)
    )
    np.testing.assert_array_equal(first.train_images, other.train_images)
    assert (len(first.test_labels), len(other.test_labels)) == (20, 30)


@pytest.mark.parametrize("pixels", [1, 7, 14, 28])
def test_downscaling_to_a_divisor_is_the_block_mean(fashion, pixels):
    source, made = fashion
    arrays = fashion_mnist.make(fashion_mnist.Options(pixels=pixels), 0, source)
    block = 28 // pixels
    for images, part in ((arrays.train_images, "train"), (arrays.test_images, "t10k")):
        means = made[part][0].reshape(-1, pixels, block, pixels, block).mean(axis=(2, 4))
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images[:, 0], np.rint(means))
        by_torch = torch.nn.functional.interpolate(
            torch.from_numpy(made[part][0])[:, None].double(), pixels, mode="area"
        )
        np.testing.assert_array_equal(images, by_torch.round().numpy())


def test_downscaling_to_any_size_weighs_by_area(fashion):
    source, made = fashion
    small = fashion_mnist.make(fashion_mnist.Options(pixels=20), 0, source).train_images[:, 0]
    big = made["train"][0].astype(float)
    # a new pixel is 1.4 old ones wide: the first covers the old 0 wholly and 0.4 of the old 1, in both directions
    corner = (big[:, 0, 0] + 0.4 * (big[:, 0, 1] + big[:, 1, 0]) + 0.16 * big[:, 1, 1]) / 1.4**2
    assert np.abs(small[:, 0, 0] - corner).max() <= 0.5 + 1e-9
    assert np.abs(small.mean(axis=(1, 2)) - big.mean(axis=(1, 2))).max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"train_size": 104},
            "dataset fashion_mnist: train_size is 104, but there are only 103 images; legal: 1 … 103",
        ),
        ({"test_size": 48}, "dataset fashion_mnist: test_size is 48, but there are only 47 images; legal: 1 … 47"),
        ({"pixels": 29}, "dataset fashion_mnist: pixels is 29, but the images are 28 × 28; legal: 1 … 28"),
    ],
)
def test_more_than_was_published_is_refused_in_a_sentence(fashion, options, message):
    with pytest.raises(UserError) as refused:
        fashion_mnist.make(fashion_mnist.Options(**options), 0, fashion[0])
    assert str(refused.value) == message


def test_fashion_pairs_never_cross_train_and_test(fashion):
    source, _ = fashion
    options = fashion_pairs.Options(train_per_class=3, test_per_class=2, pixels=14)
    pairs, again, other = (fashion_pairs.make(options, seed, source) for seed in (0, 0, 1))
    np.testing.assert_array_equal(pairs.train_images, again.train_images)
    assert not np.array_equal(pairs.train_images, other.train_images)
    single = fashion_mnist.make(fashion_mnist.Options(pixels=14), 0, source)
    assert not rows(single.train_images) & rows(single.test_images)
    for images, labels, pool, pool_labels, per_class in (
        (pairs.train_images, pairs.train_labels, single.train_images, single.train_labels, 3),
        (pairs.test_images, pairs.test_labels, single.test_images, single.test_labels, 2),
    ):
        assert images.shape == (100 * per_class, 1, 14, 28)
        assert np.bincount(labels).tolist() == [per_class] * 100
        label_of = {image.tobytes(): label for image, label in zip(pool, pool_labels, strict=True)}
        for image, label in zip(images, labels, strict=True):
            left, right = (np.ascontiguousarray(half).tobytes() for half in (image[:, :, :14], image[:, :, 14:]))
            assert 10 * label_of[left] + label_of[right] == label
    prepare.check(pairs, "fashion_pairs")


def test_a_class_without_images_cannot_be_paired(tmp_path):
    made = random_parts()
    images, labels = made["t10k"]
    made["t10k"] = (images[labels != 4], labels[labels != 4])
    write_mnist(tmp_path / "FashionMNIST/raw", made)
    with pytest.raises(UserError, match="dataset fashion_pairs: class 4 has no image to pair"):
        fashion_pairs.make(
            fashion_pairs.Options(train_per_class=1, test_per_class=1),
            0,
            Source(tmp_path, fetch=False, published=False),
        )


@pytest.fixture
def greys(tmp_path):
    """Return the source of a Fashion-MNIST whose classes overlap: grey images of 80 + 8 × class, ± 7, with noise."""
    generator = np.random.default_rng(1)
    made = {}
    for part, size in (("train", 400), ("t10k", 50)):
        labels = (np.arange(size) % 10).astype(np.uint8)
        bright = 80 + 8 * labels[:, None, None] + 7 * generator.standard_normal((size, 1, 1))
        noise = generator.standard_normal((size, 28, 28))
        made[part] = (np.clip(bright + noise, 0, 255).astype(np.uint8), labels)
    write_mnist(tmp_path / "FashionMNIST/raw", made)
    return Source(tmp_path, fetch=False, published=False)


def test_fashion_weak_mislabels_training_images_alone(greys):
    options = fashion_weak.Options(train_size=300, test_size=40, pixels=14, annotator_images=20)
    weak, again = (fashion_weak.make(options, 0, greys) for _ in range(2))
    clean = fashion_mnist.make(fashion_mnist.Options(train_size=300, test_size=40, pixels=14), 0, greys)
    rate = (weak.train_labels != weak.train_clean_labels).mean()
    assert 0.2 <= rate <= 0.4
    assert f"{rate:.1%} wrong" in weak.source
    np.testing.assert_array_equal(weak.train_labels, again.train_labels)
    np.testing.assert_array_equal(weak.train_clean_labels, clean.train_labels)
    np.testing.assert_array_equal(weak.train_images, clean.train_images)
    np.testing.assert_array_equal(weak.test_labels, clean.test_labels)
    assert weak.train_images.shape == (300, 1, 14, 14)
    # the annotator sees the image: it takes a class for a neighbour in brightness, hardly ever for one far away
    wrong = weak.train_labels != weak.train_clean_labels
    assert np.abs(weak.train_labels - weak.train_clean_labels)[wrong].mean() < 2


def test_a_fashion_annotator_that_saw_too_much_or_asks_too_much_is_refused(greys):
    with pytest.raises(UserError, match=r"dataset fashion_weak: an annotator with 40 images a class .* errs on 0%"):
        fashion_weak.make(fashion_weak.Options(annotator_images=40), 0, greys)
    with pytest.raises(
        UserError, match="fashion_weak: annotator_images is 41, but a class has only 40 training images"
    ):
        fashion_weak.make(fashion_weak.Options(annotator_images=41), 0, greys)


@pytest.mark.parametrize(
    ("module", "write", "third_class"),
    [(cifar10, formats.write_cifar10, "cat"), (cifar100, formats.write_cifar100, "fine_3")],
    ids=["cifar10", "cifar100"],
)
def test_cifar_comes_out_untouched_or_smaller(tmp_path, module, write, third_class):
    write(tmp_path, train=110, test=20)
    arrays, small = (
        module.make(options, 0, Source(tmp_path, fetch=False, published=False))
        for options in (module.Options(), module.Options(train_size=1, pixels=8))
    )
    prepare.check(arrays, module.__name__)
    for images, given, size, seed in (
        (arrays.train_images, arrays.train_labels, 110, 0),
        (arrays.test_images, arrays.test_labels, 20, 1),
    ):
        labels = formats.labels_of(size, module.CLASSES, seed)
        np.testing.assert_array_equal(given, labels)
        np.testing.assert_array_equal(images, formats.pictures(labels, module.CLASSES, (3, 32, 32), seed))
    assert arrays.classes[3] == third_class
    assert small.train_images.shape == (1, 3, 8, 8)
    blocks = arrays.test_images.reshape(-1, 3, 8, 4, 8, 4).mean(axis=(3, 5))
    np.testing.assert_array_equal(small.test_images, np.rint(blocks))
