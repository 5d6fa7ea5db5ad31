"""Write what the rehearsal reads: a tiny archive in its true format for each dataset, and weights for ResNet-50.

Which ones, and where, stands in config/rehearsal.yaml, or in the scale that is named as the argument:

    python tests/write_rehearsal_data.py [SCALE]
"""

import sys
from collections.abc import Callable
from pathlib import Path

import formats

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline import plan
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
    """Write the files of all datasets and models of a scale into its data root."""
    if scale.data_variant is None or scale.data_root is None:
        raise UserError(f"{where}: has no data_variant, so its data are the published ones, which nobody can make up")
    root = Path(scale.data_root)
    for name in dict.fromkeys(dataset.name for dataset in scale.datasets.values()):
        if name not in WRITERS:
            raise unknown("dataset with tiny archives", name, WRITERS, where)
        WRITERS[name](root)
    models = [setup.model for setup in scale.setups.values() if setup.model.name == "resnet50"]
    for weights in dict.fromkeys(model.options["weights"] for model in models):
        if weights not in NO_FILE:
            formats.write_resnet50_weights(root, weights)


def main(name: str = "rehearsal") -> None:
    """Write the files of the named scale; a user's mistake is one sentence."""
    try:
        wanted = plan.load(name)
        write(wanted.scale, str(wanted.file))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
