"""Print a scale's test accuracies as a Markdown table: each method at the best of its grid, for Figs. 5, 7, 8 and 9.

    python benchmarks/accuracy_table.py small

Last epoch, mean ± 1 s.d. over seeds; LS and SAM at the hyper-parameter (in brackets) that is best on the test set, as
in the paper; IVON has one setting for all noises of a figure.
"""

import sys
from collections.abc import Iterator

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results.names import method_name
from adaptive_smoothing.results.summary import best_runs, grid_of, last_epochs, over_seeds

FIGURES = ("fig5", "fig7", "fig8", "fig9")
METHODS = ("ls", "sam", "ivon")


def rows(scale: str, figure: str) -> Iterator[str]:
    """Yield a line a noise: figure, noise, and each method's accuracy in percent."""
    frame, description = parquet.read_frame(paths.TABLE.format(scale=scale, figure=figure))
    runs = last_epochs(frame, description)
    for task, of_task in runs.groupby("task", sort=False):
        cells = []
        for method in METHODS:
            grid = grid_of(description, method, of_task)
            row = over_seeds(best_runs(of_task[of_task["method"] == method], grid), ["chosen"]).iloc[0]
            chosen = f" ({row['chosen']})" if row["chosen"] else ""
            cells.append(f"{row['accuracy']:.1f} ± {row['accuracy_std']:.1f}{chosen}")
        yield f"| {figure.removeprefix('fig')} | {task} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table of the scale named on the command line."""
    if len(sys.argv) != 2:
        raise UserError("which scale? usage: python benchmarks/accuracy_table.py SCALE")
    print(f"| figure | noise | {' | '.join(map(method_name, METHODS))} |")
    print("| --- " * (2 + len(METHODS)) + "|")
    for figure in FIGURES:
        for line in rows(sys.argv[1], figure):
            print(line)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
