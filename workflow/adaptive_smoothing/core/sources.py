"""The files of the project that a table was made from and that no commit holds: their text is kept in the table.

`restore` writes them back, so that the figure can be made again from the commit that the table names.
"""

from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.options import Strict

KEY = "sources"
LIBRARY = "workflow/adaptive_smoothing"
CODE = ("Snakefile", "rules/", "workflow/")
LEGAL = (*CODE, "config/")
Files = dict[str, str | None]  # path in the project → text; None: the commit has the file, and the project has not


class MadeFrom(Strict):
    """The scale's files, and modules of the registered entries that a table is made from, such as 'methods.sam'."""

    scale_files: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()


def kept(made_from: MadeFrom) -> dict[str, Any]:
    """Return revision and files as a table keeps them; without a commit, the scale's files and the entries' modules."""
    checkout = environment.checkout()
    if checkout.commit is None:
        modules = (f"{LIBRARY}/{module.replace('.', '/')}.py" for module in made_from.entries)
        files = [*made_from.scale_files, *modules]
    else:
        files = [file for file in checkout.changed if file.startswith(CODE) or file in made_from.scale_files]
    return {"git_revision": checkout.revision, "files": {file: _text(file) for file in files}}


def restore(kept_files: Files, folder: Path, force: bool) -> list[str]:
    """Write kept files into a project's folder, and delete those that it did not have; return those that changed.

    Raises UserError, with nothing written, for a path outside the project's code and scales and, unless `force`, if a
    file is there with another content.
    """
    for file in kept_files:
        if not file.startswith(LEGAL) or ".." in Path(file).parts:
            raise UserError(f"{file}: is no file of the project's code or scales, so it is not restored")
    changed = [file for file, text in kept_files.items() if _text(file, folder) != text]
    if (present := [file for file in changed if (folder / file).exists()]) and not force:
        raise UserError(f"{present[0]}: is here with another content; nothing was written; --force overwrites it")
    for file in changed:
        _write(folder / file, kept_files[file])
    return changed


def differing(kept_files: Files, folder: Path = Path()) -> list[str]:
    """Return the kept files that a project's folder lacks, or has with another content."""
    return [file for file, text in kept_files.items() if _text(file, folder) != text]


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def _text(file: str, folder: Path = Path()) -> str | None:
    try:
        return (folder / file).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
