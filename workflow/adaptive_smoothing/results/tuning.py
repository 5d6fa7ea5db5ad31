"""From a tuning scale's table to the hyper-parameters that each method gets, judged on held-out noisy training labels.

The test set is never looked at. An axis of a method's grid is one of two kinds. A figure chooses some for each noise,
such as LS's α: at each choice of the other axes they are at their best for each noise. The other axes get one value for
all noises: the choice with the highest accuracy on the held-out labels, averaged over seeds, then over noises.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results import accuracy, summary
from adaptive_smoothing.results.names import method_name, parameter_name, parameter_value, value_text
from adaptive_smoothing.results.text import markdown_table

SCORE = "validation"  # accuracy on held-out noisy labels, in percent
Description = Mapping[str, Any]  # what a figure's table says of itself
Point = dict[str, Any]  # hyper-parameter → value


@dataclass(frozen=True)
class Pick:
    """What was found for one method from one table.

    `scores`, a row a choice of the shared axes, with its score (NaN: its runs diverged under some noise); `choice`, the
    best of them, empty if none was left; `by_noise`, noise → the values of the other axes at that choice; `edges`, what
    of all this lies at an end of its grid.
    """

    figure: str
    title: str
    method: str
    scores: pd.DataFrame
    choice: Point
    score: float | None
    by_noise: Mapping[str, Point]
    edges: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return the pick as plain values, as JSON has them."""
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.scores.to_dict("records")]
        fields = {name: value for name, value in vars(self).items() if name != "scores"}
        return {**fields, "edges": list(self.edges), "scores": rows}


def picks(frame: pd.DataFrame, description: Description, per_noise: Mapping[str, Collection[str]]) -> Iterator[Pick]:
    """Yield the pick for each method of a table that has a grid.

    `per_noise`: method → the axes that figures choose for each noise. Raises UserError for runs without held-out
    labels, and for a table that an older version made.
    """
    accuracy.check_columns(frame, description)
    runs = summary.last_epochs(frame, description)
    for method in accuracy.ordered(runs["method"]):
        rows = runs[runs["method"] == method]
        if axes := summary.grid_of(description, method, rows):
            _check_judged(rows, description)
            own = [axis for axis in axes if axis in per_noise.get(method, ())]
            yield _pick(rows, [axis for axis in axes if axis not in own], own, description)


def _check_judged(runs: pd.DataFrame, description: Description) -> None:
    finished = runs[~runs["diverged"]]
    if len(finished) and finished[SCORE].isna().all():
        dataset = runs["dataset"].iloc[0]
        raise UserError(
            f"figure {description['figure']}: its runs hold out no labels to judge by; "
            f"set datasets.{dataset}.validation of scale '{description['scale']}' above 0 and train again"
        )


def _pick(runs: pd.DataFrame, shared: list[str], own: list[str], description: Description) -> Pick:
    best = summary.best_runs(runs, own, [*shared, "task"], SCORE)
    scores = _scores(best, shared)
    choice = summary.best_point(scores, shared, SCORE) or {}
    at_choice = summary.at_point(best, choice)
    by_noise = {
        str(noise): {axis: _plain(rows[axis].iloc[0]) for axis in own}
        for noise, rows in at_choice.groupby("task", sort=False)
        if own and rows[SCORE].notna().any()
    }
    choice = {axis: _plain(value) for axis, value in choice.items()}
    points = [("", choice), *by_noise.items()]
    edges = tuple(text for noise, point in points for text in _edges(runs, point, noise))
    values = summary.at_point(scores, choice)[SCORE].dropna()
    score = _plain(values.iloc[0]) if len(values) else None
    method = str(runs["method"].iloc[0])
    return Pick(description["figure"], description["title"], method, scores, choice, score, by_noise, edges)


def _scores(best: pd.DataFrame, shared: list[str]) -> pd.DataFrame:
    """Return each choice's score: the mean over seeds, then over noises; NaN where a noise has none."""
    by_noise = best.groupby([*shared, "task"], dropna=False)[SCORE].mean().reset_index()
    if not shared:
        return pd.DataFrame({SCORE: [by_noise[SCORE].mean(skipna=False)]})
    grouped = by_noise.groupby(shared, dropna=False)[SCORE]
    return grouped.agg(lambda values: values.mean(skipna=False)).reset_index()


def _edges(runs: pd.DataFrame, point: Point, noise: str) -> Iterator[str]:
    """Yield which values of a point are the lowest or highest of their grid."""
    for axis, value in point.items():
        grid = sorted(runs[axis].dropna().unique()) if pd.api.types.is_numeric_dtype(runs[axis]) else []
        if len(grid) > 1 and value in (grid[0], grid[-1]):
            end, beyond = ("lowest", "lower") if value == grid[0] else ("highest", "higher")
            where = f" for {noise}" if noise else ""
            yield f"{parameter_value(axis, value)}{where} is the {end} of its grid: a {beyond} one may be better"


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON has it."""
    plain = value.item() if hasattr(value, "item") else value
    return None if pd.isna(plain) else plain


def text(picks: Sequence[Pick]) -> Iterator[str]:
    """Yield the picks for people: for each method its scores, the pick, and what lies at the end of a grid."""
    title = None
    for pick in picks:
        if pick.title != title:
            title = pick.title
            yield from (f"# {title} ({pick.figure})", "")
        yield from (*_lines(pick), "")


def _lines(pick: Pick) -> Iterator[str]:
    axes = [name for name in pick.scores.columns if name != SCORE]
    yield from (f"## {method_name(pick.method)}", "")
    rows = (
        [*(value_text(row[axis]) for axis in axes), "diverged" if pd.isna(row[SCORE]) else f"{row[SCORE]:.1f}"]
        for row in pick.scores.to_dict("records")
    )
    yield from markdown_table([*map(parameter_name, axes), "accuracy on held-out labels (%), mean over noises"], rows)
    yield ""
    if not axes:
        yield "Nothing to pick: figures choose every axis of its grid for each noise."
    elif pick.choice:
        yield f"Pick: {_point_text(pick.choice)}."
    else:
        yield "No pick: every choice diverged under some noise."
    for noise, point in pick.by_noise.items():
        yield f"- {noise}: best at {_point_text(point)}"
    yield from (f"- {edge}" for edge in pick.edges)


def _point_text(point: Point) -> str:
    return ", ".join(parameter_value(axis, value) for axis, value in point.items())
