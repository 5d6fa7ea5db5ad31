"""image_folder: the user's own images, train/<class>/… and test/<class>/…, PNG or JPEG of any size.

Each image is scaled, with its aspect ratio kept, until it just covers the configured size; then its centre is cropped.
An image of that size keeps its pixels. Labels are the positions of the folders' names in alphabetical order. The
orientation in EXIF data is applied, transparent pixels become white, and 16 bits are rounded to 8. Whatever looks like
an image and would not be taken is an error.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import FolderText, Literal, PositiveInt, Strict
from adaptive_smoothing.core.paths import expanded
from adaptive_smoothing.data.image_files import IMAGE_FORMATS, list_problems, unreadable_reason
from adaptive_smoothing.data.types import Arrays, Images, Labels, Source, clean_arrays

if TYPE_CHECKING:
    from PIL import Image


OWN_FILES = True  # they may change between two runs of the pipeline: `own_files` says which
PARTS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_FORMATS = (".avif", ".bmp", ".gif", ".heic", ".jfif", ".jp2", ".jpe", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
MODES = {"grey": "L", "colour": "RGB"}
Files = dict[str, dict[str, list[Path]]]  # part → class → images, both sorted


class Options(Strict):
    """The folder (absolute, or relative to the folder of downloaded data), and the size and colours of its images."""

    folder: FolderText
    height: PositiveInt
    width: PositiveInt
    mode: Literal["grey", "colour"]


@dataclass
class Listing:
    """What lies in the folder: images, what is ignored, and what would be an image if it were elsewhere or else."""

    files: Files = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    other_formats: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return what would be left out of the data unnoticed, a piece of a sentence each."""
        kinds = {
            "links to nothing": self.dangling,
            "images outside train/<class>/ and test/<class>/": self.outside,
            "files that are neither PNG nor JPEG": self.other_formats,
        }
        return [list_problems(text, names) for text, names in kinds.items() if names]


def make(options: Options, data_seed: int, source: Source) -> Arrays:
    """Return all images in memory, with the folders as their true labels.

    Raises one UserError that lists everything that is wrong with the folder.
    """
    folder = _folder(options, source.root)
    listing = list_folder(folder)
    files = listing.files
    problems = [*listing.problems(), *_wrong_classes(files)]
    (train, damaged_train), (test, damaged_test) = (_read(files[part], folder, options) for part in PARTS)
    if damaged := damaged_train + damaged_test:
        problems.append(list_problems("unreadable images", damaged))
    if problems:
        raise UserError(f"dataset image_folder: {folder.absolute()} has {'; '.join(problems)}")
    if listing.ignored:
        log(f"ignored, because they are not images of a class: {', '.join(listing.ignored)}")
    arrays = clean_arrays(train, test, files["train"], f"image folder {options.folder}")
    remark = f"{len(listing.ignored)} files or folders ignored, which the log names"
    return replace(arrays, remarks=(remark,) if listing.ignored else ())


def own_files(options: dict[str, Any], root: Path) -> tuple[Path, list[str]]:
    """Return the folder, and the names in it of all files that the arrays are made from; raise UserError as `make`."""
    folder = _folder(Options(**options), root)
    files = list_folder(folder).files
    return folder, [
        f"{part}/{label}/{path.name}" for part in PARTS for label, paths in files[part].items() for path in paths
    ]


def _folder(options: Options, root: Path) -> Path:
    return root / expanded(options.folder)


def list_folder(folder: Path) -> Listing:
    """Return what lies in the folder; raise UserError unless train/ and test/ are there."""
    if missing := [f"{part}/" for part in PARTS if not (folder / part).is_dir()]:
        raise UserError(
            f"dataset image_folder: {folder.absolute()} lacks {' and '.join(missing)}; it needs train/<class>/… and "
            "test/<class>/… with PNG or JPEG images"
        )
    listing = Listing()
    try:
        for part in PARTS:
            listing.files[part] = {}
            for entry in _entries(folder / part):
                if entry.is_dir() and not entry.name.startswith("."):
                    listing.files[part][entry.name] = _images(entry, listing)
                else:
                    _leave_out(entry, listing)
    except OSError as error:
        raise UserError(f"dataset image_folder: {error.filename} cannot be read ({error.strerror})") from error
    return listing


def _entries(folder: Path | str) -> "list[os.DirEntry[str]]":
    """Return what lies in a folder, sorted by name; it knows files from folders without asking the disk again."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _images(folder: "os.DirEntry[str]", listing: Listing) -> list[Path]:
    """Return the images of one class, sorted by name; add what else lies there to the listing."""
    images = []
    for entry in _entries(folder.path):
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.is_file() and suffix in SUFFIXES and not entry.name.startswith("."):
            images.append(Path(entry.path))
        elif entry.is_file() and suffix in OTHER_FORMATS and not entry.name.startswith("."):
            listing.other_formats.append(entry.path)
        else:
            _leave_out(entry, listing)
    return images


def _leave_out(entry: "os.DirEntry[str]", listing: Listing) -> None:
    """Add what is no image of a class to the listing, where it belongs."""
    if entry.name.startswith("."):
        listing.ignored.append(entry.path)
    elif not (entry.is_file() or entry.is_dir()) and entry.is_symlink():
        listing.dangling.append(entry.path)
    elif entry.is_dir() and (images := list(_images_below(entry.path))):
        listing.outside += images
    elif not entry.is_dir() and os.path.splitext(entry.name)[1].lower() in (*SUFFIXES, *OTHER_FORMATS):
        listing.outside.append(entry.path)
    else:
        listing.ignored.append(entry.path)


def _images_below(folder: str) -> Iterator[str]:
    """Yield all that looks like an image at any depth of a folder that is no class."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in (*SUFFIXES, *OTHER_FORMATS) and not name.startswith("."):
                yield os.path.join(where, name)


def _wrong_classes(files: Files) -> list[str]:
    """Return what is wrong with the classes, a piece of a sentence each."""
    train, test = (files[part].keys() for part in PARTS)
    empty = [f"{part}/{name}" for part in PARTS for name, images in files[part].items() if not images]
    problems = [
        list_problems(text, names)
        for text, names in (
            ("classes without images", empty),
            ("classes in train/ only", sorted(train - test)),
            ("classes in test/ only", sorted(test - train)),
        )
        if names
    ]
    if len(train) < 2:
        problems.append(f"{len(train)} classes in train/ where at least 2 are needed")
    return problems


def _read(classes: dict[str, list[Path]], folder: Path, options: Options) -> tuple[tuple[Images, Labels], list[str]]:
    """Return (N × C × H × W images, N labels) of one part, and the files that cannot be read with the reasons."""
    paths = [path for images in classes.values() for path in images]
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()])
    channels = 1 if options.mode == "grey" else 3
    images = np.zeros((len(paths), channels, options.height, options.width), dtype=np.uint8)
    damaged = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes outside Python's lock
        for row, image in enumerate(pool.map(partial(_image, options=options), paths)):
            if isinstance(image, str):
                damaged.append(f"{paths[row].relative_to(folder)}: {image}")
            else:
                images[row] = image
    return (images, labels.astype(np.int64)), damaged


def _image(path: Path, options: Options) -> Images | str:
    """Return an image, C × H × W, or why it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=IMAGE_FORMATS) as opened:
            upright = _in_eight_bits(ImageOps.exif_transpose(opened))
            pixels = np.asarray(covering(_opaque(upright).convert(MODES[options.mode]), options.width, options.height))
    except Exception as error:  # Pillow raises half a dozen kinds for a damaged file
        return unreadable_reason(error)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _in_eight_bits(image: "Image.Image") -> "Image.Image":
    """Return a grey image of 16 bits, which Pillow would clip at 255, rounded to 8; others as they are."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _opaque(image: "Image.Image") -> "Image.Image":
    """Return an image laid on white where it is transparent."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def covering(image: "Image.Image", width: int, height: int) -> "Image.Image":
    """Return the centre of an image, scaled so that it just covers width × height."""
    from PIL import Image

    scale = min(image.width / width, image.height / height)
    across, down = min(width * scale, image.width), min(height * scale, image.height)
    left, top = (image.width - across) / 2, (image.height - down) / 2
    box = (left, top, left + across, top + down)
    return image.resize((width, height), Image.Resampling.BILINEAR, box)
