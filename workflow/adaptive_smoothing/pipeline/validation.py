"""Checks values from YAML against typed models. A mistake becomes one sentence about the place where it stands."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.options import Strict

Content = dict[str, Any]
KeyPath = tuple[str | int, ...]
LONGEST_VALUE = 60  # characters of a wrong value that a message quotes
# Old key → new key, for one release
RENAMED = {
    "by_noise": "noise_overrides",
    "label_noise_samples": "label_noise_mc_samples",
    "mc_samples": "train_mc_samples",
    "posterior_samples": "eval_mc_samples",
    "speed": "performance",
    "train_evaluation": "train_eval_subset",
    "warm": "fork_server",  # of --config
}
# What a value must be, by the first word of pydantic's type of error
TYPES = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a mapping",
    "string": "a text",
    "tuple": "a list",
}
NUMBERS = ("float_type", "int_type")
# What else it must be, by the whole type
RULES = {
    "string_too_short": "it must not be empty",
    "too_long": "it must hold at most {max_length} values",
    "too_short": "it must not be empty",
}


@dataclass(frozen=True)
class Place:
    """A place in a file, as messages name it: 'config/small.yaml, setups.digits.methods.ls'.

    `overrides` are those of a scale that inherits: what they set is reported there. `inherited` is what they change.
    """

    file: str
    path: KeyPath = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    inherited: Mapping[str, Any] = field(default_factory=dict)

    def at(self, *parts: str | int) -> "Place":
        """Return the place below this one."""
        return replace(self, path=(*self.path, *parts))

    @property
    def parent(self) -> "Place":
        """The place above this one."""
        return replace(self, path=self.path[:-1])

    @property
    def is_overridden(self) -> bool:
        """Whether the overrides reach this place."""
        return bool(self.overrides) and _known_path(self.overrides, self.path) == self.path

    @property
    def added(self) -> "Place | None":
        """The first place on the way here that the overrides add to what is inherited; None if they add none."""
        ways = (replace(self, path=self.path[:length]) for length in range(1, len(self.path) + 1))
        return next(
            (way for way in ways if way.is_overridden and _known_path(self.inherited, way.path) != way.path), None
        )

    @property
    def inherited_keys(self) -> tuple[str, ...]:
        """The keys that are inherited beside the last one of this place."""
        content: Any = self.inherited
        for part in self.path[:-1]:
            content = content[part]
        return tuple(content)

    @property
    def keys(self) -> str:
        """The keys that lead to the place: 'setups.digits.methods.ls', 'figures.fig5.runs[0]'."""
        path = ("overrides", *self.path) if self.is_overridden else self.path
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.file}, {self.keys}" if self.keys else self.file


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with checked values, below the place of all of them."""

    path: KeyPath
    details: ErrorDetails

    @property
    def is_missing_key(self) -> bool:
        """Whether a key of the values themselves is missing, not one further down."""
        return self.details["type"] == "missing" and len(self.path) == 1

    def error(self, place: Place) -> UserError:
        """Return the sentence for values that stand at `place`."""
        place, context, value = place.at(*self.path), self.details.get("ctx", {}), self.details["input"]
        added = place.added
        if value is None and added is not None and added.path == place.path:
            return _nothing_to_remove(added)
        match self.details["type"]:
            case "unknown_key":
                return _unknown_key(context["key"], context["legal"], place)
            case "missing" if isinstance(place.path[-1], int):
                return UserError(f"{place.parent}: {_quoted(value)} is not allowed; it must hold more values")
            case "missing":
                return UserError(f"{place.parent}: key '{place.path[-1]}' is missing{_not_inherited(place.parent)}")
            case "literal_error":
                return unknown("value", value, re.findall(r"'([^']*)'", context["expected"]), str(place))
            case "union_tag_invalid":
                legal = re.findall(r"'([^']*)'", context["expected_tags"])
                return unknown("kind", context["tag"], legal, str(place.at("kind")))
            case "union_tag_not_found":
                return UserError(f"{place}: key 'kind' is missing")
        return UserError(f"{place}: {_quoted(value)} is not allowed; {self._rule}{self._hint}")

    @property
    def _hint(self) -> str:
        """What to do about quotes that are too many or too few."""
        problem, value = self.details["type"], self.details["input"]
        if problem in NUMBERS and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", value):
            return "; write it without quotes or zeros before it"
        if problem == "string_type" and isinstance(value, bool | int | float):
            return "; write it in quotes"
        return ""

    @property
    def _rule(self) -> str:
        problem = self.details["type"]
        if problem in RULES:
            return RULES[problem].format(**self.details.get("ctx", {}))
        if expected := TYPES.get(problem.partition("_")[0]):
            return f"it must be {expected}"
        return self.details["msg"].removeprefix("Value error, ").replace("Input should", "it must")


def validate(adapter: TypeAdapter[Any], content: object, place: Place | str) -> Any:
    """Return the validated `content`; raise UserError for the first problem."""
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        raise _problems(error, content)[0].error(_as_place(place)) from None


def validate_options(kind: str, name: str, values: Content, place: Place | str) -> Strict:
    """Return the validated options of a registered entry; raise UserError for the first problem."""
    registry.check(kind, name, str(place))
    options: Strict = validate(_adapter(kind, name), values, place)
    return options


def problems_of_options(kind: str, name: str, values: Content) -> list[Problem]:
    """Return all that is wrong with the options of a registered entry, unknown keys first, missing ones last."""
    try:
        _adapter(kind, name).validate_python(values)
    except ValidationError as error:
        return _problems(error, values)
    return []


@cache
def _adapter(kind: str, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(registry.options_class(kind, name))


def _as_place(place: Place | str) -> Place:
    return place if isinstance(place, Place) else Place(place)


def _problems(error: ValidationError, content: object) -> list[Problem]:
    """Return pydantic's problems. An unknown key comes first: it explains the missing one that it was meant to be."""
    order = {"unknown_key": 0, "missing": 2}
    problems = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
    return [Problem(_path(problem, content), problem) for problem in problems]


def _path(problem: ErrorDetails, content: object) -> KeyPath:
    """Return the path of keys to a problem, without the names that pydantic gives to the members of a union."""
    if problem["type"] == "missing":
        return (*_known_path(content, problem["loc"][:-1]), problem["loc"][-1])
    return _known_path(content, problem["loc"])


def _known_path(content: Any, path: KeyPath) -> KeyPath:
    """Return the parts of `path` that lead through nested mappings and lists."""
    known = []
    for part in path:
        try:
            content = content[part]
        except (LookupError, TypeError):
            continue
        known.append(part)
    return tuple(known)


def _nothing_to_remove(place: Place) -> UserError:
    """Return the error for a null in overrides that removes no inherited key."""
    return unknown("inherited key", place.path[-1], place.inherited_keys, str(place.parent))


def _not_inherited(place: Place) -> str:
    """Return a remark on a place that overrides add and that lacks a key: an inherited one may have been meant."""
    added = place.added
    close = get_close_matches(str(added.path[-1]), added.inherited_keys, n=1) if added else []
    return f"; '{added.path[-1]}' is not inherited (did you mean '{close[0]}'?)" if added and close else ""


def _unknown_key(key: str, legal: list[str], place: Place) -> UserError:
    new = RENAMED.get(key)
    if new in legal:
        return UserError(f"{place}: key '{key}' was renamed to '{new}'; write '{new}'")
    error = unknown("key", key, legal, str(place))
    if place.overrides and not place.at(key).is_overridden:
        return UserError(f"{error}; '{key}' is inherited, and '{key}: null' removes it")
    return error


def _quoted(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
