"""Errors that a user can act on: one sentence that names the bad thing and the legal ones."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what the user gave (config, data, disk); shown without a traceback."""

    exit_status = 1


def unknown(kind: str, name: object, legal: Iterable[str], where: str) -> UserError:
    """Return the error for a `name` that is not one of the `legal` ones of its `kind`, found in file `where`."""
    choices = sorted(legal)
    close = get_close_matches(str(name), choices, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return UserError(f"{where}: unknown {kind} '{name}'{hint}; legal: {', '.join(choices) or 'none'}")


def cannot_write(path: object, error: OSError) -> UserError:
    """Return the error for a file that a full or read-only disk refused."""
    return UserError(f"cannot write {path}: {error.strerror or error}; nothing was left in its place")
