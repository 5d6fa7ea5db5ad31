"""resnet50: torchvision's ResNet-50, optionally starting from ImageNet weights (the classifier is always new)."""

import fcntl
import hashlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import Annotated, Strict, named_or_file

CLASSIFIER = "fc."
COUNTER = ".num_batches_tracked"  # absent from older files; it changes nothing where batch norm has a momentum
SHOWN = 3  # names that an error lists of many


class Options(Strict):
    """Where training starts.

    `weights`: "random", a member of torchvision's ResNet50_Weights, or a file (absolute, or relative to the data root).
    """

    weights: Annotated[str, named_or_file(("random", "IMAGENET1K_V1", "IMAGENET1K_V2"), (".pth", ".pt"))]


def build(options: Options, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return the network for 3 × height × width images with random weights; raise UserError for other channels."""
    if channels != 3:
        raise UserError(f"model resnet50: needs colour images (3 channels), the dataset has {channels}")
    network: nn.Module = resnet50(num_classes=classes)
    return network


def load_pretrained(network: nn.Module, options: Options, root: Path, published: bool, fetch: bool) -> str | None:
    """Load the weights that `options` name into all of `network` but its classifier; None if they say random.

    `root` is the data root; `published` says whether the file there is torchvision's own, so that its hash must fit;
    `fetch` whether an absent file may be downloaded. Returns the file and its SHA-256. Raises UserError for a file
    that is absent, damaged or of another network.
    """
    if options.weights == "random":
        return None
    if options.weights in ResNet50_Weights.__members__:
        path = _published_file(ResNet50_Weights[options.weights], root / "weights", fetch)
        wanted = _hash_prefix(path) if published else ""
    else:
        path, wanted = root / options.weights, ""
        if not path.is_file():
            raise UserError(f"model resnet50: there is no file of weights {path}")
    digest = _sha256(path)
    if not digest.startswith(wanted):
        raise UserError(
            f"{path}: is damaged or not the published file (its SHA-256 starts with {digest[:8]}, not {wanted}); "
            "delete it and run again"
        )
    _fill(network, _state(path), path)
    return f"weights {options.weights}: {path}, sha256 {digest}"


def _published_file(weights: ResNet50_Weights, folder: Path, fetch: bool) -> Path:
    """Return the file of torchvision's weights: in `folder`, else in torch's own cache, else downloaded."""
    path = folder / Path(weights.url).name
    if path.is_file():
        return path
    if not fetch:
        raise UserError(f"model resnet50: weights {weights.name} are not there; put {weights.url} at {path}")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / path.name
    return cached if cached.is_file() else _downloaded(weights, path)


def _downloaded(weights: ResNet50_Weights, path: Path) -> Path:
    """Download the weights to `path`, whole or not at all; of several runs that start together, one does it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_name(f".{path.name}.lock"), "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            if not path.is_file():
                log(f"downloading {weights.url} to {path}")
                torch.hub.download_url_to_file(weights.url, str(path), _hash_prefix(path), progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: another hash than the file's name says
        raise UserError(
            f"model resnet50: weights {weights.name} cannot be downloaded ({error}); put {weights.url} at {path}"
        ) from error
    return path


def _hash_prefix(path: Path) -> str:
    """Return the start of the SHA-256 that torchvision writes into a file's name."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    return found[1] if found else ""


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
            f"{name} ({_written(state[name])}, not {_written(own[name])})"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    told = [f"{what}: {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise UserError(f"{path}: is not a ResNet-50's state dict; {'; '.join(told)}")
    network.load_state_dict(state, strict=False)


def _written(tensor: Tensor) -> str:
    return " × ".join(str(length) for length in tensor.shape) or "scalar"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
