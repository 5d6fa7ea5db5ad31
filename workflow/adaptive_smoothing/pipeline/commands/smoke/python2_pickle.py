"""Pickles as Python 2 wrote them, which is how CIFAR is published."""

import io
import pickle
import struct
from typing import Any

_PythonPickler: Any = pickle._Pickler  # the one in Python, whose parts can be replaced


class _Python2Pickler(_PythonPickler):  # type: ignore[misc]  # typeshed does not know the parts
    """Writes what CIFAR's pickles hold: text and bytes as Python 2's strings, arrays under NumPy 1's module name."""

    dispatch = dict(_PythonPickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        """Write text or bytes."""
        encoded = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(encoded)) + encoded)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        """Write the name of a function or class."""
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or value.__qualname__}\n".encode("ascii"))
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def dumps(value: object) -> bytes:
    """Return what Python 2's pickle.dumps(value, protocol=2) gives for dictionaries, lists, strings and arrays."""
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()
