"""Image files: decoding, cropping, and error messages for unreadable ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.data.types import Decode, Images

IMAGE_FORMATS = ("JPEG", "PNG")
SHOWN = 10  # names that an error lists of each kind of problem


def decode_image(file: Path, decode: Decode, place: tuple[float, float] | None = None) -> Images:
    """Return the 3 × crop × crop pixels of an image file; raise UserError if it cannot be read.

    `place` is where the crop lies between top and bottom, and between left and right (both 0 ≤ x < 1); None: in the
    centre. The orientation in EXIF data is not applied, as in torchvision's own loaders.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=IMAGE_FORMATS) as image:
            whole = image.convert("RGB")
    except Exception as error:  # Pillow raises half a dozen kinds for a damaged file
        raise UserError(f"{file}: cannot be read as an image ({unreadable_reason(error)})") from error
    short = min(whole.size)
    scaled = [int(decode.resize * side / short) for side in whole.size]
    free = [side - decode.crop for side in scaled]
    left, top = [round(room / 2) for room in free] if place is None else _offsets(free, place)
    across, down = (original / side for original, side in zip(whole.size, scaled, strict=True))
    # Only the part that is kept is resized: the same pixels but for rounding, and little memory for a thin image.
    box = (
        left * across,
        top * down,
        min((left + decode.crop) * across, whole.width),
        min((top + decode.crop) * down, whole.height),
    )
    pixels = np.asarray(whole.resize((decode.crop, decode.crop), Image.Resampling.BILINEAR, box))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _offsets(free: Sequence[int], place: tuple[float, float]) -> tuple[int, int]:
    """Return the (left, top) of a crop that may move by `free` pixels (across, down)."""
    return int(place[1] * (free[0] + 1)), int(place[0] * (free[1] + 1))


def unreadable_reason(error: Exception) -> str:
    """Return why Pillow could not read a file, without the file's name."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"not a {' or '.join(IMAGE_FORMATS)} file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def list_problems(problem: str, names: Sequence[str]) -> str:
    """Return "3 problem (first, second, third)" with the first ten names, and print all of them to the log."""
    for name in names:
        log(f"{problem}: {name}")
    more = f", … {len(names) - SHOWN} more in the log" if len(names) > SHOWN else ""
    return f"{len(names)} {problem} ({', '.join(names[:SHOWN])}{more})"
