"""What a scale's figures will cost before anything runs: the command `estimate`.

Which runs are still to be made is Snakemake's decision (snakemake_cli.py); what one costs, that of cost_model.py.
"""

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import span
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.commands import common
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
class Measurement:
    """The label noise of a run, to be measured with a number of samples."""

    run: Run
    samples: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the estimate; return the exit status."""
    parser = common.selection_parser("estimate", "Estimate what figures will cost; make nothing.")
    parser.add_argument(
        "--device", metavar="NAME", help="estimate for this device alone: 'cpu', or part of a GPU's name"
    )
    parser.add_argument(
        "--profile-seconds",
        type=float,
        default=PROFILE_S,
        metavar="SECONDS",
        help="time to spend on training steps here; 0: use past runs alone (default: %(default)g)",
    )
    given = parser.parse_intermixed_args(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of packages, about each other, when torch is imported

    def work() -> None:
        selection = Selection.of(given.scale, given.figures)
        model = CostModel(history.read(), Profiler(device_here(), given.profile_seconds), given.device)
        common.print_parts(Estimate(selection, model).parts(), common.console())

    return common.run_command(work)


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

    def by_figure(self) -> Table:
        """Return a row a figure: its runs, how many are done and to be made, and the time that the latter take."""
        table = _table("figure", "runs", "done", "to make", *map(_time_on, self.devices))
        for figure in self.figures:
            if figure.runs:
                mine = set(figure.runs)
                measured = [one for one in self.measurements if _measures(figure, one)]
                table.add_row(
                    figure.name, *self._row(figure.runs, [run for run in self.to_make if run in mine], measured)
                )
        if len(self.figures) == 1:
            return table
        table.add_section()
        name = "all, shared runs once" if self.selection.has_shared_runs else "all"
        table.add_row(name, *self._row(self.runs, self.to_make, self.measurements))
        return table

    def _row(self, runs: Sequence[Run], to_make: Sequence[Run], measured: Sequence[Measurement]) -> list[str]:
        costs = [*(self.training[run] for run in to_make), *(self.measuring[one] for one in measured)]
        numbers = [str(len(runs)), str(len(runs) - len(to_make)), str(len(to_make))]
        return numbers + [self._time(costs, device) for device in self.devices]

    def _time(self, costs: Sequence[CostEstimate], device: str) -> str:
        """Return the sum of some costs on a device, with a '+' if some of them are unknown."""
        more = "+" if any(cost.seconds is None for cost in costs) else ""
        return span(sum(cost.device_seconds for cost in costs if cost.device == device)) + more

    def by_method(self) -> Table:
        """Return a row for each setup and method: the number of runs, the time of one and of all, and its source."""
        table = _table("setup, method", "to make", "a run", *map(_time_on, self.devices))
        table.add_column("known from", overflow="fold")
        groups: dict[str, list[CostEstimate]] = defaultdict(list)
        for run in self.to_make:
            groups[f"{run.setup}, {run.method}"].append(self.training[run])
        for one in self.measurements:
            what = f"{one.run.setup}, {one.run.method}: label noise, {one.samples} samples"
            groups[what].append(self.measuring[one])
        for name, costs in groups.items():
            each = [cost.seconds for cost in costs if cost.seconds is not None]
            mean = span(sum(each) / len(each)) if each else "?"
            known = "; ".join(dict.fromkeys(cost.source for cost in costs))
            table.add_row(name, str(len(costs)), mean, *(self._time(costs, device) for device in self.devices), known)
        return table

    def remarks(self) -> Iterator[str]:
        """Yield sentences: shared runs, what is unknown, what is left out."""
        if not self.to_make and not self.measurements:
            yield "every training and measurement is up to date"
            return
        if self.selection.has_shared_runs:
            yield "figures sum to more than the total, which counts shared runs once"
        if unknown := sum(cost.seconds is None for cost in self._costs):
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
    sys.exit(main())
