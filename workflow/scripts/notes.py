"""Note what a reader should know before believing a scale's figures."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "notes",
    snakemake,
    scale=snakemake.wildcards.scale,
    label=snakemake.params.label,
    tables=list(snakemake.input.tables),
    policy=snakemake.params.policy,
    output=snakemake.output.notes,
)
