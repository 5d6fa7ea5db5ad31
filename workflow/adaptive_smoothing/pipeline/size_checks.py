"""Checks sizes in a scale that are known before anything is prepared: subsets, held-out images, batches and models.

A model's file states what it needs of the images in constants: CHANNELS, their only number of channels; SMALLEST, the
least height and width; ONE_PIXEL, the height and width up to which batch normalisation sees a single pixel of an image.
"""

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.scales import Dataset, Setup
from adaptive_smoothing.pipeline.stated_sizes import StatedSizes, published_sizes, stated_sizes
from adaptive_smoothing.pipeline.validation import Place


def check_dataset(dataset: Dataset, place: Place) -> StatedSizes | None:
    """Return a dataset's size, None if its file states none; raise UserError for more images than there are."""
    published = published_sizes(dataset.name)
    if published is None:
        return None
    classes = registry.constant("dataset", dataset.name, "CLASSES")
    for key in ("train_size", "test_size", "pixels"):
        value, least, most = dataset.options.get(key), 1, published.get(key)
        if key == "test_size" and "images" in published and isinstance(classes, int):
            least, most = classes, published["images"] - classes  # both parts hold every class
        if value is not None and most is not None and not least <= value <= most:
            raise UserError(
                f"{place.at('options', key)}: {value} is not allowed; for {dataset.name} it must be {least} to {most}"
            )
    size = stated_sizes(dataset.name, dataset.options)
    if size is not None and dataset.validation >= size.train:
        raise UserError(
            f"{place.at('validation')}: {dataset.validation} is not allowed; the dataset has {size.train} training "
            f"images, so it must be at most {size.train - 1}"
        )
    return size


def check_setup(setup: Setup, size: StatedSizes, held_out: int, place: Place) -> None:
    """Raise UserError where a setup's model cannot take the images, or the last batch of an epoch."""
    model, (channels, height, width) = setup.model.name, size.shape
    shape = f"{height} × {width} pixels"
    needed, smallest, one_pixel = (
        registry.constant("model", model, name) for name in ("CHANNELS", "SMALLEST", "ONE_PIXEL")
    )
    if isinstance(needed, int) and needed != channels:
        raise UserError(
            f"{place.at('model')}: {model} needs images of {needed} channels, dataset '{setup.dataset}' has {channels}"
        )
    if isinstance(smallest, int) and min(height, width) < smallest:
        raise UserError(
            f"{place.at('model')}: {model} needs images of at least {smallest} × {smallest} pixels, dataset "
            f"'{setup.dataset}' has {shape}"
        )
    train = size.train - held_out
    if isinstance(one_pixel, int) and max(height, width) <= one_pixel and _last_batch(train, setup.batch_size) == 1:
        raise UserError(
            f"{place.at('batch_size')}: {setup.batch_size} is not allowed; {train} training images leave a last batch "
            f"of one image, which the batch normalisation of {model} cannot take at {shape}; choose another batch_size"
        )


def _last_batch(images: int, batch_size: int) -> int:
    return images % batch_size or min(batch_size, images)
