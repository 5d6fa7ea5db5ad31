"""Write a scale's report: one text as Markdown, as one HTML page, and in pages for Snakemake's report."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "index",
    snakemake,
    scale=snakemake.wildcards.scale,
    label=snakemake.params.label,
    tables=list(snakemake.input.tables),
    claims=snakemake.input.claims,
    claims_table=snakemake.input.claims_table,
    documents=list(snakemake.params.documents),
    about=snakemake.params.about,
    policy=snakemake.params.policy,
    versions=dict(snakemake.params.versions),
    outputs=dict(snakemake.output.items()),
)
