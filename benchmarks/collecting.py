"""Time collecting a figure from 10,000 runs: python benchmarks/collecting.py.

Writes the metrics of the paper's Figure 5 with more seeds into a temporary folder, with rows, columns and records as
a training writes (made-up numbers), and collects them as the rule does. Beside it, what reading takes by itself:
each file once, as collecting does; a loop of pyarrow.parquet.read_table; and a pyarrow dataset, to which the footers of
all files must be read first, for the columns and for what made each run. Files are in the page cache.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.specification import RunSpec, fingerprint
from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.results import collect
from adaptive_smoothing.training import job, metrics

FIGURE = "fig5"


def runs_of(figure: plan.FigurePlan, count: int) -> Iterator[RunSpec]:
    """Yield `count` specifications: the figure's, with more seeds."""
    for number in range(count):
        run = figure.runs[number % len(figure.runs)]
        yield run.spec.model_copy(update={"seed": number // len(figure.runs)})


def write(folder: Path, figure: plan.FigurePlan, count: int) -> list[str]:
    """Write the metrics of `count` runs; return the files."""
    generator, made = np.random.default_rng(0), environment.snapshot()
    fixed = {"diverged": False, "seconds": 1.0, "device": "cpu", "threads": 1, "peak_memory_mb": 1.0, "restarts": 0}
    measured = [name for name, kind in metrics.EPOCH_COLUMNS.items() if kind == pa.float64()]
    files = []
    for number, spec in enumerate(runs_of(figure, count)):
        epochs = range(spec.evaluate_every, spec.epochs + 1, spec.evaluate_every)
        values = generator.random((len(epochs), len(measured)))
        rows = [
            {**fixed, "epoch": epoch, **dict(zip(measured, row, strict=True))}
            for epoch, row in zip(epochs, values.tolist(), strict=True)
        ]
        described = job.describe(spec, str(number), paths.PAPER)
        table = metrics.metrics_table(described, spec.hyperparameters, rows)
        record = {"specification": spec.plain(), "code": figure.runs[number % len(figure.runs)].code, **made}
        files.append(str(folder / f"{number}.parquet"))
        parquet.encode(files[-1], table, record)  # without the fsync of records.write
    return files


def asked_of(figure: plan.FigurePlan, count: int) -> dict[str, list[str]]:
    """Return what a plan of these runs asks of their records."""
    codes = [figure.asked["codes"][number % len(figure.runs)] for number in range(count)]
    specifications = [fingerprint(spec.plain()) for spec in runs_of(figure, count)]
    return {"specifications": specifications, "codes": codes, "measuring_codes": []}


def with_dataset(files: list[str]) -> pa.Table:
    """Return the rows of all files by way of a pyarrow dataset, and read what made each."""
    schemas = [pq.read_schema(file) for file in files]
    for schema in schemas:
        json.loads(schema.metadata[parquet.KEY])
    together = pa.unify_schemas([schema.remove_metadata() for schema in schemas])
    return pyarrow.dataset.dataset(files, schema=together, format="parquet").to_table()


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the processor time, of all threads, of a call."""
    began, used = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    count = parser.parse_args().runs
    figure = plan.Plan(paths.PAPER).figures[FIGURE]
    with tempfile.TemporaryDirectory() as temporary:
        files = write(Path(temporary), figure, count)
        megabytes = sum(Path(file).stat().st_size for file in files) / 1e6
        print(f"{count} runs, {megabytes:.0f} MB | wall time | processor time")
        output = str(Path(temporary) / "table.parquet")
        names = [str(number) for number in range(count)]
        fields: dict[str, Any] = {"description": figure.description, "runs": names, "metrics": files}
        fields |= {"asked": asked_of(figure, count)}
        fields |= {"folders": [""] * count, "output": output, "code": figure.code, "strict": False}
        ways: dict[str, Callable[[], object]] = {
            "collect (table written, fsync)": lambda: collect.collect(**fields),
            "reading alone, as collect does": lambda: list(parquet.read_all(files)),
            "reading alone, pyarrow dataset": lambda: with_dataset(files),
            "reading alone, loop of read_table": lambda: [pq.read_table(file, partitioning=None) for file in files],
        }
        for name, function in ways.items():
            wall, used = seconds(function)
            print(f"{name} | {wall:.1f} s | {used:.1f} s", flush=True)
        if pq.read_metadata(output).num_rows == 0:
            sys.exit("error: the collected table is empty")


if __name__ == "__main__":
    main()
