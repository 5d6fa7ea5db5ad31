"""Terminals that cannot show every character, such as those without UTF-8."""

import contextlib
import io
import sys


def accept_any() -> None:
    """Print '?' for a character that the terminal lacks, instead of failing at it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
