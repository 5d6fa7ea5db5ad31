"""A folder of the user's own images, the same bytes every time."""

from pathlib import Path

import numpy as np

from adaptive_smoothing.pipeline.commands.smoke import formats


def write_image_folder(
    root: Path, name: str = "own", classes: tuple[str, ...] = ("boot", "coat", "shirt"), train: int = 6, test: int = 3
) -> None:
    """Write the folder `name`: `train` and `test` images per class, JPEG and PNG in turn, of many sizes."""
    for seed, (part, size) in enumerate((("train", train), ("test", test))):
        for label, class_name in enumerate(classes):
            for number in range(size):
                shape = (3, 20 + 3 * number, 24 + 2 * number)
                image = formats.pictures(np.array([label]), len(classes), shape, 100 * seed + number)[0]
                path = root / name / part / class_name / f"{number:04d}"
                if number % 2:
                    formats.write_once(path.with_suffix(".png"), formats.encoded(image, "PNG"))
                else:
                    formats.write_once(path.with_suffix(".jpg"), formats.jpeg(image))
