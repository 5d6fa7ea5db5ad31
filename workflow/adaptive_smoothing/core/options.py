"""Base classes for the options that a registered file (method, dataset, model, figure) declares.

Such a class is executed twice: in its own file, and here, by `registry.options_class`. Planning reads the class from
the file's syntax tree, because importing the file may need torch. So the class may use only the names of this module
and Python's builtins.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

__all__ = [
    "Annotated",
    "BaseHyperparameters",
    "CosineSchedule",
    "Field",
    "Fraction",
    "Literal",
    "NonNegative",
    "Positive",
    "PositiveInt",
    "SGDHyperparameters",
    "StepSchedule",
    "Strict",
    "SubsetOptions",
    "model_validator",
    "named_or_file",
]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]


def named_or_file(names: tuple[str, ...], endings: tuple[str, ...]) -> AfterValidator:
    """Return the check of a word that must be one of `names` or a file with one of `endings` (".pth")."""

    def checked(word: str) -> str:
        if word in names or word.endswith(endings):
            return word
        raise PydanticCustomError("named_or_file", f"legal: {', '.join(names)}, or a file *{', *'.join(endings)}")

    return AfterValidator(checked)


class Strict(BaseModel):
    """Typed values from YAML: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        """Refuse an unknown key with the legal ones, which pydantic's own error lacks."""
        if isinstance(values, dict) and not values.keys() <= (legal := cls.model_fields.keys()):
            context = {"key": next(key for key in values if key not in legal), "legal": list(legal)}
            raise PydanticCustomError("unknown_key", "unknown key '{key}'; legal: {legal}", context)
        return values


class SubsetOptions(Strict):
    """Sizes of stratified subsets of a published dataset, and the images' height = width; None: as published."""

    train_size: PositiveInt | None = None
    test_size: PositiveInt | None = None
    pixels: PositiveInt | None = None


class StepSchedule(Strict):
    """The learning rate is multiplied by `factor` at each milestone (in epochs)."""

    kind: Literal["step"]
    milestones: tuple[PositiveInt, ...]
    factor: Positive


class CosineSchedule(Strict):
    """Linear warm-up over `warmup_epochs`, then half a cosine down to zero; both per step."""

    kind: Literal["cosine"]
    warmup_epochs: NonNegative


class BaseHyperparameters(Strict):
    """What every method has. A method's own class adds its own; all values stand in the scale's YAML."""

    lr: Positive
    weight_decay: NonNegative
    schedule: StepSchedule | CosineSchedule = Field(discriminator="kind")


class SGDHyperparameters(BaseHyperparameters):
    """Stochastic gradient descent with (heavy-ball) momentum."""

    momentum: Annotated[float, Field(ge=0, lt=1)]
