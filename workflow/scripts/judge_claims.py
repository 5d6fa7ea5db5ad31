"""Judge the paper's claims from a scale's figure tables."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "judge_claims",
    snakemake,
    scale=snakemake.wildcards.scale,
    label=snakemake.params.label,
    tables=list(snakemake.input.tables),
    report=snakemake.output.report,
    table=snakemake.output.table,
    code=snakemake.params.code,
)
