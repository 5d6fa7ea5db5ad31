"""Write what a smoke test reads: a tiny archive in its true format for each dataset, and weights for ResNet-50.

Which datasets and models, and which folder, the scale's file says.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline.commands.smoke import formats
from adaptive_smoothing.pipeline.scales import Scale

# ResNets need seconds for a few images. MNIST's small network has several batches of 50, the last one of 4.
WRITERS: dict[str, Callable[[Path], None]] = {
    "mnist": lambda root: formats.write_mnist(root, train=154),
    "fashion_mnist": lambda root: formats.write_mnist(root, folder="FashionMNIST"),
    "cifar10": lambda root: formats.write_cifar10(root, train=20, test=10),
    "cifar100": lambda root: formats.write_cifar100(root, train=20, test=10),
    "clothing1m": lambda root: formats.write_clothing1m(root, train=14, test=14),
}
NO_FILE = ("random",)


def write(scale: Scale, where: str) -> None:
    """Write the files of all datasets and models of a scale into its data root, where they are missing.

    Raises UserError, before anything is written, for published data and for a dataset without a writer; `where` is the
    scale's file.
    """
    if scale.data_variant is None or scale.data_root is None:
        raise UserError(
            f"{where}: has no data_root and data_variant, so it reads published data; "
            "tiny archives are only written for a scale with both"
        )
    root = Path(scale.data_root)
    for make in list(_writers(scale, where)):
        make(root)


def _writers(scale: Scale, where: str) -> Iterator[Callable[[Path], None]]:
    for name in dict.fromkeys(dataset.name for dataset in scale.datasets.values()):
        if name not in WRITERS:
            raise unknown("dataset with tiny archives", name, WRITERS, where)
        yield WRITERS[name]
    models = [setup.model for setup in scale.setups.values() if setup.model.name == "resnet50"]
    for weights in dict.fromkeys(model.options["weights"] for model in models):
        if weights not in NO_FILE:
            yield partial(formats.write_resnet50_weights, name=weights)
