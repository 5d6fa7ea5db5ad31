"""Why a file is made again, in words: what the plan asks for now, compared with what the file's record says."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.pipeline import code_digest
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan, Run, Specification
from adaptive_smoothing.pipeline.snakemake_cli import Job
from adaptive_smoothing.results.names import PARAMETERS, method_name, parameter_value


class Reasons:
    """Explains the jobs of one scale that Snakemake would run."""

    def __init__(self, plan: Plan, jobs: dict[str, Job]) -> None:
        """Take the plan, and file → the job that would make it."""
        self.plan = plan
        self.jobs = jobs
        kinds = {_kind(run): run for run in plan.runs.values()}
        self.code_of_kind: dict[tuple[str, str], Code] = {kind: run.code for kind, run in kinds.items()}

    def job_of_run(self, run: Run) -> Job | None:
        """Return the job that would train a run."""
        return self.jobs.get(paths.METRICS.format(scale=self.plan.name, run=run.name))

    def of_run(self, run: Run, job: Job, figure: FigurePlan) -> str:
        """Return why a run is trained (again); a new run is compared with those of the figure's last table."""
        path = paths.METRICS.format(scale=self.plan.name, run=run.name)
        if not Path(path).exists():
            return self._of_new_run(run, figure)
        record = read_record(path)
        if record is None:
            return "damaged record"
        if not isinstance(record.get("code"), dict):
            return "made by an older version of the pipeline"
        before, now = by_path(record["specification"]), by_path(run.specification)
        changed = {key: None for key in (*before, *now) if before.get(key) != now.get(key)}
        reasons = [f"{_setting(key, run)}: {before.get(key, 'none')} → {now.get(key, 'none')}" for key in changed]
        reasons += self._changed_code(run.code, record["code"])
        if {"dataset", "noise"}.isdisjoint(key[0] for key in changed):
            reasons += self._changed_inputs(run, job)
        if job.has_new_environment:
            reasons += _changed_versions(record["versions"])
        return "; ".join(reasons) or self.of_job(job)

    def of_job(self, job: Job) -> str:
        """Return why any other file is made again, as far as Snakemake says."""
        if job.changed_modules:
            return f"its code changed: {', '.join(map(file_of, job.changed_modules))}"
        return job.cause

    def of_table(self, figure: FigurePlan, job: Job) -> str:
        """Return why a figure's table alone is made again."""
        record = read_record(paths.TABLE.format(scale=self.plan.name, figure=figure.name))
        if record is None or job.changed_modules:
            return self.of_job(job)
        changed = [key for key, value in figure.description.items() if record.get(key) != value]
        before, now = self._runs_of_table(figure).keys(), {run.name for run in figure.runs}
        changed += [f"{len(now - before)} runs more"] if now - before else []
        changed += [f"{len(before - now)} runs fewer"] if before - now else []
        return f"changed: {', '.join(changed)}" if changed else self.of_job(job)

    def _of_new_run(self, run: Run, figure: FigurePlan) -> str:
        before = self._runs_of_table(figure)
        if not before:
            return "never made"
        if run.name in before:
            return "its results are missing: interrupted or deleted"
        return novelty(run.specification, [record["specification"] for record in before.values()])

    def _runs_of_table(self, figure: FigurePlan) -> dict[str, dict[str, Any]]:
        """Return the records of the runs that a figure's last table was made from."""
        table = read_record(paths.TABLE.format(scale=self.plan.name, figure=figure.name)) or {}
        runs = table.get("runs")
        return runs if isinstance(runs, dict) else {}  # older tables list names only

    def _changed_code(self, now: Code, before: Code) -> Iterator[str]:
        by_owner: dict[str, list[str]] = defaultdict(list)
        for module in sorted(now | before):
            if now.get(module) != before.get(module):
                by_owner[self._owner(module)].append(file_of(module))
        for owner, files in by_owner.items():
            yield f"{owner} changed: {', '.join(files)}"

    def _owner(self, module: str) -> str:
        """Return whose code a module is: that of all runs, of the methods or of the one model that reach it."""
        reaching = [kind for kind, code in self.code_of_kind.items() if module in code]
        methods = list(dict.fromkeys(method for method, _ in reaching))
        models = {model for _, model in reaching}
        if len(reaching) in (0, len(self.code_of_kind)):
            return "code of all runs"
        if len(methods) == 1:
            return f"{method_name(methods[0])}'s code"
        return f"{models.pop()}'s code" if len(models) == 1 else f"code of {', '.join(map(method_name, methods))}"

    def _changed_inputs(self, run: Run, job: Job) -> Iterator[str]:
        """Yield that the dataset has changed or, if it has not, the labels."""
        corruption = self.jobs.get(run.labels)
        stated = [job, corruption] if corruption else [job]  # the labels' job alone may name a new dataset
        for kind, file in (("dataset", paths.META.format(dataset=run.dataset_folder)), ("labels", run.labels)):
            maker = self.jobs.get(file)
            if maker or any(one.names(file) for one in stated):
                yield f"{kind} changed" + (f" ({self.of_job(maker)})" if maker else "")
                return


@cache
def read_record(path: str) -> dict[str, Any] | None:
    """Return what a Parquet file says made it; None if it is missing, damaged or not ours."""
    try:
        metadata: dict[str, Any] = json.loads(pq.read_schema(path).metadata[parquet.KEY])
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's own errors are among the first two
        return None
    return metadata


def novelty(specification: Specification, known: Sequence[Specification]) -> str:
    """Return what a run has that no known one has."""
    dataset, method = specification["dataset"]["key"], specification["method"]
    on_dataset = [other for other in known if other["dataset"]["key"] == dataset]
    peers = [other for other in on_dataset if other["method"] == method]
    news = [] if on_dataset else [f"dataset {dataset}"]
    news += [] if peers or not on_dataset else [f"method {method_name(method)}"]
    news += _new_noise(specification["noise"], [other["noise"] for other in known])
    old = [by_path(other["hyperparameters"]) for other in peers]
    for key, value in by_path(specification["hyperparameters"]).items():
        if old and all(other.get(key) != value for other in old):
            news.append(f"{_name(key)} = {value} of {method_name(method)}")
    if all(other["seed"] != specification["seed"] for other in known):
        news.append(f"seed {specification['seed']}")
    return f"new: {', '.join(news)}" if news else "new: a combination of known values"


def _new_noise(noise: dict[str, Any], known: list[dict[str, Any]]) -> list[str]:
    """Return a new noise by its Greek letter where no known one of its kind has that value, else by its name."""
    if noise["key"] in {other["key"] for other in known}:
        return []
    alike = [other for other in known if other["kind"] == noise["kind"]]
    letters = [
        parameter_value(key, value)
        for key, value in noise.items()
        if alike and key in PARAMETERS and all(other.get(key) != value for other in alike)
    ]
    return letters or [f"noise {noise['key']}"]


def _setting(key: tuple[str, ...], run: Run) -> str:
    """Return a setting's name and what it belongs to."""
    dataset = run.specification["dataset"]["key"]
    match key:
        case ("hyperparameters", *rest):
            return f"{_name(rest)} of {method_name(run.method)} on {dataset}"
        case ("noise", *rest):
            return f"{_name(rest)} of noise {run.noise}"
        case ("dataset", *rest):
            return f"{_name(rest)} of dataset {dataset}"
    return f"{_name(key)} on {dataset}"


def _name(key: Sequence[str]) -> str:
    return ".".join(PARAMETERS.get(part, part) for part in key)


def _changed_versions(old: dict[str, str]) -> Iterator[str]:
    for package, version in environment.versions().items():
        if old.get(package) != version:
            yield f"{package} {old.get(package, 'none')} → {version}"


def by_path(nested: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return the values of nested mappings by their paths of keys."""
    values: dict[tuple[str, ...], Any] = {}
    for key, value in nested.items():
        inner = by_path(value) if isinstance(value, dict) else {(): value}
        values |= {(key, *rest): content for rest, content in inner.items()}
    return values


def file_of(module: str) -> str:
    """Return a library module's file, relative to the working directory if it lies below."""
    try:
        path = code_digest.library().path_of(module).resolve()
    except KeyError:
        return f"{module} (gone)"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _kind(run: Run) -> tuple[str, str]:
    """Return what decides which code a run reaches: method and model."""
    return run.method, run.specification["model"]["name"]
