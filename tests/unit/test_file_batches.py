"""Batches decoded from files: the interface of in-memory batches, any number of workers, signals and broken files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as reference

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import types
from adaptive_smoothing.pipeline.commands.smoke import formats
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources import files
from adaptive_smoothing.training.sources.files import FileBatches

CPU = torch.device("cpu")
DECODE = types.Decode(resize=40, crop=32)
MEAN, STD = np.array([0.5, 0.4, 0.3], dtype=np.float32), np.array([0.2, 0.3, 0.4], dtype=np.float32)
SIZE = 23
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("images")
    for number in range(SIZE):
        shape = (3, 44 + number, 90 - 2 * number)
        (made / f"bild ü{number}.jpg").write_bytes(
            formats.jpeg(formats.pictures(np.array([number]), SIZE, shape, number)[0])
        )
    return made


@pytest.fixture
def names():
    return [f"bild ü{number}.jpg" for number in range(SIZE)]


def opened(folder, names, workers=0, channels_last=False, decode=DECODE):
    paths = np.array([name.encode() for name in names], dtype=np.bytes_)
    return FileBatches(paths, folder, decode, Normalisation(MEAN, STD, CPU, channels_last), workers)


def epoch(batches, augment=(), seed=0, number=0, skipped=0, batch_size=5):
    """Return all images and indices of an epoch, as lists of batches."""
    parts = list(batches.shuffled(batch_size, augment, seed, number, skipped))
    return [images for images, _ in parts], [indices for _, indices in parts]


def same(left, right):
    return len(left) == len(right) and all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_in_order_equals_torchvisions_transforms(folder, names):
    batches = opened(folder, names)
    assert len(batches) == SIZE
    found = list(batches.in_order(batch_size=10))
    assert [len(part) for part in found] == [10, 10, 3]
    for name, image in zip(names, torch.cat(found), strict=True):
        whole = reference.resize(Image.open(folder / name), DECODE.resize)
        pixels = reference.to_tensor(reference.center_crop(whole, [DECODE.crop]))
        expected = reference.normalize(pixels, MEAN.tolist(), STD.tolist())
        torch.testing.assert_close(image, expected, rtol=0, atol=1.01 / 255 / STD.min().item())


def test_every_number_of_workers_gives_the_same_batches(folder, names):
    alone, many = opened(folder, names), opened(folder, names, workers=2)
    assert same(list(alone.in_order(7)), list(many.in_order(7)))
    for number in (0, 1):
        left, right = (epoch(one, ["crop", "flip"], 3, number) for one in (alone, many))
        assert same(left[0], right[0]) and same(left[1], right[1])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skipped", [0, 2, 4, 5])
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(folder, names, workers, skipped):
    whole = epoch(opened(folder, names), ["crop", "flip"], 1, 2)
    tail = epoch(opened(folder, names, workers), ["crop", "flip"], 1, 2, skipped)
    assert same(tail[0], whole[0][skipped:]) and same(tail[1], whole[1][skipped:])


def test_what_is_skipped_is_not_decoded(folder, names, tmp_path):
    _, indices = epoch(opened(folder, names))
    for index in torch.cat(indices[2:]).tolist():
        (tmp_path / names[index]).write_bytes((folder / names[index]).read_bytes())
    tail, _ = epoch(opened(tmp_path, names), skipped=2)
    assert len(tail) == 3
    with pytest.raises(UserError, match="No such file"):
        epoch(opened(tmp_path, names), skipped=1)


def test_order_and_augmentation_are_functions_of_seed_and_epoch(folder, names):
    batches = opened(folder, names)
    images, order = (torch.cat(parts) for parts in epoch(batches, ["crop", "flip"], 1, 1))
    assert sorted(order.tolist()) == list(range(SIZE))
    again, order_again = (torch.cat(parts) for parts in epoch(batches, ["crop", "flip"], 1, 1))
    assert torch.equal(images, again) and torch.equal(order, order_again)
    for seed, number in ((1, 2), (2, 1)):
        others, other_order = (torch.cat(parts) for parts in epoch(batches, ["crop", "flip"], seed, number))
        assert not torch.equal(order, other_order)
        assert not torch.equal(images[order.argsort()], others[other_order.argsort()])


def test_augmentation_is_the_examples_own_whatever_the_batch_size(folder, names):
    by_index = []
    for size in (4, SIZE):
        images, order = (torch.cat(parts) for parts in epoch(opened(folder, names), ["crop", "flip"], batch_size=size))
        by_index.append(images[order.argsort()])
    assert torch.equal(*by_index)


def test_crops_come_from_anywhere_in_the_resized_image_and_half_are_flipped(tmp_path):
    # Red tells the row and green the column of each pixel of the resized image, here as large as the original.
    rows, columns = np.mgrid[0:40, 0:48].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, 0 * rows], axis=2)).save(tmp_path / "ramp.png")
    batches = opened(tmp_path, ["ramp.png"] * 3000)

    def corners(augment):
        images, _ = epoch(batches, augment, batch_size=500)
        pixels = ((torch.cat(images) * batches.normalise.std + batches.normalise.mean) * 255).round().int()
        return pixels[:, 0, 0, 0], pixels[:, 1, 0, 0], pixels[:, 1, 0, -1]

    top, left, right = corners(["crop"])
    assert torch.unique(top).tolist() == list(range(9)) and torch.unique(left).tolist() == list(range(17))
    assert (right - left == 31).all()
    counts = torch.bincount(top * 17 + left)
    assert len(counts) == 153 and counts.min() >= 3 and counts.max() <= 45  # 19.6 on average
    top, left, right = corners(["flip"])
    assert set(top.tolist()) == {4} and set(torch.minimum(left, right).tolist()) == {8}
    assert 0.45 < (left > right).float().mean() < 0.55


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_own_generator_is_not_touched(folder, names, workers):
    torch.manual_seed(4)
    before = torch.get_rng_state()
    batches = opened(folder, names, workers)
    epoch(batches, ["crop", "flip"])
    list(batches.in_order())
    assert torch.equal(before, torch.get_rng_state())


def test_channels_last_changes_the_layout_alone(folder, names):
    for left, right in zip(
        opened(folder, names).in_order(), opened(folder, names, channels_last=True).in_order(), strict=True
    ):
        assert torch.equal(left, right) and right.is_contiguous(memory_format=torch.channels_last)


def test_a_part_without_images_gives_no_batches(folder):
    batches = opened(folder, [])
    assert len(batches) == 0 and not list(batches.in_order()) and not list(batches.shuffled(5, ["crop"], 0, 0))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("broken", ["gone", "cut", "empty"])
def test_a_file_that_cannot_be_read_is_named_in_one_sentence(folder, names, tmp_path, workers, broken):
    for name in names:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    path = tmp_path / names[11]
    if broken == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] if broken == "cut" else b"")
    why = {"gone": "No such file or directory", "cut": "image file is truncated", "empty": "not a JPEG or PNG file"}
    with pytest.raises(UserError) as raised:
        list(opened(tmp_path, names, workers).in_order(4))
    assert str(raised.value).startswith(f"{path}: cannot be read as an image ({why[broken]}")
    assert "\n" not in str(raised.value)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids, seconds):
    for _ in range(10 * seconds):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@needs_proc
def test_workers_end_with_the_iteration(folder, names):
    before = set(children(os.getpid()))
    iteration = opened(folder, names, workers=2).in_order(2)
    next(iteration)
    workers = set(children(os.getpid())) - before
    assert len(workers) == 2
    iteration.close()
    assert gone(workers, 10)


# Trains (so to speak) as the loop does: signals set a flag, which is looked at between two steps.
TRAINING = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, torch
from adaptive_smoothing.core.interrupts import Stopped
from adaptive_smoothing.data.types import Decode
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.checkpoint import Checkpoint
from adaptive_smoothing.training.sources import files
from adaptive_smoothing.training.sources.files import FileBatches

def main(folder, last):
    paths = np.array([os.fsencode(path.name) for path in sorted(Path(folder).glob("*.jpg"))] * 50)
    one = np.ones(3, dtype=np.float32)
    normalise = Normalisation(one, one, torch.device("cpu"), False)
    batches = FileBatches(paths, Path(folder), Decode(40, 32), normalise, 2)
    checkpoint = Checkpoint(Path(folder) / "checkpoint.pt", {}, 60)
    seen = 0
    with checkpoint.listening():
        try:
            for images, indices in batches.shuffled(5, ["crop"], 0, 0):
                seen += 1
                if seen == 2:
                    print("started", flush=True)
                    time.sleep(2)  # a step, during which the signal comes
                if seen >= last:
                    checkpoint.after_step(lambda: {"seen": seen})
        except Stopped as stopped:
            print("saved", seen, flush=True)
            raise SystemExit(75) from stopped

main(sys.argv[1], int(sys.argv[2]))
"""


def training(folder, last):
    """Return a process in its second step, with two workers, in a group of its own; from step `last` it may stop."""
    command = [sys.executable, "-c", TRAINING, str(folder), str(last)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None and started.stdout.readline() == "started\n"
    return started


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize("last", [2, 40])
def test_a_stop_signal_to_the_whole_group_lets_the_main_process_save(folder, number, last):
    started = training(folder, last)
    workers = children(started.pid)
    assert len(workers) == 2
    os.killpg(started.pid, number)
    time.sleep(0.5)
    assert children(started.pid) == workers, "the workers live on"
    output, _ = started.communicate(timeout=300)
    assert started.returncode == 75
    assert output == f"saved {last}\n"
    assert gone(workers, 10)
    (folder / "checkpoint.pt").unlink()


@needs_proc
def test_workers_end_with_a_killed_parent(folder):
    started = training(folder, 2)
    workers = children(started.pid)
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=300)
    assert gone(workers, 20)


LEFT_OPEN = """
import os, sys
from pathlib import Path
import numpy as np, torch
from adaptive_smoothing.data.types import Decode
from adaptive_smoothing.training.augment import Normalisation
from adaptive_smoothing.training.sources import files
from adaptive_smoothing.training.sources.files import FileBatches

paths = np.array([os.fsencode(path.name) for path in sorted(Path(sys.argv[1]).glob("*.jpg"))] * 50)
one = np.ones(3, dtype=np.float32)
normalise = Normalisation(one, one, torch.device("cpu"), False)
batches = FileBatches(paths, Path(sys.argv[1]), Decode(40, 32), normalise, 2)
iteration = batches.in_order(2)
next(iteration)
if sys.argv[2] == "raises":
    raise ValueError("in a step")
"""


@pytest.mark.parametrize("how", ["ends", "raises"])
def test_a_process_that_leaves_an_iteration_open_ends(folder, how):
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN, str(folder), how], timeout=300, capture_output=True, text=True
    )
    assert done.returncode == (1 if how == "raises" else 0)
    assert done.stderr.count("Traceback") == (1 if how == "raises" else 0)


@needs_proc
def test_a_worker_that_is_killed_is_one_sentence(folder, names):
    batches = opened(folder, names * 50, workers=2)
    iterator = batches.in_order(2)
    next(iterator)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    with pytest.raises(UserError, match=r"^a process that decodes images died \(DataLoader worker .*'threads'"):
        list(iterator)


@pytest.mark.parametrize(("megabytes", "workers"), [(64, 8), (1, 1), (0, 0)])
def test_a_small_shared_memory_takes_fewer_workers_and_says_so(monkeypatch, capsys, megabytes, workers):
    """A container's default is 64 MB: batches of 100 small images fit, larger ones do not."""
    room = SimpleNamespace(f_bavail=megabytes << 8, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda folder: room)
    files._report_small_memory.cache_clear()
    assert files._fitting(8, 200_000) == workers
    assert ("is small" in capsys.readouterr().out) == (workers < 8)


def test_without_shared_memory_as_a_folder_all_workers_work(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "SHARED_MEMORY", str(tmp_path / "absent"))
    assert files._fitting(8, 10**12) == 8


def test_no_room_for_workers_gives_the_same_batches(folder, names, monkeypatch):
    alone, _ = epoch(opened(folder, names), ["crop", "flip"], 1, 2)
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=0, f_frsize=4096))
    monkeypatch.setattr(files.DataLoader, "_get_iterator", _no_workers(files.DataLoader._get_iterator))
    few, _ = epoch(opened(folder, names, workers=2), ["crop", "flip"], 1, 2)
    assert same(alone, few)


def _no_workers(real):
    def get_iterator(loader):
        assert loader.num_workers == 0
        return real(loader)

    return get_iterator
