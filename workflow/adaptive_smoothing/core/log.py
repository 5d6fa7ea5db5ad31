"""Log lines: what a job says to the people who read its log."""

import contextlib


def log(line: str) -> None:
    """Write a line to the log at once; a full disk loses the line, not the work."""
    with contextlib.suppress(OSError):
        print(line, flush=True)
