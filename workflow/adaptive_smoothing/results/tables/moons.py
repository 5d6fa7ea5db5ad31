"""Two moons under logistic regression (extra_moons): the label noise of each example and of the plane around them."""

import pyarrow as pa

from adaptive_smoothing.core.asked import AskedFigure
from adaptive_smoothing.results.inputs import Inputs, Table, to_table
from adaptive_smoothing.theory import moons

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("kind", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("label", pa.int64()),
        ("mean", pa.float64()),
        ("variance", pa.float64()),
        ("noise", pa.float64()),
    ]
)


def check_runs(asked: AskedFigure) -> None:
    """Refuse runs: the table is computed from the options alone."""
    asked.needs_no_runs()


def make(inputs: Inputs) -> Table:
    """Return the examples of two moons and the plane around them under logistic regression (see moons.py)."""
    frame = moons.table(inputs.description["options"], f"figure {inputs.description['figure']}")
    return to_table(frame, SCHEMA), {}
