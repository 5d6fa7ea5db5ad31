"""What a scale's figures will cost before anything runs: `smoothing estimate`.

Which runs are still to be made is Snakemake's decision (snakemake_cli.py); what one costs, that of cost_model.py.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import span
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.commands import common, former_names
from adaptive_smoothing.pipeline.commands.common import Selection
from adaptive_smoothing.pipeline.commands.estimate import history
from adaptive_smoothing.pipeline.commands.estimate.cost_model import (
    CostEstimate,
    CostModel,
    Profiler,
    cheapest_first,
    device_here,
)
from adaptive_smoothing.pipeline.commands.estimate.history import CPU
from adaptive_smoothing.pipeline.plan import FigurePlan, Run

PROFILE_S = 60.0


@dataclass(frozen=True)
class Sum:
    """What some figures, or all runs of a method, need: counts of runs, and the costs of what is to make of them."""

    runs: int
    to_make: int
    costs: tuple[CostEstimate, ...]

    def seconds(self, device: str) -> float:
        """Return the seconds on a device, as far as they are known."""
        return sum(cost.device_seconds for cost in self.costs if cost.device == device)

    @property
    def unknown(self) -> int:
        """How many costs are unknown, and left out of the seconds."""
        return sum(cost.seconds is None for cost in self.costs)

    @property
    def mean(self) -> float | None:
        """The mean of the known costs in seconds; None if none is known."""
        known = [cost.seconds for cost in self.costs if cost.seconds is not None]
        return sum(known) / len(known) if known else None

    @property
    def sources(self) -> list[str]:
        """The sources of the costs, each once."""
        return list(dict.fromkeys(cost.source for cost in self.costs))


@dataclass(frozen=True)
class Measurement:
    """The label noise of a run, to be measured with a number of samples."""

    run: Run
    samples: int


def show(selection: Selection, device: str | None, profile_seconds: float, as_json: bool = False) -> None:
    """Print the estimate for a device, or for each run's own; training steps are profiled here for so long."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # of packages, about each other, when torch is imported
    estimate = Estimate(selection, CostModel(history.read(), Profiler(device_here(), profile_seconds), device))
    if as_json:
        common.print_json(estimate.document())
    else:
        common.print_parts(estimate.parts(), common.console())


class Estimate:
    """What is to make of some figures, and what that costs."""

    def __init__(self, selection: Selection, model: CostModel) -> None:
        """Ask Snakemake what is to be made of the selected figures, and `model` what that costs."""
        scale, jobs = selection.plan.name, snakemake_cli.dry_run(selection.targets)
        self.selection, self.figures, self.runs = selection, selection.figures, selection.runs
        self.to_make = [run for run in self.runs if paths.METRICS.format(scale=scale, run=run.name) in jobs]
        by_file = {
            paths.LABEL_NOISE.format(scale=scale, run=run.name, samples=samples): Measurement(run, samples)
            for figure in self.figures
            if (samples := figure.label_noise_mc_samples)
            for run in figure.runs
        }
        self.measurements = [one for file, one in by_file.items() if file in jobs]
        model.expect(self.to_make, [one.run for one in self.measurements])
        self.training = {run: model.of_training(run) for run in cheapest_first(self.to_make)}
        self.measuring = {one: model.of_measuring(one.run, one.samples) for one in self.measurements}
        self.devices = list(dict.fromkeys(cost.device for cost in self._costs if cost.device))

    @property
    def _costs(self) -> list[CostEstimate]:
        return [*self.training.values(), *self.measuring.values()]

    def parts(self) -> Iterator[Table | Text]:
        """Yield what is printed."""
        yield self.by_figure()
        if self.to_make or self.measurements:
            yield self.by_method()
        yield Text("\n".join(self.remarks()))

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "scale": self.selection.plan.name,
            "devices": self.devices,
            "figures": [
                {"figure": figure.name, **self._figure_document(self._of_figure(figure))} for figure in self.figures
            ],
            "total": self._figure_document(self._total()),
            "methods": [
                {"setup": setup, "method": method, "label_noise_samples": samples, **self._method_document(needed)}
                for (setup, method, samples), needed in self._by_method().items()
            ],
            "remarks": list(self.remarks()),
        }

    def _figure_document(self, needed: Sum) -> dict[str, Any]:
        counts = {"runs": needed.runs, "runs_done": needed.runs - needed.to_make, "runs_to_make": needed.to_make}
        return {**counts, **self._seconds_document(needed)}

    def _method_document(self, needed: Sum) -> dict[str, Any]:
        each = {"runs_to_make": needed.to_make, "seconds_of_one": needed.mean}
        return {**each, **self._seconds_document(needed), "known_from": needed.sources}

    def _seconds_document(self, needed: Sum) -> dict[str, Any]:
        seconds = {device: needed.seconds(device) for device in self.devices}
        return {"seconds": seconds, "costs_unknown": needed.unknown}

    def by_figure(self) -> Table:
        """Return a row a figure: its runs, how many are done and to be made, and the time that the latter take."""
        table = _table("figure", "runs", "done", "to make", *map(_time_on, self.devices))
        for figure in self.figures:
            table.add_row(figure.name, *self._row(self._of_figure(figure)))
        if len(self.figures) > 1:
            table.add_section()
            name = "all, shared runs once" if self.selection.has_shared_runs else "all"
            table.add_row(name, *self._row(self._total()))
        return table

    def _of_figure(self, figure: FigurePlan) -> Sum:
        mine = set(figure.runs)
        measured = [one for one in self.measurements if _measures(figure, one)]
        return self._sum(figure.runs, [run for run in self.to_make if run in mine], measured)

    def _total(self) -> Sum:
        return self._sum(self.runs, self.to_make, self.measurements)

    def _sum(self, runs: Sequence[Run], to_make: Sequence[Run], measured: Iterable[Measurement]) -> Sum:
        costs = [*(self.training[run] for run in to_make), *(self.measuring[one] for one in measured)]
        return Sum(len(runs), len(to_make), tuple(costs))

    def _row(self, needed: Sum) -> list[str]:
        return [str(needed.runs), str(needed.runs - needed.to_make), str(needed.to_make), *self._times(needed)]

    def _times(self, needed: Sum) -> list[str]:
        """Return the time on each device, with a '+' if some costs are unknown."""
        return [span(needed.seconds(device)) + ("+" if needed.unknown else "") for device in self.devices]

    def by_method(self) -> Table:
        """Return a row for each setup and method: the number of runs, the time of one and of all, and its source."""
        table = _table("setup, method", "to make", "a run", *map(_time_on, self.devices))
        table.add_column("known from", overflow="fold")
        for (setup, method, samples), needed in self._by_method().items():
            what = f"{setup}, {method}" + (f": label noise, {samples} samples" if samples else "")
            mean = "?" if needed.mean is None else span(needed.mean)
            table.add_row(what, str(needed.to_make), mean, *self._times(needed), "; ".join(needed.sources))
        return table

    def _by_method(self) -> dict[tuple[str, str, int | None], Sum]:
        """Return what is to make of each setup and method; measurements of label noise by their number of samples."""
        groups: dict[tuple[str, str, int | None], list[CostEstimate]] = defaultdict(list)
        for run in self.to_make:
            groups[run.setup, run.method, None].append(self.training[run])
        for one in self.measurements:
            groups[one.run.setup, one.run.method, one.samples].append(self.measuring[one])
        return {key: Sum(len(costs), len(costs), tuple(costs)) for key, costs in groups.items()}

    def remarks(self) -> Iterator[str]:
        """Yield sentences: shared runs, what is unknown, what is left out."""
        if not self.to_make and not self.measurements:
            yield "every training and measurement is up to date"
            return
        if self.selection.has_shared_runs:
            yield "figures sum to more than the total, which counts shared runs once"
        if unknown := self._total().unknown:
            yield f"{unknown} jobs whose cost is unknown are left out ('+')"
        if any(cost.partial for cost in self._costs):
            yield "timings from partial batches overestimate the cost; a larger --profile-seconds makes them better"
        yield "times are of runs one after the other; data preparation, tables, drawings and Snakemake are left out"
        if any(cost.device == CPU for cost in self.training.values()):
            threads = " or ".join(map(str, sorted({run.resources.threads for run in self.to_make})))
            yield f"threads of a run on the CPU: {threads}; runs in parallel slow each other down"


def _measures(figure: FigurePlan, one: Measurement) -> bool:
    return figure.label_noise_mc_samples == one.samples and one.run in figure.runs


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column(first, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _time_on(device: str) -> str:
    return f"time on {device}" if device == CPU else f"GPU time on {device}"


if __name__ == "__main__":
    former_names.renamed("estimate")
