"""Batches: order and augmentation as functions of (seed, epoch), against torchvision's own transforms."""

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from adaptive_smoothing import batches

MEAN, STD = np.array([0.5, 0.4, 0.3], dtype=np.float32), np.array([0.2, 0.3, 0.4], dtype=np.float32)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (37, 3, 8, 6)).astype(np.uint8)


@pytest.fixture
def source(images):
    return batches.ImageBatches(images, MEAN, STD, torch.device("cpu"))


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
    other = batches.ImageBatches(images, MEAN, STD, torch.device("cpu"), channels_last=True)
    for left, right in zip(source.in_order(), other.in_order(), strict=True):
        assert torch.equal(left, right)
        assert right.is_contiguous(memory_format=torch.channels_last)


def test_crops_equal_torchvisions_pad_and_crop(images):
    tensor = torch.from_numpy(images)
    offsets = torch.randint(0, 9, (37, 2), generator=torch.Generator().manual_seed(0))
    found = batches.cropped(tensor, offsets)
    for image, result, (top, left) in zip(tensor, found, offsets.tolist(), strict=True):
        assert torch.equal(result, reference.crop(reference.pad(image, [4]), top, left, 8, 6))


def test_flips_equal_torchvisions(images):
    tensor = torch.from_numpy(images)
    flips = torch.arange(37) % 2 == 0
    found = batches.flipped(tensor, flips)
    for image, result, flip in zip(tensor, found, flips.tolist(), strict=True):
        assert torch.equal(result, reference.hflip(image) if flip else image)


def test_augmentation_draws_every_offset_and_flips_half(images):
    many = batches.ImageBatches(np.repeat(images[:1], 4000, axis=0), MEAN, STD, torch.device("cpu"))
    draws = batches._Draws(len(many), torch.Generator().manual_seed(0), torch.device("cpu"))
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
