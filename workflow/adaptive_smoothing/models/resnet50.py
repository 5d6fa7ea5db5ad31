"""resnet50: torchvision's ResNet-50, optionally starting from ImageNet weights (the classifier is always new)."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.core.options import Annotated, Field, Strict, named_or_file
from adaptive_smoothing.core.paths import expanded
from adaptive_smoothing.data.download import File, obtain
from adaptive_smoothing.data.types import Source

CHANNELS = 3
ONE_PIXEL = 32
CLASSIFIER = "fc."
COUNTER = ".num_batches_tracked"  # absent from older files; it changes nothing where batch norm has a momentum
SHOWN = 3  # names that an error lists of many


class Options(Strict):
    """Where training starts.

    `weights`: "random", a member of torchvision's ResNet50_Weights, or a file (absolute, or relative to the data root).
    """

    weights: Annotated[
        str, named_or_file(("random", "IMAGENET1K_V1", "IMAGENET1K_V2"), (".pth", ".pt")), Field(examples=["random"])
    ]


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for 3 × height × width images with random weights; raise UserError for other channels."""
    if channels != CHANNELS:
        raise UserError(f"model resnet50: needs colour images (3 channels), the dataset has {channels}")
    network: nn.Module = resnet50(num_classes=classes)
    return network


def load_pretrained(network: nn.Module, options: Options, root: Path, published: bool, fetch: bool) -> str | None:
    """Load the weights that `options` name into all of `network` but its classifier.

    `root` is the data root; `published`: the file there is torchvision's own, so its hash is checked; `fetch`: a
    missing file may be downloaded. Returns the file and its SHA-256, or None for random weights. Raises UserError if
    the file is missing, damaged or of another network.
    """
    if options.weights == "random":
        return None
    if options.weights in ResNet50_Weights.__members__:
        path = _published_file(ResNet50_Weights[options.weights].url, Source(root, (), fetch, published))
    else:
        path = root / expanded(options.weights)
        if not path.is_file():
            raise UserError(f"model resnet50: there is no file of weights {path}")
    _fill(network, _state(path), path)
    return f"weights {options.weights}: {path}, sha256 {sha256_of(path)}"


def _published_file(url: str, source: Source) -> Path:
    """Return the file of torchvision's weights below the data root, after fetching it where that is allowed.

    Torch's own cache comes before torchvision's address. The file's name ends with the first digits of its SHA-256.
    Raises UserError as `obtain` does.
    """
    path = source.root / "weights" / Path(url).name
    digits = path.stem.rpartition("-")[2]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    mirrors = (str(cache),) if (cache / path.name).is_file() else ()
    obtain(
        "model resnet50",
        [File(path.name, f"sha256:{digits}", folder="weights", urls=(url,))],
        replace(source, mirrors=mirrors),
    )
    return path


def _state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights, the classifier's left out; raise UserError for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise UserError(f"{path}: the file of weights is damaged ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (name → tensor); save model.state_dict() alone")
    return {name: value for name, value in state.items() if not name.startswith(CLASSIFIER)}


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy `state` into the network, its classifier left as it is; raise UserError unless names and shapes fit."""
    own = {name: value for name, value in network.state_dict().items() if not name.startswith(CLASSIFIER)}
    problems = {
        "missing": [name for name in own if name not in state and not name.endswith(COUNTER)],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} ({_shape(state[name])}, not {_shape(own[name])})"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if differences := [f"{problem}: {_first_names(names)}" for problem, names in problems.items() if names]:
        raise UserError(f"{path}: is not a ResNet-50's state dict; {'; '.join(differences)}")
    network.load_state_dict(state, strict=False)


def _shape(tensor: Tensor) -> str:
    return " × ".join(str(length) for length in tensor.shape) or "scalar"


def _first_names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
