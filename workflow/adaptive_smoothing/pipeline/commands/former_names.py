"""What `python -m adaptive_smoothing.pipeline.commands.…` is now called; old names work for one more release."""

import os
import shlex
import sys
from collections.abc import Sequence

from adaptive_smoothing.pipeline.commands.program import NAME

PROGRAM = "adaptive_smoothing.pipeline.commands.cli"


def renamed(command: str, arguments: Sequence[str] | None = None) -> None:
    """Say what a module is now called, and become `smoothing COMMAND` with these words, or with the module's own."""
    words = [command, *(sys.argv[1:] if arguments is None else arguments)]
    print(f"this command is now: {NAME} {shlex.join(words)}", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", PROGRAM, *words])
