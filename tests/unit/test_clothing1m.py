"""Clothing1M from small folders in its official layout, whole and broken in every way."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torchvision.transforms.functional as reference
from PIL import Image
from pydantic import ValidationError

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import image_files, prepare, storage, types
from adaptive_smoothing.data.datasets import clothing1m
from adaptive_smoothing.data.types import Source
from adaptive_smoothing.pipeline.commands.smoke import formats

DECODE = types.Decode(resize=256, crop=224)


def options(**changes):
    return clothing1m.Options(**{"resize": 256, "crop": 224, "unusable": "refuse", **changes})


@pytest.fixture
def root(tmp_path):
    formats.write_clothing1m(tmp_path, train=24, test=6)
    return tmp_path


def lines(root, name):
    return (root / "clothing1m" / name).read_text().splitlines()


def rewrite(root, name, change):
    """Replace the lines of a list by what `change` makes of them."""
    (root / "clothing1m" / name).write_text("".join(f"{line}\n" for line in change(lines(root, name))))


def keys_of(paths):
    return [path.decode().removeprefix("clothing1m/") for path in paths]


def test_images_and_labels_are_those_of_the_lists(root):
    arrays = clothing1m.make(options(), 0, Source(root))
    assert keys_of(arrays.train_images) == lines(root, "noisy_train_key_list.txt")
    assert keys_of(arrays.test_images) == lines(root, "clean_test_key_list.txt")
    noisy, clean = (
        {key: int(label) for key, label in (line.split(" ") for line in lines(root, name))}
        for name in ("noisy_label_kv.txt", "clean_label_kv.txt")
    )
    assert arrays.train_labels.tolist() == [noisy[key] for key in keys_of(arrays.train_images)]
    assert arrays.test_labels.tolist() == [clean[key] for key in keys_of(arrays.test_images)]
    expected = [clean.get(key, types.UNKNOWN) for key in keys_of(arrays.train_images)]
    assert arrays.train_clean_labels.tolist() == expected
    assert expected.count(types.UNKNOWN) == 18
    assert len(arrays.classes) == clothing1m.CLASSES
    assert arrays.image_shape == (3, 224, 224)


def test_what_is_prepared_is_opened_and_its_hash_covers_the_images_bytes(root, files_in):
    def prepared(folder):
        source = {"root": str(root), "mirrors": [], "fetch": False}
        settings = {"resize": 256, "crop": 224, "unusable": "refuse"}
        prepare.prepare("clothing1m", settings, 0, files_in(root / folder), "tiny", source)
        return storage.open_prepared(root / folder)

    first, again = prepared("first"), prepared("again")
    assert first.arrays.decode == DECODE
    assert first.arrays.train_images.dtype.kind == "S"
    assert (root / "first/meta.json").read_bytes() == (root / "again/meta.json").read_bytes()
    path = root / first.arrays.train_images[0].decode()
    path.write_bytes(path.read_bytes() + b" ")  # a comment after the image's end
    assert prepared("changed").sha256 != first.sha256 == again.sha256
    pixels = (
        np.stack([image_files.decode_image(root / name.decode(), DECODE) for name in first.arrays.train_images]) / 255
    )
    np.testing.assert_allclose(first.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(first.std, pixels.std(axis=(0, 2, 3)), rtol=1e-6)


def test_mean_and_deviation_are_of_a_sample_that_the_data_seed_determines(root, files_in):
    def mean(folder, seed):
        source = {"root": str(root), "mirrors": [], "fetch": False}
        settings = {"resize": 64, "crop": 56, "unusable": "refuse"}
        prepare.prepare("clothing1m", settings, seed, files_in(root / folder), "tiny", source, measured_images=5)
        return json.loads((root / folder / "meta.json").read_text())["mean"]

    assert mean("a", 0) == mean("b", 0) != mean("c", 1)


def test_an_absent_dataset_says_what_is_missing_and_whom_to_ask(tmp_path):
    with pytest.raises(UserError) as raised:
        clothing1m.make(options(), 0, Source(tmp_path))
    text = str(raised.value)
    assert f"{tmp_path}/clothing1m lacks noisy_train_key_list.txt, clean_test_key_list.txt, noisy_label_kv.txt" in text
    assert "clean_label_kv.txt, images; Clothing1M is never downloaded: ask its authors" in text


def test_a_single_missing_list_is_named_alone(root):
    (root / "clothing1m/clean_label_kv.txt").unlink()
    with pytest.raises(UserError, match=r"clothing1m lacks clean_label_kv.txt; Clothing1M"):
        clothing1m.make(options(), 0, Source(root))


def no_label(root, key):
    rewrite(root, "noisy_label_kv.txt", lambda all_: [line for line in all_ if not line.startswith(f"{key} ")])


def label(text):
    def change(root, key):
        no_label(root, key)
        rewrite(root, "noisy_label_kv.txt", lambda all_: [*all_, f"{key} {text}"])

    return change


def content(change):
    def apply(root, key):
        path = root / "clothing1m" / key
        path.write_bytes(change(path.read_bytes()))

    return apply


def added(new):
    return lambda root, key: rewrite(
        root, "noisy_train_key_list.txt", lambda all_: [line for line in all_ if line != key] + [new]
    )


BROKEN = {
    "a listed path without a file": (lambda root, key: (root / "clothing1m" / key).unlink(), r"without a file \(KEY\)"),
    "an image without label": (no_label, r"without a label \(KEY\)"),
    "class 14": (label("14"), r"with a class outside 0–13 \(KEY: 14\)"),
    "class -1": (label("-1"), r"with a class outside 0–13 \(KEY: -1\)"),
    "class shirt": (label("shirt"), r"with a class outside 0–13 \(KEY: shirt\)"),
    "two labels": (
        lambda root, key: rewrite(root, "noisy_label_kv.txt", lambda all_: [f"{key} 3", *all_, f"{key} 4"]),
        r"with a class outside 0–13 \(KEY: 3 and .*4\)",
    ),
    "a clean label 77": (
        lambda root, key: rewrite(root, "clean_label_kv.txt", lambda all_: [f"{key} 77", *all_[1:]]),
        r"with a class outside 0–13 \(KEY: 77\)",
    ),
    "an empty file": (content(lambda data: b""), r"unreadable \(KEY: not a JPEG or PNG file\)"),
    "no image": (content(lambda data: b"<html>" + data), r"unreadable \(KEY: not a JPEG or PNG file\)"),
    "cut short": (content(lambda data: data[:-30]), r"unreadable \(KEY: image file is truncated"),
    "cut in the middle": (content(lambda data: data[: len(data) // 2]), r"unreadable \(KEY: image file is truncated"),
    "a path that leaves the folder": (
        added("../secret.jpg"),
        r"with a path that leaves the folder \(\.\./secret\.jpg\)",
    ),
    "an absolute path": (added("/etc/passwd"), r"with a path that leaves the folder \(/etc/passwd\)"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN)
def test_an_image_that_cannot_be_used_is_refused_by_name_or_left_out(root, change, message):
    key = lines(root, "noisy_train_key_list.txt")[0]
    change(root, key)
    with pytest.raises(UserError, match=f"clothing1m has 1 images {message.replace('KEY', key)}") as raised:
        clothing1m.make(options(), 0, Source(root))
    assert str(raised.value).endswith("; repair it, or let them be left out by unusable: leave_out")
    arrays = clothing1m.make(options(unusable="leave_out"), 0, Source(root))
    assert len(arrays.train_images) == 23
    assert key not in keys_of(arrays.train_images)
    assert ", 1 left out " in arrays.source


def test_test_images_are_not_trained_on_and_no_image_twice(root):
    test_key, train_key = lines(root, "clean_test_key_list.txt")[0], lines(root, "noisy_train_key_list.txt")[0]
    rewrite(root, "noisy_train_key_list.txt", lambda all_: [*all_, test_key, train_key])
    rewrite(root, "noisy_label_kv.txt", lambda all_: [*all_, f"{test_key} 1"])
    with pytest.raises(UserError, match=rf"2 images listed more than once \({test_key}, {train_key}\)"):
        clothing1m.make(options(), 0, Source(root))
    arrays = clothing1m.make(options(unusable="leave_out"), 0, Source(root))
    assert (len(arrays.train_images), len(arrays.test_images)) == (24, 6)


def test_ten_names_are_in_the_message_and_all_in_the_log(root, capfd):
    for key in lines(root, "noisy_train_key_list.txt")[:12]:
        (root / "clothing1m" / key).unlink()
    (root / "clothing1m" / lines(root, "clean_test_key_list.txt")[0]).write_bytes(b"")
    with pytest.raises(
        UserError, match=r"12 images without a file \(.*, … 2 more in the log\); 1 images unreadable"
    ) as e:
        clothing1m.make(options(), 0, Source(root))
    assert str(e.value).count("images/") == 11
    log = capfd.readouterr().out
    assert log.count("images without a file: images/") == 12
    assert "30 of 30 images checked" in log


def test_a_list_that_is_no_text_is_named(root):
    (root / "clothing1m/noisy_label_kv.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"noisy_label_kv\.txt cannot be read"):
        clothing1m.make(options(), 0, Source(root))


def test_nothing_left_is_an_error(root, files_in):
    rewrite(root, "noisy_train_key_list.txt", lambda all_: [])
    with pytest.raises(UserError, match="dataset clothing1m: needs training and test images, has no training images"):
        settings = {"resize": 256, "crop": 224, "unusable": "leave_out"}
        source = {"root": str(root), "mirrors": [], "fetch": False}
        prepare.prepare("clothing1m", settings, 0, files_in(root / "p"), "tiny", source)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(ValidationError, match="crop 300 does not fit into images whose shorter side is resize 256"):
        options(crop=300)


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}, {"mode": "CMYK"}])
def test_the_check_at_an_eighth_of_the_size_notices_every_cut_that_full_decoding_does(root, kind):
    save = {key: value for key, value in kind.items() if key != "mode"}
    stream = io.BytesIO()
    pixels = formats.pictures(np.array([3]), 14, (3, 80, 70), 0)[0].transpose(1, 2, 0)
    picture = Image.fromarray(pixels).resize((280, 320)).convert(kind.get("mode", "RGB"))
    picture.save(stream, "JPEG", **save)
    whole = stream.getvalue()
    keys, decoded = [], []
    for length in {len(whole), *range(len(whole) - 20, len(whole)), *range(0, len(whole), len(whole) // 40)}:
        keys.append(f"images/cut/{length}.jpg")
        file = root / "clothing1m" / keys[-1]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(whole[:length])
        with contextlib.suppress(OSError):
            Image.open(file).load()
            decoded.append(keys[-1])
    assert decoded == [f"images/cut/{len(whole)}.jpg"]
    rewrite(root, "noisy_train_key_list.txt", lambda _: keys)
    rewrite(root, "noisy_label_kv.txt", lambda _: [f"{key} 3" for key in keys])
    arrays = clothing1m.make(options(unusable="leave_out"), 0, Source(root))
    assert keys_of(arrays.train_images) == decoded


@pytest.mark.parametrize("size", [(256, 256), (300, 411), (411, 300), (100, 90), (1000, 40), (257, 512), (601, 433)])
def test_decoding_equals_torchvisions_resize_and_centre_crop(tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.jpg")
    image = Image.open(tmp_path / "image.jpg")
    expected = np.asarray(reference.center_crop(reference.resize(image, 256), [224]))
    found = image_files.decode_image(tmp_path / "image.jpg", DECODE)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - expected).max() <= 1  # Pillow's fixed-point rounding


def test_a_crop_lies_where_its_place_says(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 300, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    for place, (top, left) in {(0.0, 0.0): (0, 0), (0.999999, 0.999999): (32, 76), (0.5, 0.25): (16, 19)}.items():
        found = image_files.decode_image(tmp_path / "image.png", DECODE, place)
        np.testing.assert_array_equal(found.transpose(1, 2, 0), pixels[top : top + 224, left : left + 224])


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_grey_and_cmyk_jpegs_become_colour(tmp_path, mode):
    Image.new(mode, (300, 260)).save(tmp_path / "image.jpg")
    assert image_files.decode_image(tmp_path / "image.jpg", DECODE).shape == (3, 224, 224)


CHECKING = """
import sys
from pathlib import Path
from adaptive_smoothing.data.datasets import clothing1m
from adaptive_smoothing.data.types import Source

clothing1m.make(clothing1m.Options(resize=256, crop=224, unusable="refuse"), 0, Source(Path(sys.argv[1])))
"""


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc")
def test_the_processes_that_check_end_with_a_killed_parent(root):
    endless = root / "clothing1m" / lines(root, "noisy_train_key_list.txt")[0]
    endless.unlink()
    os.mkfifo(endless)  # whoever reads it waits for ever
    started = subprocess.Popen([sys.executable, "-c", CHECKING, str(root)])
    for _ in range(300):
        time.sleep(0.1)
        if found := children(started.pid):
            break
    time.sleep(1)
    found = children(started.pid)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert found
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in found):
            return
        time.sleep(0.1)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    pytest.fail("processes were left behind")
