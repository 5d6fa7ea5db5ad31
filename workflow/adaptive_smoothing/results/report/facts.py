"""What a figure's table says of its runs: seeds, points, diverged runs, revisions, devices, cost; no verdicts."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adaptive_smoothing.core import parquet, paths, sources
from adaptive_smoothing.results import run_costs, summary
from adaptive_smoothing.results.text import listed, plural

ROWS_OF_EACH_RUN = ("metrics", "examples", "soft_labels")  # the kinds of tables with rows of every run


@dataclass(frozen=True)
class Figure:
    """A figure's table with what it says of itself; `warnings`, what notes say of it."""

    frame: pd.DataFrame = field(repr=False)
    description: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in the plan, such as 'fig7'."""
        return str(self.description["figure"])

    @property
    def number(self) -> str:
        """The name as a reader writes it, such as 'Fig. 7'."""
        return paths.number(self.name)

    @property
    def of_the_paper(self) -> bool:
        """Whether the paper has this figure."""
        return re.fullmatch(r"fig\d+", self.name) is not None

    @property
    def title(self) -> str:
        """The title printed on the figure."""
        return str(self.description["title"])

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Run → what made it."""
        records: dict[str, dict[str, Any]] = self.description["runs"]
        return records

    @property
    def kept(self) -> dict[str, str | None]:
        """The files that the table keeps, because no commit holds them."""
        kept: dict[str, str | None] = self.description.get(sources.KEY, {}).get("files", {})
        return kept

    @property
    def commit(self) -> str | None:
        """The commit from which the figure can be made again, with the kept files; None if it is unknown."""
        collected = self.description.get(sources.KEY, {}).get("git_revision")
        revision = collected or next(iter(self.counted("git_revision")), "")
        commit = revision.removesuffix("-modified")
        return commit if re.fullmatch("[0-9a-f]{40,64}", commit) else None

    @cached_property
    def costs(self) -> dict[str, run_costs.RunCost]:
        """Run → cost, from the table, or from the run's metrics where the table has none and they are here."""
        costs = run_costs.costs_by_run(self.frame)
        for run in self.records.keys() - costs.keys():
            metrics = Path(paths.METRICS.format(scale=self.description["scale"], run=run))
            if metrics.exists():
                costs |= run_costs.costs_by_run(parquet.read_frame(metrics)[0])
        return {run: costs[run] for run in self.records if run in costs}

    @cached_property
    def absent(self) -> list[str]:
        """Runs that the table was made from but has no row of."""
        if self.description["table"] not in ROWS_OF_EACH_RUN:
            return []
        present = set(self.frame["run"])
        return [run for run in self.records if run not in present]

    @cached_property
    def seeds(self) -> list[int]:
        """All training seeds, rising."""
        return sorted({seed for seeds in self._points.values() for seed in seeds})

    @cached_property
    def diverged(self) -> list[str]:
        """Runs that diverged, or whose last accuracy or likelihood is not finite."""
        if self.description["table"] != "metrics" or self.frame.empty:
            return []
        last = summary.last_epochs(self.frame, self.description)
        return [str(run) for run in last.loc[last["diverged"], "run"]]

    @cached_property
    def _points(self) -> dict[str, list[int]]:
        """Point (specification without seed) → the seeds of the runs there that the table has rows of."""
        points: dict[str, list[int]] = defaultdict(list)
        for run, record in self.records.items():
            rest = {key: value for key, value in record["specification"].items() if key != "seed"}
            seeds = points[json.dumps(rest, sort_keys=True)]
            if run not in self.absent:
                seeds.append(record["specification"]["seed"])
        return points

    def behind(self) -> str:
        """Return in words how many runs, points and seeds the figure is made from."""
        if not self.records:
            return "Closed form: no training, no seeds."
        counts = sorted({len(seeds) for seeds in self._points.values()})
        each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        point = plural(len(self._points), "point")
        each_of = f"n = {each} {'seed' if each == '1' else 'seeds'} at each of {point}"
        seeds = "seed" if len(self.seeds) == 1 else "seeds"
        named = f"{seeds} {', '.join(map(str, self.seeds)) or 'none'}"
        return f"{plural(len(self.records), 'run')}: {each_of} ({named})."

    def cautions(self) -> Iterator[str]:
        """Yield what a reader must know before believing the figure: mixtures, lost runs, too few seeds."""
        yield from self.warnings
        if self.diverged:
            yield (
                f"{plural(len(self.diverged), 'run')} of {len(self.records)} diverged or ended in NaN, and "
                f"{'is' if len(self.diverged) == 1 else 'are'} left out of the means: {listed(self.diverged)}."
            )
        if self.absent:
            yield f"The table has no row of {plural(len(self.absent), 'run')}: {listed(self.absent)}."
        if len(self.seeds) == 1:
            yield "One training seed: no spread, no interval, and no verdict that needs one."
        if fewer := [seeds for seeds in self._points.values() if len(seeds) < len(self.seeds)]:
            yield f"Seeds are missing at {len(fewer)} of {plural(len(self._points), 'point')}."

    def counted(self, *keys: str) -> Counter[str]:
        """Return how many runs have each value at a place of their records, such as ('versions', 'torch')."""
        return Counter(str(_at(record, keys) or "unknown") for record in self.records.values())


def read(
    tables: Sequence[str], warnings: Callable[[dict[str, Any]], Iterable[str]] = lambda description: ()
) -> list[Figure]:
    """Return the figures of the tables, in their order; raise UserError for a damaged table.

    `warnings` returns what a reader must know of a figure, from the description that its table carries.
    """
    contents = (parquet.read_frame(path) for path in tables)
    return [Figure(frame, description, tuple(warnings(description))) for frame, description in contents]


def _at(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
