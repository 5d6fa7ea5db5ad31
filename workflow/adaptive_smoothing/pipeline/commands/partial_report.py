"""The report of what is there so far, while runs are missing, training or failed: results/<scale>/so_far/.

`smoothing report SCALE --so-far` writes it. It runs and draws nothing, and leaves the scale's own results as they are.
"""

import sys
from pathlib import Path

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline import plan, stages
from adaptive_smoothing.pipeline.commands import former_names, words
from adaptive_smoothing.results.claims import judge
from adaptive_smoothing.results.report import write
from adaptive_smoothing.results.text import listed

LOGS = "logs/{scale}/train"


def report_so_far(scale: str) -> str:
    """Write claims, index.md and index.html of the tables that are there; return a sentence on what is missing.

    Raises UserError for an unknown scale, and where no table is there at all.
    """
    planned = words.scale(scale)
    tables, missing = [], {}
    for figure in planned.all_figures:
        table = paths.TABLE.format(scale=scale, figure=figure)
        if why := _why_missing(planned, figure, table):
            missing[figure] = why
        else:
            tables.append(table)
    if not tables:
        raise UserError(
            f"scale '{scale}': there is no table of any figure yet; make them with 'snakemake --cores 2 {scale}'"
        )
    claims, claims_table, index, page, accuracy = (
        _in_so_far(pattern.format(scale=scale))
        for pattern in (paths.CLAIMS, paths.CLAIMS_TABLE, paths.INDEX, paths.INDEX_PAGE, paths.ACCURACY)
    )
    label = planned.scale.label
    own = [path for path in tables if Path(path).stem in planned.figures]
    judge.judge(scale, label, own, claims, claims_table, stages.code("judge_claims"))
    write.write(
        scale=scale,
        label=label,
        tables=tables,
        claims=claims,
        claims_table=claims_table,
        documents=list(planned.documents()),
        about=planned.about(),
        policy="warn",
        versions=environment.versions(),
        outputs={"index": index, "page": page, "accuracy": accuracy},
        missing=missing,
    )
    lacking = f"; not there: {', '.join(missing)}" if missing else ""
    return f"{page}: {len(tables)} of {len(planned.all_figures)} figures{lacking}"


def _why_missing(planned: plan.Plan, figure: str, table: str) -> str:
    """Return why a figure cannot be reported, '' if it can."""
    try:
        parquet.read(table)
    except UserError as error:
        if Path(table).exists():
            return f"its table cannot be read ({error})."
    else:
        return ""
    runs = planned.all_figures[figure].runs
    absent = [run.name for run in runs if not Path(paths.METRICS.format(scale=planned.name, run=run.name)).exists()]
    if not absent:
        return "all its runs are there, but its table is not made yet."
    logs = LOGS.format(scale=planned.name)
    return (
        f"{len(absent)} of {len(runs)} runs are not there: {listed(absent)}. A run that failed says why in `{logs}/`."
    )


def _in_so_far(path: str) -> str:
    return str(Path(path).parent / "so_far" / Path(path).name)


if __name__ == "__main__":
    former_names.renamed("report", [*sys.argv[1:], "--so-far"])
