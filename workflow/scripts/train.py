"""Train one run."""

from pathlib import Path

from adaptive_smoothing.jobs import run

run(
    "adaptive_smoothing.training:train",
    snakemake.log[0],
    specification=snakemake.params.specification,
    run=snakemake.wildcards.run,
    scale=snakemake.wildcards.scale,
    dataset=str(Path(snakemake.input.dataset).parent),
    labels=snakemake.input.labels,
    metrics=snakemake.output.metrics,
    posterior=snakemake.output.get("posterior"),
    code=snakemake.params.code,
    threads=snakemake.threads,
    checkpoint_minutes=snakemake.resources.checkpoint_minutes,
)
