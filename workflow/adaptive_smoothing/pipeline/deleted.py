"""Results of runs that are gone although figures were made from them.

Snakemake makes an intermediate file again only for a job that needs it. After a run was deleted it would take the
scale for finished, and an export would miss the run. So the targets of a scale ask for such files as well.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from adaptive_smoothing.core import paths
from adaptive_smoothing.pipeline.figure_plans import FigurePlan


def deleted_files(scale: str, figures: Iterable[FigurePlan]) -> list[str]:
    """Return the files that the tables of some figures were made from and that are gone."""
    return list(dict.fromkeys(file for figure in figures for file in _gone(scale, figure)))


def _gone(scale: str, figure: FigurePlan) -> Iterator[str]:
    """Yield the files of a figure's runs that are not there; none if there is no table, which asks for them itself."""
    if not Path(paths.TABLE.format(scale=scale, figure=figure.name)).exists():
        return
    for run in figure.runs:
        names = {"scale": scale, "run": run.name, "samples": figure.label_noise_mc_samples}
        patterns = [paths.METRICS, *([paths.LABEL_NOISE] if figure.label_noise_mc_samples else [])]
        yield from (file for file in (pattern.format(**names) for pattern in patterns) if not Path(file).exists())
