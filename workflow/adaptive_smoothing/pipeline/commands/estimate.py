"""What a scale's figures will cost before anything runs: `python -m adaptive_smoothing.estimate [SCALE] [FIGURE ...]`.

Which runs are still to make is Snakemake's decision (dry_run.py); what one costs, that of forecast.py.
"""

import argparse
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import in_bytes, span
from adaptive_smoothing.pipeline import plan, snakemake_cli
from adaptive_smoothing.pipeline.commands import common, dataset_sizes
from adaptive_smoothing.pipeline.commands.cost_model import CostEstimate, CostModel, simple
from adaptive_smoothing.pipeline.commands.history import CPU
from adaptive_smoothing.pipeline.plan import FigurePlan, Run

CALIBRATION_S = 60.0
PIPE_WIDTH = 240  # where no terminal says how wide it is
METRICS_BYTES = 20_000  # of one run, about; all else of a run is counted
VECTORS = 5  # a measurement's K-vectors of an example


@dataclass(frozen=True)
class Measurement:
    """The label noise of a run, to be measured with so many samples."""

    run: Run
    samples: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the estimate; return the exit status."""
    parser = argparse.ArgumentParser(prog="estimate", description="Estimate what figures will cost; make nothing.")
    parser.add_argument("scale", nargs="?", default=paths.PAPER, help="a file of config/ (default: %(default)s)")
    parser.add_argument("figures", nargs="*", metavar="figure", help="such as fig7 (default: all of the scale)")
    parser.add_argument(
        "--device", metavar="NAME", help="estimate for this device alone: 'cpu', or part of a GPU's name"
    )
    parser.add_argument(
        "--calibration", type=float, default=CALIBRATION_S, metavar="SECONDS", help="to spend on steps (default: 60)"
    )
    parser.add_argument("--no-calibration", action="store_true", help="past runs alone; train no step")
    given = parser.parse_intermixed_args(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of packages, about each other, when torch is imported
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)

    def work() -> None:
        made = Estimate(given.scale, given.figures, given.device, 0.0 if given.no_calibration else given.calibration)
        for part in made.parts():
            with console.capture() as captured:
                console.print(part, soft_wrap=isinstance(part, Text))
            console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), end="\n\n")

    return common.run_command(work)


class Estimate:
    """What is to make of some figures, and what that costs."""

    def __init__(self, scale: str, names: Sequence[str], device: str | None, calibration_s: float) -> None:
        """Plan, ask Snakemake what is done, and find out what the rest costs; raises UserError for a wrong name."""
        planned = plan.load(scale)
        self.figures = [planned.figure(name) for name in dict.fromkeys(names or planned.figures)]
        targets = [paths.TABLE.format(scale=scale, figure=figure.name) for figure in self.figures]
        jobs = snakemake_cli.dry_run(targets if names else planned.figure_files())
        self.runs = list(dict.fromkeys(run for figure in self.figures for run in figure.runs))
        self.to_make = [run for run in self.runs if paths.METRICS.format(scale=scale, run=run.name) in jobs]
        wanted = {
            paths.LABEL_NOISE.format(scale=scale, run=run.name, samples=samples): Measurement(run, samples)
            for figure in self.figures
            if (samples := figure.label_noise_mc_samples)
            for run in figure.runs
        }
        self.measurements = [one for file, one in wanted.items() if file in jobs]
        self.costs = CostModel(self.to_make, [one.run for one in self.measurements], device, calibration_s)
        self.training = {run: self.costs.of(run) for run in simple(self.to_make)}
        self.measuring = {one: self.costs.of_measuring(one.run, one.samples) for one in self.measurements}
        known = {cost.device: None for cost in (*self.training.values(), *self.measuring.values()) if cost.device}
        self.devices = list(known)

    def parts(self) -> Iterator[Table | Text]:
        """Yield what is printed."""
        yield self.by_figure()
        if self.to_make or self.measurements:
            yield self.by_method()
        yield Text("\n".join(self.remarks()))

    def by_figure(self) -> Table:
        """Return a row a figure: its runs, those that are done and to make, the time that the latter take."""
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
        name = "all, shared runs once" if self._shared else "all"
        table.add_row(name, *self._row(self.runs, self.to_make, self.measurements))
        return table

    def _row(self, runs: Sequence[Run], to_make: Sequence[Run], measured: Sequence[Measurement]) -> list[str]:
        costs = [*(self.training[run] for run in to_make), *(self.measuring[one] for one in measured)]
        numbers = [str(len(runs)), str(len(runs) - len(to_make)), str(len(to_make))]
        return numbers + [self._time(costs, device) for device in self.devices]

    def _time(self, costs: Sequence[CostEstimate], device: str) -> str:
        """Return the time that some costs make on a device; a '+' where some of them are unknown."""
        more = "+" if any(cost.seconds is None for cost in costs) else ""
        return span(sum(cost.device_seconds for cost in costs if cost.device == device)) + more

    @property
    def _shared(self) -> int:
        return sum(len(figure.runs) for figure in self.figures) - len(self.runs)

    def by_method(self) -> Table:
        """Return a row for each setup and method: how many runs, time of one and of all, how that is known."""
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
        """Yield sentences: shared runs, what is unknown, what is left out, bytes on disk."""
        if not self.to_make and not self.measurements:
            yield "every training and measurement is up to date"
            return
        if self._shared:
            yield f"figures sum to more than the total: {self._shared} of their runs are shared, and counted once there"
        unknown = sum(cost.seconds is None for cost in (*self.training.values(), *self.measuring.values()))
        if unknown:
            yield f"{unknown} jobs whose cost is unknown are left out ('+')"
        if any(cost.rough for cost in (*self.training.values(), *self.measuring.values())):
            yield "steps of a few images make a run look dearer than it is; --calibration SECONDS gives more time"
        yield "times are those of runs one after the other; left out: preparing data, tables, drawings, Snakemake's own"
        if any(cost.device == CPU for cost in self.training.values()):
            threads = sorted({run.resources.threads for run in self.to_make})
            words = " or ".join(map(str, threads))
            yield f"threads of a run on the CPU: {words}; runs side by side slow each other down"
        yield from self._disk()

    def _disk(self) -> Iterator[str]:
        from adaptive_smoothing.pipeline.commands import profiling  # imports torch

        data: dict[str, int] = {}
        checkpoints, posteriors, unknown = [0], 0, Counter[str]()
        stored: dict[str, tuple[int, int]] = {}
        for run in self.to_make:
            if (size := dataset_sizes.dataset_size(run)) is None:
                unknown[run.dataset_folder] += 1
                continue
            if not size.prepared:
                data[run.dataset_folder] = size.data_bytes
            kind = f"{run.specification['model']}{size.shape}{size.classes}{run.method}"
            if kind not in stored:
                stored[kind] = profiling.stored_bytes(run.specification, size)
            checkpoints.append(stored[kind][0])
            posteriors += stored[kind][1] if run.keeps_posterior else 0
        measured = (dataset_sizes.dataset_size(one.run) for one in self.measurements)
        vectors = sum(size.label_noise_bytes(VECTORS) for size in measured if size)
        parts = [
            f"prepared data {in_bytes(sum(data.values()))}",
            f"posteriors {in_bytes(posteriors)}",
            f"label noise up to {in_bytes(vectors)}",
            f"metrics about {in_bytes(METRICS_BYTES * len(self.to_make))}",
        ]
        yield f"disk, beside what is there: {', '.join(parts)}"
        yield (
            f"checkpoints: up to {in_bytes(max(checkpoints))} for each run under way, twice that while it saves; "
            "removed at its end"
        )
        if unknown:
            yield f"left out of that: {sum(unknown.values())} runs on data that are not prepared ({', '.join(unknown)})"


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
