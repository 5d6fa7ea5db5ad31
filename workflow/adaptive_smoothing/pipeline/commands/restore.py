"""Write back the files that a figure's table keeps: those of its scale and code that no commit holds."""

from pathlib import Path

from adaptive_smoothing.core import parquet, paths, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.commands.program import Misuse


def restore(table: str, force: bool) -> str:
    """Write a table's files into the project's folder; return a sentence on what was done."""
    if Path(table).suffix != Path(paths.TABLE).suffix:
        example = paths.TABLE.format(scale="small", figure="fig7")
        raise Misuse(f"'{table}': is no figure's table; name one, such as {example}")
    kept = kept_in(table)
    if not kept:
        raise UserError(f"{table}: keeps no file; the commit that it names holds all that it was made from")
    changed = sources.restore(kept, Path(), force)
    return f"{table}: {len(changed)} of {len(kept)} files written: {', '.join(changed) or 'all were here'}"


def kept_in(table: str) -> sources.Files:
    """Return the files that a table keeps; raise UserError for a damaged table."""
    kept: sources.Files = parquet.read_metadata(table).get(sources.KEY, {}).get("files", {})
    return kept
