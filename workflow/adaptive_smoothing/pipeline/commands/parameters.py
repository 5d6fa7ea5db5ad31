"""What several subcommands of `smoothing` take: a scale, figures, --json; and the words that a shell completes them to.

Completion reads names only, so that it is fast, and it is silent where there is no project.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError

CONFIG = Path("config")
DEFAULT_SCALE = paths.PAPER


def complete_scale(incomplete: str) -> list[str]:
    """Return the scales that begin so: one a file in config/."""
    return [name for name in sorted(path.stem for path in CONFIG.glob("*.yaml")) if name.startswith(incomplete)]


def complete_figure(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the figures that begin so, of the scale that the command line names."""
    return [name for name in figure_names(str(ctx.params.get("scale"))) if name.startswith(incomplete)]


def complete_scale_or_figure(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the scales that begin so; after a scale, its figures."""
    scale, *more = ctx.params.get("words") or [""]
    if more:
        return []
    return (
        [name for name in figure_names(scale) if name.startswith(incomplete)] if scale else complete_scale(incomplete)
    )


def figure_names(scale: str) -> list[str]:
    """Return the figures of a scale, in its file's order; none if the file is missing or wrong."""
    try:
        return [name for name, block in _figure_blocks(scale, ()).items() if block is not None]
    except (UserError, OSError, AttributeError, TypeError, ValueError):  # a file that is half-written, for example
        return []


def _figure_blocks(scale: str, heirs: tuple[str, ...]) -> dict[str, Any]:
    """Return the blocks of a scale's figures and extras; None instead of one that it removes."""
    from adaptive_smoothing.pipeline import yaml_files

    content = yaml_files.read(CONFIG / f"{scale}.yaml", ())
    if "inherits" not in content:
        return dict(_own_blocks(content))
    if content["inherits"] in heirs:
        return {}
    base = _figure_blocks(content["inherits"], (*heirs, scale))
    if (kept := (content.get("cut") or {}).get("figures")) is not None:
        base = {name: block for name, block in base.items() if name in kept}
    return {**base, **dict(_own_blocks(content.get("overrides") or {})), **dict(_own_blocks(content.get("add") or {}))}


def _own_blocks(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("figures", "extras"):
        yield from (content.get(key) or {}).items()


def at_least(least: float) -> Callable[[float | None], float | None]:
    """Return a check of an option that is a number of seconds; it raises BadParameter for one that cannot be meant."""

    def check(seconds: float | None) -> float | None:
        if seconds is not None and not least <= seconds < math.inf:
            raise typer.BadParameter(f"{seconds:g} is not a number of seconds of at least {least:g}")
        return seconds

    return check


Scale = Annotated[
    str,
    typer.Argument(
        metavar="SCALE",
        help="A file of config/ without its ending. It may be left out before a figure.",
        autocompletion=complete_scale,
    ),
]
WholeScale = Annotated[
    str,
    typer.Argument(metavar="SCALE", help="A file of config/ without its ending.", autocompletion=complete_scale),
]
Figures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIGURE", help="Names, such as fig7, or files. Default: all figures.", autocompletion=complete_figure
    ),
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[SCALE] FIGURE",
        help="A figure's file, or its name after its scale.",
        autocompletion=complete_scale_or_figure,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; docs/commands.md lists its fields.")]
