"""What ties a drawn figure to its table: the table's hash inside the figure, and the record beside the table.

The record, `<figure>.drawn.json`, is {"table": sha256, "files": {path: sha256}}. Whoever edits table, PDF or PNG by
hand makes one of these hashes wrong.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write, sha256_of
from adaptive_smoothing.core.options import Strict

# matplotlib writes both uncompressed, and escapes parentheses in other entries, so that no title can pose as this one.
_NAMED_TABLE = {
    ".pdf": re.compile(rb"/Keywords\s*\(table sha256:([0-9a-f]{64})\)"),
    ".png": re.compile(rb"tEXtKeywords\0table sha256:([0-9a-f]{64})"),
}


class DrawRecord(Strict):
    """The table that figure files were drawn from, and the files; all as sha256."""

    table: str
    files: dict[str, str]


def keywords(table: str) -> str:
    """Return the keywords of a figure drawn from the table with this sha256."""
    return f"table sha256:{table}"


def table_named_in(figure: str | Path) -> str:
    """Return the sha256 of the table that a PDF or PNG says it was drawn from; raise UserError if it does not say."""
    pattern = _NAMED_TABLE.get(Path(figure).suffix)
    hashes = set(pattern.findall(_read_bytes(figure))) if pattern else set()
    if len(hashes) != 1:
        raise UserError(f"{figure}: its metadata does not name the hash of one table, as every figure drawn here does")
    return str(hashes.pop().decode())


def write_record(path: str, table: str, files: Sequence[str]) -> None:
    """Write the record of figure files just drawn from the table with this sha256."""
    record = DrawRecord(table=table, files={file: sha256_of(file) for file in files})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record.model_dump(), indent=2, sort_keys=True) + "\n")


def read_record(path: str | Path) -> DrawRecord:
    """Return a record; raise UserError for a missing or damaged one."""
    try:
        return DrawRecord.model_validate_json(_read_bytes(path))
    except ValidationError:
        raise UserError(f"{path}: is not the record of a drawn figure; delete it and draw the figure again") from None


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: does not exist") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
