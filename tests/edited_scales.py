"""The small scale with edits: what is refused, and with which sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, yaml_files

ROOT = Path(__file__).parents[1]
SMALL = yaml_files.read(ROOT / "config/small.yaml", ())


def refused(folder: Path, content: dict[str, Any] | str) -> str:
    """Return the sentence that refuses a scale with this content (a mapping or text), without the folder's name."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        plan.Plan("mine", folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"{folder}/mine.yaml")
    return sentence.removeprefix(f"{folder}/")


def accepted(folder: Path, content: dict[str, Any]) -> plan.Plan:
    """Return the plan of a scale with this content."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return plan.Plan("mine", folder)


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """Return the small scale with values replaced at paths such as 'setups/digits/epochs' (None: key removed)."""
    content: dict[str, Any] = json.loads(json.dumps(SMALL))  # a copy without YAML's shared pieces
    for path, value in changes:
        *parents, last = path.split("/")
        node: Any = content
        for key in parents:
            node = node[int(key) if isinstance(node, list) else key]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return content
