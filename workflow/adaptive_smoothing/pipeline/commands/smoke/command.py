"""The smoke test: all nine figures of the scale `rehearsal`, the paper's own, a few steps a run on tiny archives."""

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline import plan, snakemake_cli
from adaptive_smoothing.pipeline.commands.smoke import archives

SCALE = "rehearsal"
# Fig. 9 is made first, with the threads that the paper's scale gives it: a training with one thread decodes its images
# itself, without workers. The many short jobs of the other figures end sooner side by side, on one core each.
FIRST = "fig9"
ONE_THREAD = tuple(f"{rule}=1" for rule in ("train", "train_keeping_posterior", "measure_label_noise"))


def smoke(cores: int | None = None) -> int:
    """Write the tiny archives that are missing, then make the figures; return Snakemake's exit status.

    `cores`: how many Snakemake may use; None: all.
    """
    planned = plan.load(SCALE)
    archives.write(planned.scale, str(planned.file))
    limit = ("--cores", str(cores or "all"))
    first, _ = paths.figure_files(SCALE, FIRST)
    return snakemake_cli.run(first, *limit) or snakemake_cli.run(SCALE, *limit, "--set-threads", *ONE_THREAD)
