"""A scale that inherits: another scale, with some values replaced (docs/scales.md has an example).

Mappings of `overrides` merge into those of the other scale at every depth. Any other value, a list too, replaces the
inherited one. `null` removes the inherited key, so the key's default applies. A label is never inherited, so that
nobody takes the figures for the other scale's. Extras whose runs are those of a figure stay with the figure's new runs.

`cut` applies before `overrides` and says what overrides cannot: the same for every setup and every grid, whatever their
names. Without it, a setup that is new in paper.yaml would run for all its epochs in the rehearsal.

`add` applies last and says the other thing that overrides cannot: mappings merge as there, but a list is appended to
the inherited one. So a figure gets further runs, or the scale a further seed, without a copy of what is there.
"""

import math
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.options import PositiveInt, Strict
from adaptive_smoothing.pipeline.validation import Content, Place

KEY = "inherits"


class Cut(Strict):
    """What is cut in every setup and every figure of the other scale; an absent key cuts nothing."""

    figures: tuple[str, ...] | None = Field(default=None, description="the figures and extras that stay; the others go")
    epochs: PositiveInt | None = Field(default=None, description="at most; milestones and warm-ups shrink alike")
    grids: Literal["ends"] | None = Field(default=None, description="the first and the last value of each axis")


class Heir(Strict):
    """All that the file of a scale which inherits may hold."""

    inherits: str
    cut: Cut = Cut()
    overrides: Content
    add: Content = {}


def check(heir: Heir, base: Content, place: Place) -> None:
    """Raise UserError, naming the file at `place`, if the scale cuts or adds what the content `base` does not allow."""
    figures = [*base["figures"], *base.get("extras", {})]
    for name in heir.cut.figures or ():
        if name not in figures:
            raise unknown("figure", name, figures, str(place.at("cut", "figures")))
    _check_additions(heir.add, merge(base, heir.overrides), place.at("add"))


def _check_additions(additions: Content, content: Content, place: Place) -> None:
    """Raise UserError for an addition that would replace a value, or is none."""
    for key, value in additions.items():
        there = content.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            _check_additions(value, there, place.at(key))
        elif value is None:
            raise UserError(f"{place.at(key)}: null adds nothing; write it under 'overrides' to remove the key")
        elif key in content and not (_is_list(value) and _is_list(there)):
            raise UserError(f"{place.at(key)}: has a value already; write the new one under 'overrides'")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def expand(heir: Heir, base: Content) -> Content:
    """Return the content of a scale that inherits from one with the valid content `base`."""
    cut = _cut(base, heir.cut)
    content = added(merge(cut, heir.overrides), heir.add)
    if isinstance(content.get("extras"), dict):
        content["extras"] = _with_runs_of_figures(cut, content, merge(heir.overrides, heir.add))
    if heir.overrides.get("label") is None:
        content.pop("label", None)
    return content


def merge(base: Content, overrides: Content) -> Content:
    """Return `base` with `overrides` merged into it, as the module says."""
    result = dict(base)
    for key, value in overrides.items():
        if value is None and key in base:
            del result[key]
        elif isinstance(value, dict):
            inherited = base.get(key)
            result[key] = merge(inherited if isinstance(inherited, dict) else {}, value)
        else:
            result[key] = value
    return result


def added(base: Content, additions: Content) -> Content:
    """Return `base` with `additions` merged into it; their lists are appended to those of `base`."""
    result = dict(base)
    for key, value in additions.items():
        there = base.get(key)
        if isinstance(value, dict):
            result[key] = added(there if isinstance(there, dict) else {}, value)
        else:
            result[key] = [*there, *value] if isinstance(there, list | tuple) else value
    return result


def _with_runs_of_figures(base: Content, content: Content, overrides: Content) -> Content:
    """Return the extras of `content`; one that has the runs of a figure of `base` gets that figure's own of `content`.

    An anchor in the other scale's file makes them the same runs, and overrides cannot reach an anchor.
    """
    extras = dict(content["extras"])
    for name, extra in base.get("extras", {}).items():
        figures = [key for key, figure in base["figures"].items() if figure.get("runs") == extra.get("runs")]
        changed = [runs for key in figures if (runs := _runs(content, "figures", key)) is not None]
        inherits = name in extras and _runs(overrides, "extras", name) is None
        if extra.get("runs") and inherits and changed:
            extras[name] = {**extras[name], "runs": changed[0]}
    return extras


def _runs(content: Content, key: str, name: str) -> Any:
    """Return the runs of a figure or extra; None where there are none, or no such figure."""
    for part in (key, name, "runs"):
        content = content.get(part) if isinstance(content, dict) else None  # type: ignore[assignment]
    return content


def _cut(content: Content, cut: Cut) -> Content:
    result = dict(content)
    if cut.figures is not None:
        for key in {"figures", "extras"} & content.keys():
            result[key] = {name: figure for name, figure in content[key].items() if name in cut.figures}
    if cut.epochs is not None:
        result["setups"] = {name: _shorter(setup, cut.epochs) for name, setup in content["setups"].items()}
    if cut.grids is not None:
        for key in {"figures", "extras"} & content.keys():
            result[key] = {name: _with_ends(figure) for name, figure in result[key].items()}
    return result


def _shorter(setup: Content, limit: int) -> Content:
    """Return a setup with at most `limit` epochs and every method's schedule shrunk by as much."""
    if setup["epochs"] <= limit:
        return setup
    share = Fraction(limit, setup["epochs"])
    overrides = setup.get("noise_overrides", {})
    return {
        **setup,
        "epochs": limit,
        "methods": _rescheduled(setup["methods"], share),
        "noise_overrides": {noise: _rescheduled(methods, share) for noise, methods in overrides.items()},
    }


def _rescheduled(methods: Content, share: Fraction) -> Content:
    return {
        method: {key: _shrunk(value, share) if key == "schedule" else value for key, value in values.items()}
        for method, values in methods.items()
    }


def _shrunk(schedule: Content, share: Fraction) -> Content:
    """Return a schedule over `share` as many epochs, rounded up to whole ones.

    Milestones that fall together become one. At least one epoch is left where there were any: a warm-up of less than a
    step would be none, and how many steps an epoch has is not known here.
    """
    shrunk = dict(schedule)
    if "milestones" in schedule:
        milestones = (math.ceil(Fraction(milestone) * share) for milestone in schedule["milestones"])
        shrunk["milestones"] = list(dict.fromkeys(milestones))
    if "warmup_epochs" in schedule:
        shrunk["warmup_epochs"] = math.ceil(Fraction(schedule["warmup_epochs"]) * share)
    return shrunk


def _with_ends(figure: Content) -> Content:
    return {**figure, "runs": [_ends_of_axes(grid) for grid in figure.get("runs", ())]}


def _ends_of_axes(grid: Content) -> Content:
    methods = {
        method: {axis: values if len(values) < 3 else (values[0], values[-1]) for axis, values in axes.items()}
        for method, axes in grid["methods"].items()
    }
    return {**grid, "methods": methods}
