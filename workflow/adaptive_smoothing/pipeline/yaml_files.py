"""Reads YAML files strictly: only what looks like a number or a truth value is one, and a key given twice is an error.

YAML 1.1 takes `12:00:00` for 43,200, `010` for eight, `2024-01-31` for a date and `no` for false. Here all of these are
texts, as in YAML 1.2, and `1e-3`, a text in YAML 1.1, is a number.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from adaptive_smoothing.core.errors import UserError

try:
    from yaml import CSafeLoader as SafeLoader  # seven times as fast
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"
# What a plain word is, unless it is a text: tag, pattern, first letters
WORDS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)(\.([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", "-+0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)


class StrictLoader(SafeLoader):
    """YAML whose keys are texts, each given once; see the module for its numbers."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # none of YAML 1.1's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; raise YAMLError for a key that is given twice or is no text."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
        place = f"in the mapping of line {node.start_mark.line + 1}"
        for key in keys:
            if not isinstance(key, str):
                raise yaml.YAMLError(f"key {json.dumps(key, default=str)} {place} is no text; write it in quotes")
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key '{key}' is given twice {place}")
        return super().construct_mapping(node, deep=deep)


for name, pattern, letters in WORDS:
    first = [letter.replace("\0", "") for letter in letters]
    StrictLoader.add_implicit_resolver(TAG + name, re.compile(rf"^(?:{pattern})$"), first)


def read(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Return the mapping in a file that should hold `keys`.

    Raises FileNotFoundError if there is no such file, and UserError if it holds no mapping or cannot be read.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the latter two from the values themselves
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise UserError(f"{path}: holds {kind}, not a mapping; legal keys: {', '.join(keys)}")
    if _is_circular(content):
        raise UserError(f"{path}: an alias (*…) stands within the block that it names; write that block out")
    return content


def _is_circular(value: object, above: tuple[int, ...] = ()) -> bool:
    """Return whether a value holds itself."""
    if not isinstance(value, dict | list):
        return False
    if id(value) in above:
        return True
    parts = value.values() if isinstance(value, dict) else value
    return any(_is_circular(part, (*above, id(value))) for part in parts)
