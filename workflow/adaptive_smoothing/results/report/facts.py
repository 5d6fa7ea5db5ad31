"""What a figure's table says of its runs: seeds, points, lost runs, revisions, devices, cost; nothing is judged."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.results import run_costs
from adaptive_smoothing.results.claims.samples import final

ROWS_OF_EACH_RUN = ("metrics", "examples", "soft_labels")  # the kinds of tables that show every run they are made from
SHOWN = 3  # names that a sentence spells out before it counts


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
        found: dict[str, dict[str, Any]] = self.description["runs"]
        return found

    @cached_property
    def costs(self) -> dict[str, run_costs.RunCost]:
        """Run → cost, from the table, or from the run's metrics where the table has none and they are here."""
        found = run_costs.costs_by_run(self.frame)
        for run in self.records.keys() - found.keys():
            metrics = Path(paths.METRICS.format(scale=self.description["scale"], run=run))
            if metrics.exists():
                found |= run_costs.costs_by_run(parquet.read_frame(metrics)[0])
        return {run: found[run] for run in self.records if run in found}

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
        last = final(self.frame)
        return [str(run) for run in last.loc[last["accuracy"].isna(), "run"]]

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
        """Return in words how many runs, points and seeds stand behind the figure."""
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


def read(tables: Sequence[str], warnings: Mapping[str, tuple[str, ...]] | None = None) -> list[Figure]:
    """Return the figures of the tables, in their order; raise UserError for a damaged table."""
    found = [parquet.read_frame(path) for path in tables]
    return [Figure(frame, description, (warnings or {}).get(description["figure"], ())) for frame, description in found]


def listed(names: Sequence[str]) -> str:
    """Return the first few names as code, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def plural(count: int, noun: str) -> str:
    """Return '1 run', '2 runs'."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _at(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
