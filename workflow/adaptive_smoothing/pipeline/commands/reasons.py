"""Why a file is made again, in a person's words: what the plan asks for now, against what the file's record says."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from adaptive_smoothing.core import environment, paths
from adaptive_smoothing.pipeline import code_digest
from adaptive_smoothing.pipeline.code_digest import Code
from adaptive_smoothing.pipeline.plan import FigurePlan, Plan, Run, Specification
from adaptive_smoothing.pipeline.snakemake_cli import Job
from adaptive_smoothing.results.names import PARAMETERS, method_name, parameter_value

KEY = b"adaptive_smoothing"  # records.KEY; the module itself would import pandas, which takes longer than all of this
# Snakemake's words, and ours; the first that fits says most.
IN_OTHER_WORDS = {
    "Missing output files": "does not exist",
    "Forced execution": "was interrupted",  # nothing else is forced here
    "Incomplete output files": "was interrupted",
    "Input files updated by another job": "its inputs are made again",
    "Updated input files": "its inputs are newer",
    "Set of input files has changed": "its inputs are other ones",
    "Params have changed": "its settings changed",
    "Software environment definition": "software environment changed",
}
Flat = dict[tuple[str, ...], Any]


class Reasons:
    """Explains the jobs of one scale that Snakemake would run."""

    def __init__(self, plan: Plan, jobs: dict[str, Job]) -> None:
        """Take the plan, and the jobs by the files that they would make."""
        self.plan = plan
        self.jobs = jobs
        kinds = {_kind(run): run for run in plan.runs.values()}
        self.code_of_kind: dict[tuple[str, str], Code] = {kind: run.code for kind, run in kinds.items()}

    def job_of_run(self, run: Run) -> Job | None:
        """Return the job that would train a run."""
        return self.jobs.get(paths.METRICS.format(scale=self.plan.name, run=run.name))

    def is_damaged(self, run: Run) -> bool:
        """Whether a run's results are there, but cannot be read."""
        path = paths.METRICS.format(scale=self.plan.name, run=run.name)
        return Path(path).exists() and record(path) is None

    def of_run(self, run: Run, job: Job, figure: FigurePlan) -> str:
        """Return why a run is trained (again); what is new about it is told against the figure's last table."""
        path = paths.METRICS.format(scale=self.plan.name, run=run.name)
        if not Path(path).exists():
            return self._of_new_run(run, figure)
        made = record(path)
        if made is None:
            return "damaged record"
        if not isinstance(made.get("code"), dict):
            return "made by an older version of the pipeline"
        specification, now = flat(made["specification"]), flat(run.specification)
        found = list(_changed_settings(specification, now, run))
        code = run.code
        found += self._changed_code(
            {module for module in code | made["code"] if code.get(module) != made["code"].get(module)}
        )
        found += self._changed_inputs(run, job, {key[0] for key in now if specification.get(key) != now[key]})
        if "Software environment definition" in job.reason:
            found += _changed_versions(made["versions"])
        return "; ".join(found) or self.of_job(job)

    def of_job(self, job: Job) -> str:
        """Return why any other file is made again, as far as Snakemake says it."""
        if job.changed_modules:
            return f"its code changed: {', '.join(map(file_of, job.changed_modules))}"
        return next((ours for theirs, ours in IN_OTHER_WORDS.items() if theirs in job.reason), job.reason)

    def of_table(self, figure: FigurePlan, job: Job) -> str:
        """Return why a figure's table alone is made again."""
        made = record(paths.TABLE.format(scale=self.plan.name, figure=figure.name))
        if made is None or job.changed_modules:
            return self.of_job(job)
        changed = [key for key, value in _as_json(figure.description).items() if made.get(key) != value]
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
        return novelty(run.specification, [made["specification"] for made in before.values()])

    def _runs_of_table(self, figure: FigurePlan) -> dict[str, dict[str, Any]]:
        """Return the records of the runs that a figure's last table was made from."""
        table = record(paths.TABLE.format(scale=self.plan.name, figure=figure.name)) or {}
        runs = table.get("runs")
        return runs if isinstance(runs, dict) else {}  # older tables list names alone

    def _changed_code(self, modules: Iterable[str]) -> Iterator[str]:
        by_owner: dict[str, list[str]] = defaultdict(list)
        for module in sorted(modules):
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

    def _changed_inputs(self, run: Run, job: Job, told: set[str]) -> Iterator[str]:
        """Yield the dataset or, if that is as it was, the labels, unless a changed setting has `told` it already."""
        corruption = self.jobs.get(run.labels)
        said = job.reason + (corruption.reason if corruption else "")  # a new dataset may be told of the labels alone
        for kind, file in (("dataset", paths.META.format(dataset=run.dataset_folder)), ("labels", run.labels)):
            maker = self.jobs.get(file)
            if told.isdisjoint({"dataset", "noise"}) and (maker or file in said):
                yield f"{kind} changed" + (f" ({self.of_job(maker)})" if maker else "")
                return


@cache
def record(path: str) -> dict[str, Any] | None:
    """Return what a Parquet file says made it; None if it is missing, damaged or not ours."""
    try:
        metadata: dict[str, Any] = json.loads(pq.read_schema(path).metadata[KEY])
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's own errors are among the first two
        return None
    return metadata


def novelty(specification: Specification, known: Sequence[Specification]) -> str:
    """Return what a run has that no known one has."""
    dataset, method = specification["dataset"]["key"], specification["method"]
    beside = [other for other in known if other["dataset"]["key"] == dataset]
    peers = [other for other in beside if other["method"] == method]
    found = [] if beside else [f"dataset {dataset}"]
    found += [] if peers or not beside else [f"method {method_name(method)}"]
    found += _new_noise(specification["noise"], [other["noise"] for other in known])
    old = [flat(other["hyperparameters"]) for other in peers]
    for key, value in flat(specification["hyperparameters"]).items():
        if old and all(other.get(key) != value for other in old):
            found.append(f"{_called(key)} = {value} of {method_name(method)}")
    if all(other["seed"] != specification["seed"] for other in known):
        found.append(f"seed {specification['seed']}")
    return f"new: {', '.join(found)}" if found else "new: a combination of known values"


def _new_noise(noise: dict[str, Any], known: list[dict[str, Any]]) -> list[str]:
    """Return a new noise by its Greek letter where that tells it apart, by its name otherwise."""
    if noise["key"] in {other["key"] for other in known}:
        return []
    alike = [other for other in known if other["kind"] == noise["kind"]]
    told = [
        parameter_value(key, value)
        for key, value in noise.items()
        if alike and key in PARAMETERS and all(other.get(key) != value for other in alike)
    ]
    return told or [f"noise {noise['key']}"]


def _changed_settings(old: Flat, new: Flat, run: Run) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            yield f"{_setting(key, run)}: {old.get(key, 'none')} → {new.get(key, 'none')}"


def _setting(key: tuple[str, ...], run: Run) -> str:
    """Return what a setting is called, and what it belongs to."""
    dataset = run.specification["dataset"]["key"]
    match key:
        case ("hyperparameters", *rest):
            return f"{_called(rest)} of {method_name(run.method)} on {dataset}"
        case ("noise", *rest):
            return f"{_called(rest)} of noise {run.noise}"
        case ("dataset", *rest):
            return f"{_called(rest)} of dataset {dataset}"
    return f"{_called(key)} on {dataset}"


def _called(key: Sequence[str]) -> str:
    return ".".join(PARAMETERS.get(part, part) for part in key)


def _changed_versions(old: dict[str, str]) -> Iterator[str]:
    for package, version in environment.versions().items():
        if old.get(package) != version:
            yield f"{package} {old.get(package, 'none')} → {version}"


def flat(nested: dict[str, Any]) -> Flat:
    """Return a nested mapping by paths of keys, with values as in records."""
    result: Flat = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            result |= {(key, *rest): inner for rest, inner in flat(value).items()}
        else:
            result[(key,)] = _as_json(value)
    return result


def _as_json(value: Any) -> Any:
    """Return a value as a record gives it back: tuples are lists there."""
    return json.loads(json.dumps(value))


def file_of(module: str) -> str:
    """Return a library module's file, from the working directory where it lies below."""
    try:
        path = code_digest.library().path_of(module).resolve()
    except KeyError:
        return f"{module} (gone)"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _kind(run: Run) -> tuple[str, str]:
    """Return what decides which code a run reaches."""
    return run.method, run.specification["model"]["name"]
