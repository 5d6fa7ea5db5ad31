"""Make or download one dataset and store it as memory-mappable arrays."""

from pathlib import Path

from adaptive_smoothing.pipeline import plan
from adaptive_smoothing.pipeline.runtime.jobs import data_root, run

# Where files come from is looked up here and not a param: other mirrors or another folder rerun nothing.
location = plan.dataset_location(snakemake.wildcards.dataset)
root, fetch = data_root(location.root, location.variant)
run(
    "prepare_dataset",
    snakemake,
    here=True,  # these jobs come first, while the fork server still imports torch
    **snakemake.params.source,
    files={Path(file).name: file for file in snakemake.output.files},
    source={"root": root, "mirrors": list(location.mirrors), "fetch": fetch},
)
