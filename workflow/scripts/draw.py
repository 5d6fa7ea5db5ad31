"""Draw one figure from its table."""

from adaptive_smoothing.pipeline.runtime.jobs import run

run(
    "draw",
    snakemake.log[0],
    table=snakemake.input.table,
    outputs=[snakemake.output.pdf, snakemake.output.png],
    numbers=snakemake.output.numbers,
    record=snakemake.output.drawn,
)
