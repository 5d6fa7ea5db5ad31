"""Test accuracies ± s.d. of every method that a scale's figures compare, from their tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.commands import figure_tables, words
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan
from adaptive_smoothing.results import accuracy


@dataclass(frozen=True)
class Accuracies:
    """The accuracies of a scale's figures: a row a figure, noise and method."""

    scale: str
    rows: pd.DataFrame

    def text(self) -> str:
        """Return them as a Markdown table."""
        return "\n".join(accuracy.markdown(self.rows))

    def document(self) -> dict[str, Any]:
        """Return them for scripts."""
        return {"scale": self.scale, "accuracies": accuracy.plain(self.rows)}


def accuracies(scale: str, names: Sequence[str] | None = None) -> Accuracies:
    """Return the accuracies of the named figures, or of all figures of the scale that compare methods.

    Raises Misuse for a scale or figure that does not exist, and UserError for a figure without accuracies and for a
    missing or damaged table.
    """
    planned, named = words.scale_and_figures(scale, names or ())
    figures = [planned.figure(name) for name in named] or _comparing(planned)
    for figure in figures:
        if not accuracy.has_accuracies(figure.description):
            legal = [name for name, other in planned.figures.items() if accuracy.has_accuracies(other.description)]
            raise UserError(
                f"{figure.name} of scale '{planned.name}' has no test accuracies; "
                f"figures that have some: {', '.join(legal) or 'none'}"
            )
    tables = figure_tables.read(planned.name, [figure.name for figure in figures])
    return Accuracies(planned.name, accuracy.of_figures(tables))


def _comparing(planned: Plan) -> list[FigurePlan]:
    figures = [figure for figure in planned.figures.values() if accuracy.compares(figure.description)]
    if not figures:
        raise UserError(f"{planned.file}: none of its figures compares methods; name those whose accuracies you want")
    return figures
