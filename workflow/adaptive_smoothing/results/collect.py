"""From runs to the tidy table behind a figure: all a reader needs to redraw it. One file of tables/ a kind."""

import hashlib
from pathlib import Path

from adaptive_smoothing.core import parquet, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.log import log
from adaptive_smoothing.results import consistency
from adaptive_smoothing.results.inputs import Description, Inputs


def collect(
    description: Description,
    runs: list[str],
    metrics: list[str],
    label_noise: list[str],
    folders: list[str],
    output: str,
    code: dict[str, str],
    strict: bool,
) -> None:
    """Write a figure's table.

    Args: `description` as made by plan.py; `metrics` and `label_noise` the runs' files (the latter empty where the
    figure does not need them) and `folders` their prepared datasets, all in the order of `runs`; `strict`, whether
    mixed results are an error.
    """
    read = list(parquet.read_all(metrics))
    inputs = Inputs(description, runs, [table for table, _, _ in read], label_noise, folders)
    table, extra = registry.load("table", description["table"]).make(inputs)
    sources = {run: {**metadata, "sha256": digest} for run, (_, metadata, digest) in zip(runs, read, strict=True)}
    for run, path in zip(runs, label_noise, strict=False):  # none where the figure does not show it
        sources[run]["label_noise_sha256"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    devices = {run: metric.column("device")[0].as_py() for run, metric in zip(runs, inputs.metrics, strict=True)}
    mixed = consistency.problems(sources, devices)
    for sentence in mixed:
        log(f"warning: {description['figure']} is mixed: {sentence}")
    if strict and mixed:
        raise UserError(f"figure {description['figure']} is mixed, and strict=true forbids that: {'; '.join(mixed)}")
    parquet.write(output, table, {**description, **extra, "code": code, "runs": sources, "mixed": mixed})
