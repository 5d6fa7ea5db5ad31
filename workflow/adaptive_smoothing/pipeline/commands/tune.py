"""Which hyper-parameters a tuning scale finds, from its tables.

The key `tunes` of the scale names the scale whose figures will use them. An axis that those figures have a grid of is
chosen there, for each noise.
"""

from dataclasses import dataclass
from typing import Any

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.commands import figure_tables, words
from adaptive_smoothing.pipeline.plan import Plan
from adaptive_smoothing.results import accuracy, tuning


@dataclass(frozen=True)
class Tuning:
    """What a tuning scale finds for the scale that it tunes."""

    scale: str
    tunes: str
    picks: list[tuning.Pick]

    def text(self) -> str:
        """Return it for people."""
        return "\n".join(tuning.text(self.picks)).rstrip()

    def document(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {"scale": self.scale, "tunes": self.tunes, "picks": [pick.plain() for pick in self.picks]}


def tuned(scale: str) -> Tuning:
    """Return what a tuning scale finds for each method of each of its figures.

    Raises Misuse for a scale that does not exist, and UserError for one that tunes no other and for a missing or
    damaged table.
    """
    planned = words.scale(scale)
    tunes = planned.scale.tunes
    if tunes is None:
        raise UserError(
            f"{planned.file}: has no key 'tunes', so it is no tuning scale; set it to the scale that gets the picks"
        )
    if tunes not in (scales := plan.scale_names()):
        raise unknown("scale", tunes, scales, f"{planned.file}, tunes")
    per_noise = axes_of_figures(plan.load(tunes))
    names = [name for name, figure in planned.figures.items() if accuracy.has_accuracies(figure.description)]
    found = [pick for table in figure_tables.read(scale, names) for pick in tuning.picks(*table, per_noise)]
    if not found:
        raise UserError(f"{planned.file}: no method in its figures has a grid, so there is nothing to pick")
    return Tuning(scale, tunes, found)


def axes_of_figures(planned: Plan) -> dict[str, set[str]]:
    """Return method → the axes of its grids in the figures that compare methods."""
    axes: dict[str, set[str]] = {}
    for figure in planned.figures.values():
        if accuracy.compares(figure.description):
            for method, names in figure.description["grids"].items():
                axes.setdefault(method, set()).update(names)
    return axes
