"""The device that trains, and what makes it faster at the price of other rounding (`performance` of a scale's setups)."""

import contextlib
import os
from typing import Any

import torch
from torch import Tensor, nn

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.specification import Performance

DEVICES = ("auto", "cpu", "cuda")


def choose_device(wanted: str) -> torch.device:
    """Return the device to train on; 'auto' takes a GPU where there is one. Raises UserError for a GPU that is not."""
    if wanted not in DEVICES:
        raise unknown("device", wanted, DEVICES, "resources.device or --config device")
    if wanted == "cuda" and not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "is not set" if visible is None else f"is '{visible}'"
        raise UserError(
            f"device 'cuda' is asked for, but torch finds no GPU here (CUDA_VISIBLE_DEVICES {seen}); "
            "ask for 'auto' or 'cpu' (resources.device in the scale's setup, or --config device=…) to train without one"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return the device's name as it is recorded."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def be_deterministic(device: torch.device, threads: int, tf32: bool = False) -> None:
    """Use so many CPU threads and, on a GPU, kernels that give the same bytes every time; TF32 only where asked for."""
    torch.set_num_threads(threads)
    with contextlib.suppress(RuntimeError):  # can be set once a process only
        torch.set_num_interop_threads(1)
    if device.type == "cuda":  # the CPU kernels used here always do, and the call imports torch's compiler (2 s)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Otherwise every allocation is filled; nothing here reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32  # torch's default is on


def configure(model: nn.Module, performance: Performance, device: torch.device) -> nn.Module:
    """Return the model on its device, in the memory format asked for, its forward pass in bfloat16 and compiled if so.

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
    """Return the model on its device, in the memory format asked for."""
    return model.to(device).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _in_bfloat16(forward: Any, device: torch.device) -> Any:
    def wrapped(images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            output: Tensor = forward(images)
        return output.float()

    return wrapped
