"""From runs to the tidy table behind a figure: all a reader needs to redraw it. tables/<kind>.py makes its rows."""

from typing import Any

from adaptive_smoothing.core import parquet, registry, sources
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.core.log import log
from adaptive_smoothing.core.options import Field, Strict
from adaptive_smoothing.core.sources import MadeFrom
from adaptive_smoothing.results import consistency
from adaptive_smoothing.results.asked import Asked, Files, check_measurements, check_specifications, code_notes
from adaptive_smoothing.results.inputs import Inputs


class CollectJob(Strict):
    """A figure, the files of its runs, all in the order of `runs`, and the table to write."""

    description: dict[str, Any] = Field(description="what the table says of the figure, as the plan has it")
    runs: tuple[str, ...]
    metrics: tuple[str, ...] = Field(description="a file a run")
    label_noise: tuple[str, ...] = Field(default=(), description="a file a run; none: the figure does not show it")
    folders: tuple[str, ...] = Field(description="a prepared dataset a run")
    asked: Asked = Field(description="what the plan asks of the runs")
    output: str
    code: dict[str, str] = Field(description="module → digest of the code that the job reaches")
    made_from: MadeFrom = Field(default=MadeFrom(), description="files that the table keeps, if no commit holds them")
    strict: bool = Field(description="whether mixed results are an error")


def collect(**fields: Any) -> None:
    """Write a figure's table; `fields` are those of CollectJob, as plain values.

    Raises UserError for a damaged file, for a run that was not asked for and, where forbidden, for mixed results.
    """
    job = CollectJob.model_validate(fields)
    kept = sources.kept(job.made_from)
    contents = list(parquet.read_all(job.metrics))
    notes = _checked(job, [made for _, made, _ in contents])
    inputs = Inputs(job.description, job.runs, [table for table, _, _ in contents], job.label_noise, job.folders)
    table, additions = registry.load("table", job.description["table"]).make(inputs)
    runs = {run: {**made, "sha256": digest} for run, (_, made, digest) in zip(job.runs, contents, strict=True)}
    for run, path in zip(job.runs, job.label_noise, strict=False):
        runs[run]["label_noise_sha256"] = sha256_of(path)
    devices = {run: metrics.column("device")[0].as_py() for run, metrics in zip(job.runs, inputs.metrics, strict=True)}
    mixed = [*consistency.problems(runs, devices), *notes]
    _report_mixed(job, mixed)
    description = {**job.description, **additions, "code": job.code, "runs": runs, "mixed": mixed}
    description[sources.KEY] = kept
    parquet.write(job.output, table, description)


def _checked(job: CollectJob, records: list[parquet.Metadata]) -> list[str]:
    """Return notes on code that nobody adopted; raise UserError for files that are not those of the runs asked for."""
    about = {"scale": job.description["scale"], "figure": job.description["figure"]}
    metrics = Files(**about, content="results", paths=job.metrics)
    check_specifications(metrics, records, job.asked.specifications)
    notes = list(code_notes(metrics, records, job.asked.codes))
    if job.label_noise:
        label_noise = Files(**about, content="label noise", paths=job.label_noise)
        measured = [parquet.read_metadata(path) for path in job.label_noise]
        check_specifications(label_noise, measured, job.asked.specifications)
        check_measurements(label_noise, measured, job.runs, job.description["label_noise_mc_samples"])
        notes += code_notes(label_noise, measured, job.asked.measuring_codes)
    return notes


def _report_mixed(job: CollectJob, problems: list[str]) -> None:
    """Log each way in which results are mixed; raise UserError if there is one and the job is strict."""
    figure = job.description["figure"]
    for problem in problems:
        log(f"warning: {figure} is mixed: {problem}")
    if job.strict and problems:
        raise UserError(f"figure {figure} is mixed, and strict=true forbids that: {'; '.join(problems)}")
