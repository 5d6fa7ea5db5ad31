"""From a figure's table to its PDF and PNG: opens the table, lets figures/<name>.py draw, saves."""

from adaptive_smoothing import records, registry
from adaptive_smoothing.figures._style import save, styled


def draw(table: str, outputs: list[str]) -> None:
    """Draw the figure that `table` is behind into each of `outputs` (PDF, PNG); the table alone decides."""
    frame, description = records.read_frame(table)
    module = registry.load("figure", description["figure"])
    with styled():
        figure = module.draw(module.data(frame, description), description)
        save(figure, outputs, description)
