"""The report's text: one Markdown section each for a figure, the claims, cost, environment and how to make it again.

The same text becomes results/<scale>/index.md and, with pictures and files inside, the HTML pages.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.units import span
from adaptive_smoothing.results import accuracy
from adaptive_smoothing.results.claims.judge import CLAIMS
from adaptive_smoothing.results.claims.page import ALL, VERDICTS, Row, effect
from adaptive_smoothing.results.claims.samples import PAPER
from adaptive_smoothing.results.names import method_name
from adaptive_smoothing.results.report.facts import Figure
from adaptive_smoothing.results.report.quotes import QUOTES
from adaptive_smoothing.results.run_costs import RunCost, total
from adaptive_smoothing.results.text import listed, markdown_table, plural

NO_BREAK = "\u00a0"
ARXIV = "https://arxiv.org/abs/2502.07273"
PAPERS_TITLE = "Variational Learning Induces Adaptive Label Smoothing"


@dataclass(frozen=True)
class Report:
    """Everything that the report is written from.

    `folder`, the folder of the text, to which its links are relative; `verdicts`, the rows of claims.parquet;
    `missing`, figure → why it is not there; `about`, what the scale's file says of itself; `writer`, the packages and
    the machine that write the report.
    """

    scale: str
    label: str | None
    folder: Path
    figures: Sequence[Figure]
    verdicts: Sequence[Row]
    missing: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    writer: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the scale calls itself."""
        return self.label or "the paper's own scale"

    @cached_property
    def accuracies(self) -> pd.DataFrame:
        """The accuracies of all figures that compare methods."""
        return accuracy.of_figures(
            [(figure.frame, figure.description) for figure in self.figures if accuracy.compares(figure.description)]
        )

    def link(self, path: str | Path) -> str:
        """Return a path of the project as seen from the report's folder."""
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def verdicts_on(self, figure: str) -> list[Row]:
        """Return the verdicts on a figure's claims as wholes, analysed as in the paper."""
        claims = {claim.id for claim in CLAIMS if figure in claim.figures}
        return [row for row in self.whole_claims() if row["claim"] in claims]

    def whole_claims(self) -> list[Row]:
        """Return the verdicts on all claims as wholes, analysed as in the paper."""
        return [row for row in self.verdicts if row["scenario"] == ALL and row["reading"] == PAPER.name]

    def all_costs(self) -> dict[str, RunCost]:
        """Return run → cost over all figures; a run that several share is here once."""
        return {run: cost for figure in self.figures for run, cost in figure.costs.items()}

    def all_records(self) -> dict[str, dict[str, Any]]:
        """Return run → record over all figures; a run that several share is here once."""
        return {run: record for figure in self.figures for run, record in figure.records.items()}


def overview(report: Report) -> Iterator[str]:
    """Yield what the report is about, the verdicts in one table, and the cautions."""
    claims, runs = report.whole_claims(), len(report.all_records())
    counts = Counter(row["verdict"] for row in claims)
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    yield f"Figures of [*{PAPERS_TITLE}*]({ARXIV}), rebuilt at scale `{report.scale}`: **{report.name}**."
    yield ""
    time = total(report.all_costs().values())
    yield f"{plural(len(report.figures), 'figure')} from {plural(runs, 'training')}, which took {time} in all."
    if report.label:
        yield "A verdict is about this scale's own data, models and budget, not about the paper's results."
    yield ""
    yield (f"Of the paper's {plural(len(claims), 'claim')}: {verdicts}." if verdicts else "No claim was judged.")
    yield ""
    yield from verdict_table(claims, with_words=False)
    for caution in _cautions(report):
        yield from ("", f"> {caution}")


def _cautions(report: Report) -> Iterator[str]:
    yield from (f"**{name} is not here:** {why}" for name, why in report.missing.items())
    concerned: dict[str, list[str]] = {}
    for figure in report.figures:
        for caution in figure.cautions():
            concerned.setdefault(caution, []).append(figure.number)
    yield from (f"**{', '.join(numbers)}:** {caution}" for caution, numbers in concerned.items())


def verdict_table(rows: Sequence[Row], with_words: bool) -> Iterator[str]:
    """Yield the table of verdicts; `with_words` says what was compared, else whose effect is shown."""
    yield from markdown_table(
        ("id", "claim", "verdict", "effect [95 % CI]", "seeds", "what was compared" if with_words else "whose effect"),
        (
            [
                row["claim"],
                row["text"],
                f"**{row['verdict']}**",
                effect(row).replace(" ", NO_BREAK),
                str(row["seeds"] or "–"),
                ". ".join(filter(None, (row["compared"], row["why"]))) if with_words else row["decides"],
            ]
            for row in rows
        ),
    )
    yield from ("", "Effects are in points of test accuracy unless a unit is given.")


def figure_section(report: Report, figure: Figure) -> Iterator[str]:
    """Yield a figure with its caption: claims and verdicts, n, scale, warnings, cost, and how to make it again."""
    pdf, png = paths.figure_files(report.scale, figure.name)
    picture = f"![{figure.number}: {figure.title}]({report.link(png)})"
    yield picture if Path(png).is_file() else "> The table is there, but the figure is not drawn yet."
    yield ""
    name = report.name[0].upper() + report.name[1:]
    yield f"**{figure.number}: {figure.title}.** {name}. {figure.behind()}"
    yield ""
    data = paths.TABLE.format(scale=report.scale, figure=figure.name)
    numbers = paths.NUMBERS.format(scale=report.scale, figure=figure.name)
    downloads = ((pdf, "PDF"), (data, "the table behind it (Parquet)"), (numbers, "the numbers in it (CSV)"))
    yield f"Download: {', '.join(f'[{name}]({report.link(file)})' for file, name in downloads)}"
    for caution in figure.cautions():
        yield from ("", f"> {caution}")
    rows = report.verdicts_on(figure.name)
    if rows:
        yield from ("", "### What the paper says", "")
        for row in rows:
            quote = QUOTES[row["claim"]]
            yield f"- **{row['claim']}** “{quote.words}” ({quote.section})"
        yield from ("", "### What was found at this scale", "")
        yield from verdict_table(rows, with_words=True)
    yield from ("", "### Make it again", "")
    yield from _commands(report, figure)


def _commands(report: Report, figure: Figure) -> Iterator[str]:
    pdf = paths.figure_files(report.scale, figure.name)[0]
    revisions = _revisions(figure.counted("git_revision"))
    yield (
        f"Trained{f' in {total(figure.costs.values())}' if figure.costs else ''} at git revision {revisions}."
        if (figure.records)
        else "Nothing is trained for it."
    )
    if figure.kept:
        files = listed(sorted(figure.kept))
        yield from ("", f"No commit holds {files}. The table keeps them, and `smoothing restore` writes them back.")
    yield from ("", "```sh")
    if figure.commit:
        yield f"git checkout {figure.commit}"
    if figure.kept:
        yield f"smoothing restore {paths.TABLE.format(scale=report.scale, figure=figure.name)}"
    yield f"snakemake {pdf} --cores 2{_device(report)}"
    yield f"smoothing provenance {pdf}    # from the picture back to every run, each hash checked"
    yield "```"


def _device(report: Report) -> str:
    return " --resources gpu=1" if report.scale == paths.PAPER else ""


def _revisions(counts: Counter[str]) -> str:
    """Return the revisions in words, with how many runs each made where there are several."""
    if len(counts) == 1:
        return f"`{next(iter(counts))}`"
    return "; ".join(f"`{revision}` ({plural(count, 'run')})" for revision, count in counts.most_common())


def accuracy_section(report: Report) -> Iterator[str]:
    """Yield the accuracies of all methods in one table."""
    if report.accuracies.empty:
        yield "No figure of this scale compares methods."
        return
    yield f"{accuracy.CAPTION} Download: [the same as CSV]({Path(paths.ACCURACY).name})"
    yield ""
    yield from accuracy.markdown(report.accuracies)


def cost_section(report: Report) -> Iterator[str]:
    """Yield the trainings' number and time by figure (shared runs once in the sum), method and device."""
    seen: set[str] = set()
    rows = []
    for figure in report.figures:
        shared = seen & figure.records.keys()
        seen |= figure.records.keys()
        counts = [str(len(figure.records)), str(len(shared) or "–")]
        rows.append([figure.number, *counts, total(figure.costs.values()), _devices(figure.costs.values())])
    everything = report.all_costs()
    rows.append(
        ["**all, shared runs once**", str(len(seen)), "", total(everything.values()), _devices(everything.values())]
    )
    yield "Time is that of training and its evaluations, as each run recorded it; several may have run side by side."
    yield ""
    yield from markdown_table(("figure", "trainings", "of them shown above already", "time", "device"), rows)
    yield ""
    yield from markdown_table(("method", "trainings", "time", "mean", "longest", "peak memory"), _by_method(report))
    if unknown := [run for run in seen if run not in everything]:
        yield from ("", f"The cost of {plural(len(unknown), 'run')} is unknown: {listed(sorted(unknown))}.")


def _by_method(report: Report) -> Iterator[list[str]]:
    everything = report.all_costs()
    by_method: dict[str, dict[str, RunCost]] = {}
    for run, record in report.all_records().items():
        if run in everything:
            by_method.setdefault(record["specification"]["method"], {})[run] = everything[run]
    for method, costs in sorted(by_method.items()):
        seconds = [cost.seconds for cost in costs.values()]
        peak = max(cost.peak_memory_mb for cost in costs.values())
        times = (total(costs.values()), span(sum(seconds) / len(seconds)), span(max(seconds)))
        yield [method_name(method), str(len(costs)), *times, f"{peak:,.0f} MB" if peak == peak else "–"]


def _devices(costs: Iterable[RunCost]) -> str:
    counts = Counter(cost.device for cost in costs)
    if len(counts) <= 1:
        return next(iter(counts), "–")
    return ", ".join(f"{device} ({count})" for device, count in counts.most_common())


def environment_section(report: Report) -> Iterator[str]:
    """Yield what made the runs, as their records say, then what wrote this report."""
    runs = report.all_records()
    yield f"What made the {plural(len(runs), 'run')}, as each run's own record says:"
    yield ""
    versions: dict[str, Counter[str]] = {"git revision": Counter(str(r["git_revision"]) for r in runs.values())}
    for record in runs.values():
        for package, version in sorted(record["versions"].items()):
            versions.setdefault(package, Counter())[version] += 1
    versions["device"] = Counter(cost.device for cost in report.all_costs().values())
    yield from markdown_table(
        ("what", "value", "runs"),
        (
            [what, f"`{value}`", str(count)]
            for what, counts in versions.items()
            for value, count in counts.most_common()
        ),
    )
    yield from ("", "What wrote this report:", "")
    yield from markdown_table(("what", "value"), ([what, f"`{value}`"] for what, value in report.writer.items()))


def reproduce_section(report: Report) -> Iterator[str]:
    """Yield the commands that make everything again, and those that check what is here."""
    yield "From a checkout of the repository, with Python 3.11 or newer (`make` sets up the rest):"
    yield from ("", "```sh", "make .venv/.installed    # sets up .venv, runs nothing", "source .venv/bin/activate")
    yield f"snakemake {report.scale} --cores 2{_device(report)}    # every figure, the claims, this report's text"
    yield f"smoothing report {report.scale}    # this report"
    yield "```"
    yield from ("", "One figure at a time, and from a figure back to what made it:", "")
    rows = []
    for figure in report.figures:
        pdf = paths.figure_files(report.scale, figure.name)[0]
        revision = ", ".join(f"`{_shortened(revision)}`" for revision in figure.counted("git_revision")) or "–"
        rows.append([figure.number, revision, f"`snakemake {pdf} --cores 2`", f"`smoothing provenance {pdf}`"])
    yield from markdown_table(("figure", "runs' git revision", "make", "trace"), rows)
    if any(str(record["git_revision"]).endswith("-modified") for record in report.all_records().values()):
        yield from (
            "",
            "> A revision that ends in `-modified` had changes that were not committed; the tables keep them.",
        )


def _shortened(revision: str) -> str:
    """Return a revision with the first letters of its hash only."""
    commit, mark, rest = revision.partition("-")
    return commit[:12] + mark + rest
