"""Memorisation, beyond the paper: the share of wrong training labels that the network has learned, over epochs.

Drawn from the metrics table of Fig. 5's runs, with the test accuracy at the same epochs; each method at its best
hyper-parameter (by test accuracy at the last epoch). A wrong label is learned where the network predicts it.
"""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import _extras
from adaptive_smoothing.figures._panels import begin_axes, curve, legend, seeds_remark
from adaptive_smoothing.figures._style import add_to_footer, frame_figure

TABLE = "metrics"
MEASURES = {"memorised": "wrong labels learned (%)", "accuracy": "test accuracy (%)"}
COLUMNS = {"train_memorised": "memorised", "test_accuracy": "accuracy"}


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds, a row a task, series and evaluated epoch.

    Columns: chosen; memorised and accuracy (percent) with `_std`; n, diverged, epoch; missing (runs that the table
    lacks).
    """
    _extras.require_columns(frame, list(COLUMNS), description)
    percent = frame.assign(**{name: 100 * frame[column].astype(float) for column, name in COLUMNS.items()})
    points = _extras.over_epochs(percent, description, list(MEASURES))
    return points.assign(missing=_extras.missing(frame, description))


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw a row of panels a task: wrong labels learned (left) and test accuracy (right) over epochs."""
    looks, tasks = _extras.looks(data["series"], description), list(data["task"].unique())
    unknown = [task for task in tasks if data.loc[data["task"] == task, "memorised"].isna().all()]
    remark = f"no wrong label is known, or no run is left: {', '.join(unknown)}" if unknown else ""
    figure, body = frame_figure(
        description, 1.4 + 1.7 * len(tasks), [*_extras.footer(data, description), seeds_remark(data), remark]
    )
    panels = body.subplots(len(tasks), 2, sharex=True, squeeze=False)
    for task, row in zip(tasks, panels, strict=True):
        of_task = data[data["task"] == task]
        for axes, (measure, name) in zip(row, MEASURES.items(), strict=True):
            for series, look in looks.items():
                if len(rows := of_task[of_task["series"] == series]):
                    curve(axes, rows["epoch"], rows, look, measure)
            axes.set_ylabel(f"{task}\n{name}" if measure == "memorised" else name)
        row[0].set_ylim(bottom=0)
        _extras.name_chosen(row[0], of_task, looks)
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    sns.despine(figure)
    legend(body, [look.name for look in looks.values()])
    add_to_footer(figure, begin_axes(panels[:, 1]))
    return figure
