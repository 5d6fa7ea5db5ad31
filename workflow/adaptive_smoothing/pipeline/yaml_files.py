"""Reads YAML files strictly: a key given twice is an error, and 1e-3 is a number."""

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

MERGE = "tag:yaml.org,2002:merge"


class StrictLoader(SafeLoader):
    """YAML in which a key given twice is an error and 1e-3 is a number (YAML 1.1 takes it for a word)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; raise YAMLError for a key given twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key '{key}' is given twice in the mapping of line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep=deep)


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


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
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise UserError(f"{path}: holds {kind}, not a mapping; legal keys: {', '.join(keys)}")
    return content
