"""The report of a finished scale in one file, by Snakemake: `smoothing report`."""

from pathlib import Path

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import snakemake_cli
from adaptive_smoothing.pipeline.commands import words
from adaptive_smoothing.pipeline.plan import Plan

FILE = "results/{scale}/report.html"


def write_report(scale: str) -> str:
    """Write the report of a scale; return a sentence on it. Raises UserError unless all results are there."""
    planned = words.scale(scale)
    needed = _results(planned)
    if missing := [path for path in needed if not Path(path).exists()]:
        raise UserError(
            f"scale '{scale}': {len(missing)} of {len(needed)} files are missing, the first is {missing[0]}; make them "
            f"with 'snakemake --cores 2 {scale}', or report what is there with 'smoothing report {scale} --so-far'"
        )
    file = FILE.format(scale=scale)
    snakemake_cli.write_report(scale, file)
    return f"{file}: the report of scale '{scale}', {Path(file).stat().st_size / 1e6:.1f} MB"


def _results(planned: Plan) -> list[str]:
    """Return the files that a finished scale has; its extras are among them."""
    extras = [file for name in planned.scale.extras for file in paths.figure_files(planned.name, name)]
    return [*planned.figure_files(), *extras]
