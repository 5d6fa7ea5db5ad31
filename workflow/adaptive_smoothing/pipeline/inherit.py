"""A scale that inherits: config/<scale>.yaml names another scale and says how much of it is cut, and nothing else.

The rule is the same for whatever the other scale holds, so that a change there (a method, a noise, a learning rate) is
in the inheriting scale at once. The keys, and what each one changes, stand in config/rehearsal.yaml.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.options import PositiveInt, Strict

KEY = "inherits"
Content = dict[str, Any]


class Cut(Strict):
    """How much of the other scale is left; a key that is absent cuts nothing."""

    epochs: PositiveInt | None = Field(default=None, description="of every setup, at most; schedules shrink alike")
    seeds: PositiveInt | None = Field(default=None, description="the first so many, also of a figure's own")
    grids: Literal["ends"] | None = Field(default=None, description="of each grid, the first and the last value")
    eval_mc_samples: PositiveInt | None = Field(default=None, description="at most")
    label_noise_mc_samples: PositiveInt | None = Field(
        default=None, description="of every figure that has them, at most"
    )


class Inheriting(Strict):
    """All that a scale which inherits may say."""

    inherits: str
    label: Annotated[str, Field(min_length=1, description="printed on every figure")]
    data_root: str | None = None
    data_variant: str | None = None
    cut: Cut = Cut()


def expand(own: Inheriting, path: Path, read: Callable[[Path], Content], load: Callable[[Path], BaseModel]) -> Content:
    """Return the whole content of the scale in file `path`, still to be checked as any other's.

    `read` gives a scale file's content as it stands, `load` the checked scale. Raises UserError if the other scale is
    missing or inherits itself (which excludes circles).
    """
    base = path.with_name(f"{own.inherits}.yaml")
    if not base.is_file():
        others = (other.stem for other in path.parent.glob("*.yaml") if other != path)
        raise unknown("scale", own.inherits, others, f"{path}, {KEY}")
    if KEY in read(base):
        raise UserError(
            f"{path}: inherits from '{own.inherits}', which inherits itself; legal: a scale that stands on its own"
        )
    content = load(base).model_dump()
    content |= {key: value for key in ("data_root", "data_variant") if (value := getattr(own, key)) is not None}
    return {**_cut(content, own.cut), "label": own.label}


def _cut(content: Content, cut: Cut) -> Content:
    return {
        **content,
        "seeds": content["seeds"][: cut.seeds],
        "eval_mc_samples": _at_most(content["eval_mc_samples"], cut.eval_mc_samples),
        "setups": {name: _shorter(setup, cut.epochs) for name, setup in content["setups"].items()},
        **{key: {name: _smaller(one, cut) for name, one in content[key].items()} for key in ("figures", "extras")},
    }


def _at_most(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)


def _shorter(setup: Content, limit: int | None) -> Content:
    """Return a setup with at most `limit` epochs and every method's schedule shrunk by as much."""
    epochs = _at_most(setup["epochs"], limit)
    if epochs == setup["epochs"]:
        return setup
    share = Fraction(epochs, setup["epochs"])
    noise_overrides = {noise: _rescheduled(methods, share) for noise, methods in setup["noise_overrides"].items()}
    return {
        **setup,
        "epochs": epochs,
        "methods": _rescheduled(setup["methods"], share),
        "noise_overrides": noise_overrides,
    }


def _rescheduled(methods: dict[str, Content], share: Fraction) -> dict[str, Content]:
    return {
        method: {key: _shrunk(value, share) if key == "schedule" else value for key, value in values.items()}
        for method, values in methods.items()
    }


def _shrunk(schedule: Any, share: Fraction) -> Any:
    """Return a schedule in `share` as many epochs; what is no schedule is left to the check of its method."""
    if not isinstance(schedule, dict):
        return schedule
    changed = dict(schedule)
    if isinstance(milestones := schedule.get("milestones"), (list, tuple)):
        changed["milestones"] = tuple(_whole_epochs(milestone, share) for milestone in milestones)
    if "warmup_epochs" in schedule:
        changed["warmup_epochs"] = _whole_epochs(schedule["warmup_epochs"], share)
    return changed


def _whole_epochs(number: Any, share: Fraction) -> Any:
    """Return so many epochs shrunk and rounded up, which leaves at least one where there were any.

    A warm-up of less than a step would be no warm-up, and the number of steps in an epoch is not known here.
    """
    if not isinstance(number, (int, float)) or not math.isfinite(number):
        return number
    return math.ceil(Fraction(number) * share)


def _smaller(figure: Content, cut: Cut) -> Content:
    """Return a figure with fewer seeds, values of its grids and samples of label noise."""
    samples = figure["label_noise_mc_samples"]
    return {
        **figure,
        "runs": tuple(_fewer(grid, cut) for grid in figure["runs"]),
        "label_noise_mc_samples": None if samples is None else _at_most(samples, cut.label_noise_mc_samples),
    }


def _fewer(grid: Content, cut: Cut) -> Content:
    seeds = None if grid["seeds"] is None else grid["seeds"][: cut.seeds]
    if cut.grids is None:
        return {**grid, "seeds": seeds}
    ends = {method: {axis: _ends(values) for axis, values in axes.items()} for method, axes in grid["methods"].items()}
    return {**grid, "seeds": seeds, "methods": ends}


def _ends(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return values if len(values) < 3 else (values[0], values[-1])
