"""A mode that refuses what would wait for a GPU: on a GPU such a call stops the queue, and no CUDA graph can hold it.

There need be no GPU here: a dispatch mode refuses the calls that would wait for one, or copy between it and the host.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

REFUSED = {
    f"aten::{name}"
    for name in (
        "_local_scalar_dense",  # item(), float(), int(), bool() and all Python branches on a tensor
        "is_nonzero",
        "equal",
        "allclose",
        "nonzero",
        "masked_select",
        "argwhere",
        "unique_dim",
        "_unique2",
        "bincount",
        "lift_fresh",  # a tensor made from Python's numbers, or NumPy's, is copied to the device
    )
}


class RefusingCalls(TorchFunctionMode):
    """Raises AssertionError for the copies to the host that on the CPU pass no dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in ("tolist", "numpy", "cpu", "__array__"), f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


class RefusingOperations(TorchDispatchMode):
    """Raises AssertionError for an operation that would synchronise a GPU with the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        assert name not in REFUSED, f"{name} waits for the device"
        assert name != "aten::_to_copy" or kwargs.get("device") is None, "a copy to or from the host"
        if name in ("aten::index", "aten::index_put", "aten::index_put_"):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} with a mask waits for the device"
        return func(*args, **kwargs)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Refuse, within the context, every call that would wait for the device."""
    with RefusingCalls(), RefusingOperations():
        yield
