"""Make or download one dataset and store it as memory-mappable arrays."""

from pathlib import Path

from adaptive_smoothing.jobs import data_root, run

run(
    "adaptive_smoothing.datasets:prepare",
    snakemake.log[0],
    **snakemake.params.source,
    files={Path(file).name: file for file in snakemake.output.files},
    raw=data_root(),
)
