"""Measure the label noise that one trained posterior induces on its training examples."""

from pathlib import Path

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "measure_label_noise",
    snakemake,
    gpus=snakemake.resources.gpu if snakemake.resources.assign_gpus else None,
    specification=snakemake.params.specification,
    run=snakemake.wildcards.run,
    dataset=str(Path(snakemake.input.dataset).parent),
    labels=snakemake.input.labels,
    posterior=snakemake.input.posterior,
    output=snakemake.output.label_noise,
    samples=int(snakemake.wildcards.samples),
    code=snakemake.params.code,
    machine={
        "device": snakemake.resources.device,
        "threads": snakemake.threads,
        "data_root": snakemake.resources.data_root,
    },
)
