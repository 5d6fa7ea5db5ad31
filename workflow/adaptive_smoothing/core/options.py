"""Base classes for the options that a registered file (method, dataset, model, figure) declares.

Such a class is executed twice: in its own file, and here, by `registry.options_class`. Planning reads the class from
the file's syntax tree, because importing the file may need torch. So the class may use only the names of this module
and Python's builtins.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from adaptive_smoothing.core import paths

__all__ = [
    "Annotated",
    "BaseHyperparameters",
    "BelowOne",
    "CosineSchedule",
    "Distinct",
    "Field",
    "FolderText",
    "Fraction",
    "Literal",
    "NonNegative",
    "NonNegativeInt",
    "Positive",
    "PositiveInt",
    "SGDHyperparameters",
    "Seed",
    "StepSchedule",
    "Strict",
    "SubsetOptions",
    "model_validator",
    "named_or_file",
]
LARGEST = 2**31 - 1  # of a count
LARGEST_SEED = 2**32 - 1  # that NumPy's legacy generator takes
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1, le=LARGEST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Values = TypeVar("Values", bound=Sequence[Any])


def _is_distinct(values: Values) -> Values:
    """Refuse a list that holds a value twice; true is no 1."""
    seen: list[tuple[bool, Any]] = []
    for value in values:
        key = (isinstance(value, bool), value)
        if key in seen:
            raise PydanticCustomError("distinct", "it holds {value} twice", {"value": json.dumps(value, default=str)})
        seen.append(key)
    return values


def is_folder(text: str) -> str:
    """Refuse an empty text, and one that names a variable of the shell that is not set."""
    if not text.strip():
        raise PydanticCustomError("folder", "it must name a folder")
    if unset := paths.unset_variables(text):
        raise PydanticCustomError("folder", "the variable {name} is not set", {"name": unset[0]})
    return text


Distinct = AfterValidator(_is_distinct)
FolderText = Annotated[str, AfterValidator(is_folder)]  # as it is written; `paths.expanded` gives the folder


def named_or_file(names: tuple[str, ...], endings: tuple[str, ...]) -> AfterValidator:
    """Return the check of a word that must be one of `names` or a file with one of `endings` (".pth")."""

    def checked(word: str) -> str:
        if word in names or word.endswith(endings):
            return word
        raise PydanticCustomError("named_or_file", f"legal: {', '.join(names)}, or a file *{', *'.join(endings)}")

    return AfterValidator(checked)


def _make_strict(schema: Any) -> None:
    """Set `strict` on the numbers and truth values anywhere in a schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("bool", "float", "int"):
            schema["strict"] = True
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)


class Strict(BaseModel):
    """Typed values from YAML: unknown keys are refused, and a text or a truth value is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make every number and truth value strict; lists still become tuples, which pydantic's strict mode refuses."""
        schema = handler(source)
        _make_strict(schema)
        return schema

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
    milestones: Annotated[tuple[PositiveInt, ...], Distinct]
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

    momentum: BelowOne
