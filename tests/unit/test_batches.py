"""Batches: order and augmentation as functions of (seed, epoch), against torchvision's own transforms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import NOWHERE
from torchvision.transforms import functional as reference

from adaptive_smoothing.data import prepare, storage
from adaptive_smoothing.training import augment, batches
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources import memory

MEAN, STD = np.array([0.5, 0.4, 0.3], dtype=np.float32), np.array([0.2, 0.3, 0.4], dtype=np.float32)
NORMALISE = Normalisation(MEAN, STD, torch.device("cpu"), channels_last=False)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (37, 3, 8, 6)).astype(np.uint8)


@pytest.fixture
def source(images):
    return memory.MemoryBatches(images, NORMALISE)


def epoch(source, augment, seed=0, number=0):
    parts = list(source.shuffled(10, augment, seed, number))
    return torch.cat([part for part, _ in parts]), torch.cat([indices for _, indices in parts])


def test_an_epoch_is_a_permutation_that_seed_and_epoch_determine(source):
    _, order = epoch(source, [])
    assert sorted(order.tolist()) == list(range(37))
    assert torch.equal(order, epoch(source, [])[1])
    others = [epoch(source, [], seed, number)[1] for seed, number in ((0, 1), (1, 0), (1, 1))]
    assert len({tuple(other.tolist()) for other in [order, *others]}) == 4


def test_normalisation_equals_torchvisions(source, images):
    expected = torch.stack(
        [reference.normalize(torch.from_numpy(image).float() / 255, MEAN.tolist(), STD.tolist()) for image in images]
    )
    torch.testing.assert_close(torch.cat(list(source.in_order(5))), expected)


def test_channels_last_changes_the_layout_alone(source, images):
    other = memory.MemoryBatches(images, Normalisation(MEAN, STD, torch.device("cpu"), True))
    for left, right in zip(source.in_order(), other.in_order(), strict=True):
        assert torch.equal(left, right)
        assert right.is_contiguous(memory_format=torch.channels_last)


def test_crops_equal_torchvisions_pad_and_crop(images):
    tensor = torch.from_numpy(images)
    offsets = torch.randint(0, 9, (37, 2), generator=torch.Generator().manual_seed(0))
    found = augment.crop(tensor, offsets)
    for image, result, (top, left) in zip(tensor, found, offsets.tolist(), strict=True):
        assert torch.equal(result, reference.crop(reference.pad(image, [4]), top, left, 8, 6))


def test_flips_equal_torchvisions(images):
    tensor = torch.from_numpy(images)
    flips = torch.arange(37) % 2 == 0
    found = augment.flip(tensor, flips)
    for image, result, flip in zip(tensor, found, flips.tolist(), strict=True):
        assert torch.equal(result, reference.hflip(image) if flip else image)


def test_augmentation_draws_every_offset_and_flips_half(images):
    many = memory.MemoryBatches(np.repeat(images[:1], 4000, axis=0), NORMALISE)
    draws = augment.EpochDraws(len(many), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.unique(draws.offsets).tolist() == list(range(9))
    assert 0.45 < draws.flips.float().mean() < 0.55
    augmented, _ = epoch(many, ["crop", "flip"])
    assert len(torch.unique(augmented, dim=0)) > 100


def test_augmentation_is_the_examples_own_whatever_the_batch_size(source):
    by_index = []
    for size in (10, 37):
        parts = list(source.shuffled(size, ["crop", "flip"], 3, 4))
        order = torch.cat([indices for _, indices in parts])
        by_index.append(torch.cat([part for part, _ in parts])[order.argsort()])
    assert torch.equal(*by_index)


def test_chosen_rows_are_those_images_in_that_order(source, images):
    rows = np.array([30, 2, 7])
    chosen = memory.MemoryBatches(images, NORMALISE, rows)
    assert len(chosen) == 3
    assert torch.equal(torch.cat(list(chosen.in_order(2))), torch.cat(list(source.in_order()))[rows])
    found, order = epoch(chosen, [])
    assert torch.equal(found[order.argsort()], torch.cat(list(chosen.in_order())))


def test_on_the_cpu_a_dataset_stays_the_memory_mapped_file(tmp_path, files_in):
    """Two jobs on one machine share its pages: nothing of the mapping is the process's own, whatever was read."""
    files = files_in(tmp_path / "digits")
    prepare.prepare("digits", {"test_size": 400}, 0, files, None, NOWHERE)
    prepared = storage.open_prepared(tmp_path / "digits")
    rows = np.arange(0, 1000, 2)
    opened = batches.open_source(prepared, "train", rows, torch.device("cpu"), False, 0, Path())
    for images, _ in opened.shuffled(50, ["crop", "flip"], 0, 0):
        images += 1  # as a network in place would
    kilobytes = mapped(files["train_images.npy"])
    assert opened.images.data_ptr() == prepared.arrays.train_images.ctypes.data
    assert kilobytes["Rss"] > 40 and kilobytes["Private_Dirty"] == 0 and kilobytes["Anonymous"] == 0


def mapped(file):
    """Return what Linux says of this process's mapping of a file, in kB."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("needs Linux's /proc/self/smaps")
    found, inside = {}, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            inside = line.endswith(str(Path(file).resolve()))
        elif inside:
            name, value = line.split(":")
            found[name] = found.get(name, 0) + int(value.split()[0]) if value.split()[0].isdigit() else 0
    return found
