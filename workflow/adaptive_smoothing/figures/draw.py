"""From a figure's table to its PDF, PNG and CSV: opens the table, lets figures/<kind>.py draw, saves and records."""

import pandas as pd

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.files import atomic_write, sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.figures._style import save, style_context


def draw(table: str, outputs: list[str], numbers: str, record: str) -> None:
    """Draw the figure that `table` is behind into each of `outputs` (PDF, PNG); the table alone decides.

    `numbers` (CSV) gets what is drawn, such as means and standard deviations over seeds, without columns of lists.
    Each of `outputs` names the table's hash, and `record`, written last, the hashes of them (see draw_record.py).
    """
    frame, description = parquet.read_frame(table)
    digest = sha256_of(table)
    module = registry.load("figure", description["kind"])
    with style_context():
        data = module.data(frame, description)
        figure = module.draw(data, description)
        save(figure, outputs, description, draw_record.keywords(digest))
    with atomic_write(numbers) as temporary:
        _without_lists(data).to_csv(temporary, index=False)
    draw_record.write_record(record, digest, outputs)


def _without_lists(data: pd.DataFrame) -> pd.DataFrame:
    """Return the columns whose values are numbers or texts."""
    return data[[column for column in data.columns if not data[column].map(pd.api.types.is_list_like).any()]]
