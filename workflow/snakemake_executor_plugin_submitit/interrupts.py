"""Ctrl-C at a moment at which it would lose something."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let an interrupt that comes meanwhile take effect at the end; for what lasts a fraction of a second."""
    if threading.current_thread() is not threading.main_thread():  # no other thread is ever interrupted
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
        if came and before is not signal.SIG_IGN:
            signal.raise_signal(signal.SIGINT)
