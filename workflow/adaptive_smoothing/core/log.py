"""Log lines: what a job says to the people who read its log, or who watch it start."""

import contextlib
import os
from collections.abc import Iterator

_terminals: list[int] = []  # descriptors of the terminal, while this process writes its output to a log


def log(line: str) -> None:
    """Write a line to the log at once; a full disk loses the line, not the work."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def announce(line: str) -> None:
    """Write a line to the log, and to the terminal that the user watches."""
    log(line)
    for terminal in _terminals:
        with contextlib.suppress(OSError):
            os.write(terminal, f"{line}\n".encode())


@contextlib.contextmanager
def announcing_on(terminal: int) -> Iterator[None]:
    """Let `announce` write to the descriptor `terminal` as well."""
    _terminals.append(terminal)
    try:
        yield
    finally:
        _terminals.remove(terminal)
