"""Draw one figure from its table."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "draw",
    snakemake,
    table=snakemake.input.table,
    outputs=[snakemake.output.pdf, snakemake.output.png],
    numbers=snakemake.output.numbers,
    record=snakemake.output.drawn,
)
