"""From a figure's table to its PDF and PNG: opens the table, lets figures/<name>.py draw, saves and records."""

from adaptive_smoothing import drawn, records, registry
from adaptive_smoothing.figures._style import save, styled


def draw(table: str, outputs: list[str], record: str) -> None:
    """Draw the figure that `table` is behind into each of `outputs` (PDF, PNG); the table alone decides.

    Each output names the table's hash, and `record`, written last, the hashes of all of them (see drawn.py).
    """
    frame, description = records.read_frame(table)
    digest = drawn.sha256(table)
    module = registry.load("figure", description["figure"])
    with styled():
        figure = module.draw(module.data(frame, description), description)
        save(figure, outputs, description, drawn.keywords(digest))
    drawn.write_record(record, digest, outputs)
