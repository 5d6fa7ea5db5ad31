"""Train one run."""

from pathlib import Path

from adaptive_smoothing.pipeline.runtime.jobs import OWN_DATA_ROOT, run

run(
    "train",
    snakemake,
    gpus=snakemake.resources.gpu if snakemake.resources.assign_gpus else None,
    specification=snakemake.params.specification,
    run=snakemake.wildcards.run,
    scale=snakemake.wildcards.scale,
    dataset=str(Path(snakemake.input.dataset).parent),
    labels=snakemake.input.labels,
    metrics=snakemake.output.metrics,
    posterior=snakemake.output.get("posterior"),
    code=snakemake.params.code,
    checkpoint_minutes=snakemake.resources.checkpoint_minutes,
    checkpoint_epochs=snakemake.resources.checkpoint_epochs,
    machine={
        "device": snakemake.resources.device,
        "threads": snakemake.threads,
        "data_root": snakemake.resources.data_root,
        "fetch": snakemake.resources.data_root == OWN_DATA_ROOT,
    },
)
