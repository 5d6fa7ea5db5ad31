"""A scale whose runs have made-up metrics, so that tests of tables, records and archives need no training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.specification import fingerprint
from adaptive_smoothing.pipeline import plan, yaml_files
from adaptive_smoothing.results import collect
from adaptive_smoothing.training import job, metrics

ROOT = Path(__file__).parents[1]


def small() -> dict[str, Any]:
    """Return the content of the small scale."""
    scale: dict[str, Any] = yaml.load((ROOT / "config/small.yaml").read_text(), Loader=yaml_files.StrictLoader)
    return scale


def content() -> dict[str, Any]:
    """Return the small scale with Fig. 2 and three runs of Fig. 9."""
    scale = small()
    scale["seeds"] = [0]
    scale["figures"] = {name: scale["figures"][name] for name in ("fig2", "fig9")}
    scale["figures"]["fig9"]["runs"][0]["methods"] = {"ivon": {}, "ls": {"alpha": [0, 0.3]}}
    scale["extras"] = {}
    return scale


def write_scale(name: str, scale: dict[str, Any]) -> plan.Plan:
    """Write a scale here; return its plan, which the process does not keep."""
    Path("config").mkdir(exist_ok=True)
    Path(f"config/{name}.yaml").write_text(yaml.safe_dump(scale))
    return plan.Plan(name)


def write_results(planned: plan.Plan) -> None:
    """Write, in place of training, metrics of all runs here; then the tables of all figures."""
    for number, run in enumerate(planned.runs.values()):
        write_metrics(planned.name, run, number)
    for figure in planned.figures.values():
        collected(planned.name, figure)


def write_metrics(scale: str, run: plan.Run, number: int = 0, **record: Any) -> str:
    """Write made-up metrics of a run, its record changed as given; return the file."""
    file = paths.METRICS.format(scale=scale, run=run.name)
    numbers = [name for name, kind in metrics.EPOCH_COLUMNS.items() if kind == pa.float64()]
    fixed = {**dict.fromkeys(numbers, 0.5), "diverged": False}
    fixed |= {"seconds": 1.0 + number, "device": "cpu", "threads": 1}
    rows = [{**fixed, "epoch": epoch, "test_accuracy": 0.1 * (number + 1)} for epoch in (1, 2)]
    described = job.describe(run.spec, run.name, scale)
    table = metrics.metrics_table(described, run.spec.hyperparameters, rows)
    made = {"specification": run.specification, "code": run.code, **environment.snapshot(), **record}
    parquet.write(file, table, made)
    return file


def write_labels(planned: plan.Plan, run: plan.Run, **record: Any) -> None:
    """Write a file in the place of a run's labels, its record changed as given."""
    made = {"noise": run.spec.noise.parameters(), "noise_seed": run.spec.noise_seed}
    made |= {"split": planned.split(run.dataset_folder)}
    parquet.write(run.labels, pa.table({"noisy": [0]}), made | record)


def write_label_noise(scale: str, run: plan.Run, samples: int, record: Mapping[str, Any] = {}) -> str:
    """Write a file in the place of a run's label noise, its record changed as given; return the file."""
    file = paths.LABEL_NOISE.format(scale=scale, run=run.name, samples=samples)
    made = {"run": run.name, "samples": samples, "specification": run.specification, "code": run.measuring_code}
    parquet.write(file, pa.table({"index": [0]}), {**made, **record})
    return file


def collected(scale: str, figure: plan.FigurePlan, **fields: Any) -> str:
    """Collect a figure's table here from the metrics of its runs; return the file."""
    table = paths.TABLE.format(scale=scale, figure=figure.name)
    names = [run.name for run in figure.runs]
    files = [paths.METRICS.format(scale=scale, run=name) for name in names]
    given = {"description": figure.description, "runs": names, "metrics": files, "folders": [""] * len(names)}
    given |= {"asked": figure.asked, "output": table, "code": figure.code, "strict": False}
    collect.collect(**given | fields)
    return table


def as_recorded(files: list[str]) -> dict[str, list[str]]:
    """Return what a plan would ask for whose runs are those that the records of metrics name."""
    records = [parquet.read_metadata(file) for file in files]
    return {
        "specifications": [fingerprint(record["specification"]) for record in records],
        "codes": [fingerprint(record["code"]) for record in records],
        "measuring_codes": [],
    }
