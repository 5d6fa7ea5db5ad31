"""The device that trains, and what makes it faster but changes rounding (`performance` of a scale's setups)."""

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.core.specification import Performance

DEVICES = ("auto", "cpu", "cuda")


class Machine(Strict):
    """What a job computes on, and where it finds files that are not part of the prepared data."""

    device: str = "auto"  # one of DEVICES
    threads: PositiveInt = 1  # CPU threads; processes that decode images count as well
    data_root: Path = Path("data/raw")  # images that stay on disk, and pretrained weights
    fetch: bool = False  # whether pretrained weights may be downloaded into `data_root`


def start(machine: Machine, tf32: bool = False) -> torch.device:
    """Prepare this process for a job on `machine` and return its device; raise UserError as `choose_device` does."""
    device = choose_device(machine.device)
    be_deterministic(device, machine.threads, tf32)
    return device


def choose_device(name: str) -> torch.device:
    """Return a device by name; 'auto' is a GPU if torch finds one. Raise UserError if 'cuda' is not available."""
    if name not in DEVICES:
        raise unknown("device", name, DEVICES, "resources.device or --config device")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device 'cuda' is required, but torch finds no GPU "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')}); set resources.device of the "
            "setup, or --config device=…, to 'auto' or 'cpu' to train on the CPU"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return the device's name as it is recorded."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory that was held at once, in MB: of the GPU if `device` is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def be_deterministic(device: torch.device, threads: int, tf32: bool = False) -> None:
    """Use this number of CPU threads and, on a GPU, kernels that always give the same bytes; TF32 if `tf32`."""
    torch.set_num_threads(threads)
    with contextlib.suppress(RuntimeError):  # can be set only once per process
        torch.set_num_interop_threads(1)
    if device.type == "cuda":  # the CPU kernels used here always do, and the call imports torch's compiler (2 s)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Otherwise every allocation is filled; nothing here reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32  # torch's default is on


def configure(model: nn.Module, performance: Performance, device: torch.device) -> nn.Module:
    """Return the model on its device, with the memory format, precision and compilation that `performance` says.

    The model's parameters and their names stay as they are: only `forward` is wrapped. Its output is float32, so that
    losses are.
    """
    model = move_to(model, performance.channels_last, device)
    if performance.bf16:
        model.forward = _in_bfloat16(model.forward, device)
    if performance.compile:
        model.compile()
    return model


def move_to(model: nn.Module, channels_last: bool, device: torch.device) -> nn.Module:
    """Return the model on its device, in NHWC memory format if `channels_last`, else in NCHW."""
    return model.to(device).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _in_bfloat16(forward: Any, device: torch.device) -> Any:
    def wrapped(images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            output: Tensor = forward(images)
        return output.float()

    return wrapped
