"""Tables of figures, as commands read them: a missing one is a sentence with the command that makes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results.text import plural

Table = tuple[pd.DataFrame, dict[str, Any]]  # rows, and what the table says of itself


def read(scale: str, figures: Sequence[str]) -> list[Table]:
    """Return the tables of figures; raise UserError for a missing or damaged one."""
    files = [paths.TABLE.format(scale=scale, figure=name) for name in figures]
    if missing := [file for file in files if not Path(file).exists()]:
        which = missing[0] if len(missing) == 1 else f"{missing[0]} and {plural(len(missing) - 1, 'other table')}"
        do_not = "does not" if len(missing) == 1 else "do not"
        raise UserError(f"{which}: {do_not} exist; to make what is missing: snakemake {' '.join(missing)} --cores 2")
    return [parquet.read_frame(file) for file in files]
