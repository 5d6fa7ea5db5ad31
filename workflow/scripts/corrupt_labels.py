"""Corrupt the training labels of one dataset with one noise."""

from pathlib import Path

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "corrupt_labels",
    snakemake,
    dataset=str(Path(snakemake.input.dataset).parent),
    parameters=snakemake.params.noise,
    noise_seed=int(snakemake.wildcards.noise_seed),
    **snakemake.params.split,
    output=snakemake.output.labels,
)
