"""Every folder and file name of the pipeline, as pure functions of names; `{…}` forms serve Snakemake's rules."""

import os
import re

PAPER = "paper"
EXTRA = "extra_"  # names of figures beyond the paper begin with this, and no other figure's name does
DATASET_FILES = (
    "train_images.npy",
    "train_labels.npy",
    "train_clean_labels.npy",
    "test_images.npy",
    "test_labels.npy",
    "meta.json",
)
DATASET = "data/{dataset}"
META = DATASET + "/meta.json"  # written last, with the sha256 of the arrays: it vouches for the whole folder
LABELS = "results/{scale}/labels/{dataset}/{noise}-seed{noise_seed}.parquet"
RUN = "results/{scale}/runs/{run}"
TRAIN_LOG = "logs/{scale}/train/{run}.log"
METRICS = RUN + "/metrics.parquet"
POSTERIOR = RUN + "/posterior.pt"
LABEL_NOISE = RUN + "/label_noise-samples{samples}.parquet"
NOTES = "results/{scale}/notes.md"
CLAIMS = "results/{scale}/claims.md"
CLAIMS_TABLE = "results/{scale}/claims.parquet"
INDEX = "results/{scale}/index.md"
INDEX_PAGE = "results/{scale}/index.html"
ACCURACY = "results/{scale}/accuracy.csv"
PAGES = "results/{scale}/report"  # a page a section, for Snakemake's report
PLACED = "pages.json"  # among them: where in it each belongs
DOCUMENTS = ("docs/{scale}_scale.md", "docs/deviations.md")  # on deviations and assumptions; those that are there
TABLE = "results/{scale}/figures/{figure}.parquet"
NUMBERS = "results/{scale}/figures/{figure}.csv"  # what the picture shows, for programs without Parquet
DRAWN = "results/{scale}/figures/{figure}.drawn.json"  # hashes of the table and of what was drawn from it


def figure_of_table(path: str, scale: str) -> str | None:
    """Return the figure whose table a path is; None if it is no table of the scale."""
    before, after = TABLE.format(scale=scale, figure="\n").split("\n")
    match = re.fullmatch(f"{re.escape(before)}([A-Za-z0-9_]+){re.escape(after)}", path)
    return match[1] if match else None


def is_of_run(path: str) -> bool:
    """Return whether a path is that of a run's metrics, or of what is measured on the run."""
    return re.fullmatch(r"results/[^/]+/runs/.+\.parquet", path) is not None


def figure_base(scale: str, figure: str) -> str:
    """Return a figure's path without its ending: the paper's own scale lies at the top, every other in its folder."""
    folder = "paper_figures" if scale == PAPER else f"paper_figures/{scale}"
    return f"{folder}/{figure}"


def figure_files(scale: str, figure: str) -> list[str]:
    """Return a figure's PDF and the PNG beside it."""
    base = figure_base(scale, figure)
    return [f"{base}.pdf", f"{base}.png"]


def number(figure: str) -> str:
    """Return a figure's name as a reader writes it: 'Fig. 7'; of one that the paper lacks, its name in words."""
    found = re.fullmatch(r"fig(\d+)", figure)
    return f"Fig. {found[1]}" if found else figure.removeprefix(EXTRA).replace("_", " ").capitalize()


def sorted_number(figure: str) -> str:
    """Return the same for lists that a browser sorts as text: it puts the figure space, padded with, before digits."""
    return re.sub(r" (\d)$", " \u2007\\1", number(figure))


def expanded(folder: str) -> str:
    """Return the folder that a user wrote, its `~` and variables of the shell (`$SCRATCH`) replaced."""
    return os.path.expanduser(os.path.expandvars(folder))


def unset_variables(folder: str) -> list[str]:
    """Return the variables of the shell that a user's folder names and that are not set, or empty."""
    names = (name or braced for name, braced in re.findall(r"\$(?:(\w+)|\{([^}]*)\})", folder))
    return [name for name in names if not os.environ.get(name)]
