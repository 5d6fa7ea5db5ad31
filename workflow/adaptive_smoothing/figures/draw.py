"""From a figure's table to its PDF and PNG: opens the table, lets figures/<kind>.py draw, saves and records."""

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.figures._style import save, style_context


def draw(table: str, outputs: list[str], record: str) -> None:
    """Draw the figure that `table` is behind into each of `outputs` (PDF, PNG); the table alone decides.

    Each output names the table's hash, and `record`, written last, the hashes of all of them (see draw_record.py).
    """
    frame, description = parquet.read_frame(table)
    digest = sha256_of(table)
    module = registry.load("figure", description["kind"])
    with style_context():
        figure = module.draw(module.data(frame, description), description)
        save(figure, outputs, description, draw_record.keywords(digest))
    draw_record.write_record(record, digest, outputs)
