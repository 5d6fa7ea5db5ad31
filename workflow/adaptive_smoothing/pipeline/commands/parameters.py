"""What several subcommands of `smoothing` take: a scale, figures, --json; and the words that a shell completes them to.

Completion reads names only, so that it is fast, and it is silent where there is no project.
"""

from pathlib import Path
from typing import Annotated

import typer

from adaptive_smoothing.core import paths

CONFIG = Path("config")


def complete_scale(incomplete: str) -> list[str]:
    """Return the scales that begin so: one a file in config/."""
    return [name for name in sorted(path.stem for path in CONFIG.glob("*.yaml")) if name.startswith(incomplete)]


Scale = Annotated[
    str,
    typer.Argument(
        metavar="[SCALE]",
        help="A scale: a file of config/ without its ending.",
        autocompletion=complete_scale,
    ),
]
Figures = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FIGURE]...", help="Figures, by name or file. Default: all of the scale."),
]
DEFAULT_SCALE = paths.PAPER
