"""Collect one figure's runs into the tidy table behind it."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "collect",
    snakemake,
    description=snakemake.params.description,
    runs=snakemake.params.runs,
    metrics=list(snakemake.input.metrics),
    label_noise=list(snakemake.input.label_noise),
    folders=snakemake.params.folders,
    asked=snakemake.params.asked,
    output=snakemake.output.table,
    code=snakemake.params.code,
    made_from=snakemake.params.made_from,
    strict=snakemake.params.strict,
)
