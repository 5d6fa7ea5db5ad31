"""The user's own image folder: every kind of image, and everything that can be wrong with it in one error."""

import os
import shutil

import image_folders
import numpy as np
import pytest
from PIL import Image

from adaptive_smoothing.core import log
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import prepare, storage
from adaptive_smoothing.data.datasets import image_folder
from adaptive_smoothing.data.types import Source


def options(**changes):
    return image_folder.Options(**{"folder": "own", "height": 12, "width": 16, "mode": "colour", **changes})


@pytest.fixture
def root(tmp_path):
    image_folders.write_image_folder(tmp_path)
    return tmp_path


def made(root, **changes):
    return image_folder.make(options(**changes), 0, Source(root))


def one(root, image, name="0000.png", **changes):
    """Return what becomes of an image, H × W (× C), saved as the first of the first class."""
    (root / "own/train/boot/0000.jpg").unlink(missing_ok=True)
    image.save(root / "own/train/boot" / name)
    pixels = made(root, **changes).train_images[0]
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


def test_labels_come_from_the_folders_in_alphabetical_order(root):
    arrays = made(root)
    assert arrays.classes == ("boot", "coat", "shirt")
    assert arrays.train_labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert arrays.test_labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert arrays.train_images.shape == (18, 3, 12, 16) and arrays.train_images.dtype == np.uint8
    assert arrays.test_images.shape == (9, 3, 12, 16)
    assert made(root, mode="grey").train_images.shape == (18, 1, 12, 16)
    np.testing.assert_array_equal(arrays.train_clean_labels, arrays.train_labels)


def test_it_is_prepared_and_opened(root, files_in):
    source = {"root": str(root), "mirrors": [], "fetch": False}
    prepare.prepare("image_folder", options().model_dump(), 0, files_in(root / "prepared"), None, source)
    prepared = storage.open_prepared(root / "prepared")
    np.testing.assert_array_equal(prepared.arrays.train_images, made(root).train_images)
    assert prepared.arrays.decode is None and prepared.mean.shape == (3,)


def test_an_absolute_folder_lies_anywhere(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    arrays = image_folder.make(options(folder=str(root / "own")), 0, Source(elsewhere))
    np.testing.assert_array_equal(arrays.train_images, made(root).train_images)


def test_an_image_of_the_configured_size_keeps_its_pixels(root):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(one(root, Image.fromarray(pixels)), pixels)
    np.testing.assert_array_equal(one(root, Image.fromarray(pixels[..., 0]), mode="grey"), pixels[..., 0])


@pytest.mark.parametrize("size", [(32, 12), (16, 40), (48, 36), (8, 6)])
def test_the_aspect_is_kept_and_the_centre_taken(root, size):
    # A disc in the centre stays a disc, and as far from all sides as before.
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5 - size[0] / 2, np.arange(size[1]) + 0.5 - size[1] / 2)
    scale = min(size[0] / 16, size[1] / 12)
    disc = 255 * (np.hypot(rows, columns) <= 4 * scale)
    found = one(root, Image.fromarray(disc.astype(np.uint8)), mode="grey").astype(float)
    assert np.abs(found - found[:, ::-1]).max() <= 2 and np.abs(found - found[::-1]).max() <= 2
    across, down = found.sum(axis=0) / found.sum(), found.sum(axis=1) / found.sum()
    spread = [np.sqrt((share * (np.arange(len(share)) - len(share) / 2 + 0.5) ** 2).sum()) for share in (across, down)]
    assert abs(spread[0] - spread[1]) < 0.1 and 1.7 < spread[0] < 2.4  # a disc of radius 4 has a deviation of 2


def test_sixteen_bits_are_rounded_to_eight(root):
    values = np.linspace(0, 65535, 12 * 16).round().astype(np.uint16).reshape(12, 16)
    found = one(root, Image.fromarray(values), mode="grey")
    np.testing.assert_array_equal(found, np.floor(values / 257 + 0.5).astype(np.uint8))


def test_palettes_become_their_colours(root):
    image = Image.new("P", (16, 12), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert one(root, image).reshape(-1, 3).tolist() == [[200, 100, 50]] * 192
    image.info["transparency"] = 1
    assert (one(root, image) == 255).all(), "a transparent colour of the palette is white"


def test_transparent_pixels_become_white(root):
    image = Image.new("RGBA", (16, 12), (10, 20, 30, 0))
    image.paste((10, 20, 30, 255), (8, 0, 16, 12))
    found = one(root, image)
    assert (found[:, :8] == 255).all() and (found[:, 8:] == [10, 20, 30]).all()
    assert (one(root, Image.new("LA", (16, 12), (40, 0)), mode="grey") == 255).all()


def test_cmyk_jpegs_become_rgb(root):
    found = one(root, Image.new("CMYK", (16, 12), (0, 255, 255, 0)), "0000.jpg").astype(int)
    assert (np.abs(found - [255, 0, 0]) <= 3).all()


def test_one_bit_images_are_black_and_white(root):
    assert (one(root, Image.new("1", (16, 12), 1), mode="grey") == 255).all()


def test_the_orientation_of_exif_is_applied(root):
    upright = np.zeros((12, 16), dtype=np.uint8)
    upright[:6] = 255
    image = Image.fromarray(upright).rotate(90, expand=True)  # as a camera held sideways stores it
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn clockwise to see it"
    image.save(root / "own/train/boot/0000.jpg", exif=exif, quality=95)
    found = made(root, mode="grey").train_images[0, 0]
    assert found[:4].min() > 240 and found[8:].max() < 15


def test_suffixes_may_be_capitals_and_other_files_are_ignored_with_a_line_in_the_log(root, capfd):
    before = made(root)
    (root / "own/train/boot/0000.jpg").rename(root / "own/train/boot/0000.JPG")
    for name in ("train/.DS_Store", "train/boot/Thumbs.db", "test/coat/notes.txt", "train/boot/._0001.png"):
        (root / "own" / name).write_bytes(b"x")
    (root / "own/train/.ipynb_checkpoints").mkdir()
    (root / "own/train/boot/deeper").mkdir()
    capfd.readouterr()
    np.testing.assert_array_equal(made(root).train_images, before.train_images)
    log = capfd.readouterr().out
    assert log.startswith("ignored, because they are not images of a class: ")
    assert all(name in log for name in (".DS_Store", "Thumbs.db", "notes.txt", "._0001", ".ipynb", "deeper"))


def test_what_is_ignored_is_counted_where_the_user_sees_it(root, files_in, capfd):
    for name in ("train/.DS_Store", "train/boot/Thumbs.db", "test/coat/notes.txt"):
        (root / "own" / name).write_bytes(b"x")
    source = {"root": str(root), "mirrors": [], "fetch": False}
    reader, writer = os.pipe()
    with log.announcing_on(writer):
        prepare.prepare("image_folder", options().model_dump(), 0, files_in(root / "made"), None, source)
    expected = "made: 18 training and 9 test images of 3 classes; 3 files or folders ignored, which the log names"
    assert os.read(reader, 1000).decode().rstrip().endswith(expected)
    assert expected in capfd.readouterr().out


def linked(path):
    path.unlink()
    path.symlink_to("nowhere.png")


def linked_class(path):
    shutil.rmtree(path.parent)
    path.parent.symlink_to("nowhere")


def nested(path):
    (path.parent / "more").mkdir()
    path.rename(path.parent / "more" / path.name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (linked, r"1 links to nothing \(.*/train/coat/0001\.png\)"),
        (linked_class, r"1 links to nothing \(.*/train/coat\); 1 classes in test/ only \(coat\)"),
        (
            lambda path: path.with_suffix(".gif").write_bytes(b"x"),
            r"1 files that are neither PNG nor JPEG \(.*0001\.gif",
        ),
        (
            lambda path: path.rename(path.with_suffix(".WEBP")),
            r"1 files that are neither PNG nor JPEG \(.*0001\.WEBP\)",
        ),
        (
            lambda path: path.rename(path.parents[1] / "x.png"),
            r"1 images outside train/<class>/ and test/<class>/ \(.*x\.p",
        ),
        (nested, r"1 images outside train/<class>/ and test/<class>/ \(.*/train/coat/more/0001\.png\)"),
        (
            lambda path: os.mkfifo(path.parent / "y.jpg"),
            r"1 images outside train/<class>/ and test/<class>/ \(.*y\.jpg\)",
        ),
    ],
)
def test_an_image_that_would_not_be_taken_is_an_error(root, change, problem):
    change(root / "own/train/coat/0001.png")
    with pytest.raises(UserError, match=f"own has {problem}"):
        made(root)


def test_links_to_images_and_to_classes_are_taken(root, tmp_path_factory):
    before = made(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    image, folder = root / "own/train/coat/0001.png", root / "own/test/boot"
    for path in (image, folder):
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)
    np.testing.assert_array_equal(made(root).train_images, before.train_images)
    np.testing.assert_array_equal(made(root).test_images, before.test_images)


def test_the_folder_may_begin_with_the_home_or_a_variable(root, monkeypatch):
    expected = made(root).train_images
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("PICTURES", str(root / "own"))
    for folder in ("~/own", "$PICTURES", "${PICTURES}"):
        arrays = image_folder.make(options(folder=folder), 0, Source(root / "elsewhere"))
        np.testing.assert_array_equal(arrays.train_images, expected)


@pytest.mark.parametrize("constant", [0, 57, 255])
def test_a_constant_channel_is_not_scaled(root, files_in, constant, capfd):
    for path in (root / "own").rglob("*.*"):
        pixels = np.asarray(Image.open(path).convert("RGB")).copy()
        pixels[..., 2] = constant
        path.unlink()
        Image.fromarray(pixels).save(path.with_suffix(".png"))
    source = {"root": str(root), "mirrors": [], "fetch": False}
    prepare.prepare("image_folder", options().model_dump(), 0, files_in(root / "prepared"), None, source)
    prepared = storage.open_prepared(root / "prepared")
    assert prepared.std[2] == 1 and prepared.mean[2] == pytest.approx(constant / 255)
    assert 0 < prepared.std[0] < 1
    assert "; channel 3 of 3 is constant, so it is not scaled" in capfd.readouterr().out


@pytest.mark.parametrize("gone", [("train",), ("test",), ("train", "test")])
def test_a_missing_part_is_named(root, gone):
    for part in gone:
        (root / "own" / part).rename(root / part)
    with pytest.raises(UserError, match=rf"own lacks {'/ and '.join(gone)}/; it needs train/<class>/… and test/"):
        made(root)


def test_everything_wrong_is_listed_in_one_sentence(root):
    (root / "own/train/coat/0001.png").write_bytes(b"")
    whole = (root / "own/test/shirt/0000.jpg").read_bytes()
    (root / "own/test/shirt/0000.jpg").write_bytes(whole[:-10])
    png = (root / "own/test/shirt/0001.png").read_bytes()
    (root / "own/test/shirt/0001.png").write_bytes(png[: len(png) // 2])
    (root / "own/train/hat").mkdir()
    (root / "own/test/boot").rename(root / "own/test/boots")
    with pytest.raises(UserError) as raised:
        made(root)
    text = str(raised.value)
    assert text.startswith(f"dataset image_folder: {root}/own has 1 classes without images (train/hat); ")
    assert "2 classes in train/ only (boot, hat); 1 classes in test/ only (boots); 3 unreadable images (" in text
    assert "train/coat/0001.png: not a JPEG or PNG file, test/shirt/0000.jpg: image file is truncated" in text
    assert "test/shirt/0001.png: " in text
    assert "\n" not in text


def test_an_empty_class_of_the_test_part_is_named(root):
    for path in (root / "own/test/coat").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"own has 1 classes without images \(test/coat\)$"):
        made(root)


def test_one_class_is_too_few(tmp_path):
    image_folders.write_image_folder(tmp_path, classes=("boot",))
    with pytest.raises(UserError, match=r"own has 1 classes in train/ where at least 2 are needed$"):
        made(tmp_path)


def test_the_folder_is_only_read(root):
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    made(root)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
