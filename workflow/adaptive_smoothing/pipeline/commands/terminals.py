"""Terminals that cannot show every character, such as those without UTF-8, and output that is closed."""

import contextlib
import io
import os
import sys


def accept_any() -> None:
    """Print '?' for a character that the terminal lacks, and nothing where output is closed, instead of failing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # `smoothing … >&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 as long as the program runs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
