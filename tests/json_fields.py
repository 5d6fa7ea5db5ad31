"""What docs/commands.md says of the JSON that commands print."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FREE = {"seconds", "progress", "versions", "specification", "code", "choice", "by_noise", "scores"}


def undocumented(document: dict[str, Any], command: str) -> set[str]:
    """Return the fields of a document that docs/commands.md does not name in the command's section."""
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    _, section = text.split(f"### `smoothing {command}`\n")  # one section, no two
    return set(fields(document)) - set(re.findall(r"`(\w+)`", section.split("\n### ")[0]))


def fields(content: Any) -> Iterator[str]:
    """Yield the keys of a document; what is below some of them is named by users, or documented elsewhere."""
    for item in content if isinstance(content, list) else ():
        yield from fields(item)
    for key, value in content.items() if isinstance(content, dict) else ():
        yield key
        if key not in FREE:
            yield from fields(value)
