"""Legal options of any registered entry, made from the fields and bounds that its file declares; the same every time.

A field or a class whose values cannot be guessed declares `examples`, as pydantic's `Field` takes them. A class does it
with `model_config = {"json_schema_extra": {"examples": [{…}]}}`.
"""

import itertools
from typing import Any

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.validation import validate_options

Options = dict[str, Any]
NUMBER, COUNT = 0.1, 3  # values where the bounds allow them
MOST = 12  # sets of options of an entry


def options(kind: str, name: str, number: float = NUMBER, count: int = COUNT) -> list[Options]:
    """Return sets of legal options of an entry.

    The first one leaves out what has a default. Each further one takes another alternative of one field: another word
    of a list of words, another type, or a value beside the default.
    """
    schema = registry.options_class(kind, name).model_json_schema()
    sets = list(itertools.islice(_Values(schema.get("$defs", {}), number, count).of(schema), MOST))
    for one in sets:
        _check(kind, name, one)
    return sets


def _check(kind: str, name: str, one: Options) -> None:
    try:
        validate_options(kind, name, one, str(registry.path(kind, name)))
    except UserError as error:
        advice = "the value was guessed from the field's type and bounds; declare examples: Field(examples=[…])"
        raise AssertionError(f"{error}; {advice}") from error


class _Values:
    """The values of the nodes of a JSON schema."""

    def __init__(self, definitions: dict[str, Any], number: float, count: int) -> None:
        self.definitions, self.number, self.count = definitions, number, count

    def of(self, node: dict[str, Any]) -> list[Any]:
        """Return at least one value for a node; several where it has alternatives."""
        if "$ref" in node:
            node = {**self.definitions[node["$ref"].rpartition("/")[2]], **node}
        match node:
            case {"examples": values} | {"enum": values}:
                return list(values)
            case {"const": value}:
                return [value]
            case {"anyOf": branches} | {"oneOf": branches} | {"allOf": branches}:
                return [value for branch in branches for value in self.of(branch)]
            case {"type": "object"}:
                return self._objects(node)
            case {"type": "array"}:
                items = node.get("prefixItems") or [node["items"]] * max(1, node.get("minItems", 1))
                return [[self.of(item)[0] for item in items]]
            case {"type": "integer"}:
                return [int(self._between(node, self.count))]
            case {"type": "number"}:
                return [self._between(node, self.number)]
            case {"type": kind}:
                return {"boolean": [False, True], "string": ["word"], "null": [None]}[kind]
        raise NotImplementedError(f"no value for {node}")

    def _objects(self, node: dict[str, Any]) -> list[Any]:
        values = {key: self.of(child) for key, child in node.get("properties", {}).items()}
        base = {key: values[key][0] for key in node.get("required", ())}
        others = [
            {**base, key: value}
            for key, alternatives in values.items()
            for value in alternatives
            if value != base.get(key, node["properties"][key].get("default"))
        ]
        return [base, *others]

    def _between(self, node: dict[str, Any], wanted: float) -> float:
        """Return `wanted` above the lower bound if that is legal, else a quarter of the way to the upper one."""
        lowest = node.get("minimum", node.get("exclusiveMinimum", 0))
        highest = node.get("maximum", node.get("exclusiveMaximum"))
        if isinstance(wanted, int):
            return max(lowest, wanted if highest is None else min(wanted, highest))
        return lowest + (wanted if highest is None or lowest + wanted < highest else (highest - lowest) / 4)
