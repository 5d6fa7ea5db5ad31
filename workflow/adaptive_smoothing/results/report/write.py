"""From a scale's tables, drawings and verdicts to its report: one text, as Markdown and as HTML that needs no network.

results/<scale>/index.md links to the figures; index.html holds all of it in one file; accuracy.csv holds the report's
table of accuracies for programs. results/<scale>/report/ holds a page a section for Snakemake's own report, and
pages.json, which says where in it each page belongs.
"""

import json
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.options import Field, Strict
from adaptive_smoothing.results import notes
from adaptive_smoothing.results.report import facts, html, markdown

DRAWN_WITH = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy", "seaborn")
MARKS = {"reproduced": "✓", "not reproduced": "✗", "inconclusive": "?", "not tested": "–"}
Placed = dict[str, dict[str, str | dict[str, str]]]  # page → category and labels in Snakemake's report


@dataclass(frozen=True)
class Section:
    """A page of the report: its file's name, heading, where Snakemake's report shows it, and its Markdown."""

    key: str
    heading: str
    category: str
    labels: dict[str, str]
    text: str


class Outputs(Strict):
    """Where the report goes; links are relative to the folder of `index`, which is that of `accuracy`, too.

    No `pages`: none are made.
    """

    index: str
    page: str
    accuracy: str
    pages: str | None = None


class ReportJob(Strict):
    """A scale, its tables and verdicts, what else is known of it, and where the report goes."""

    scale: str
    label: str | None = Field(description="what the scale calls itself; None: the paper's own scale")
    tables: tuple[str, ...] = Field(description="the figures' tables")
    claims: str = Field(description="the verdicts as Markdown")
    claims_table: str = Field(description="the verdicts as Parquet")
    documents: tuple[str, ...] = Field(description="Markdown files on deviations and assumptions")
    about: str = Field(description="what the scale's file says of itself")
    policy: str = Field(description="what another package version does, as for notes.write")
    versions: dict[str, str] = Field(description="the packages that are installed now")
    outputs: Outputs
    missing: dict[str, str] = Field(default={}, description="figure → why it has no table")


def write(**fields: Any) -> None:
    """Write the report of a scale; `fields` are those of ReportJob, as plain values.

    Raises UserError for a damaged table.
    """
    job = ReportJob.model_validate(fields)
    report = markdown.Report(
        scale=job.scale,
        label=job.label,
        folder=Path(job.outputs.index).parent,
        figures=facts.read(job.tables, lambda description: notes.warnings(description, job.policy, job.versions)),
        verdicts=parquet.read(job.claims_table)[0].to_pylist(),
        missing=job.missing,
        about=job.about,
        writer=_writer(),
    )
    with atomic_write(job.outputs.accuracy) as temporary:
        report.accuracies.to_csv(temporary, index=False)
    sections = list(_sections(report, job.claims, job.documents))
    _write_index(report, sections, job.outputs)
    if job.outputs.pages is not None:
        _write_pages(report, sections, job.outputs.pages)


def _write_pages(report: markdown.Report, sections: Sequence[Section], folder: str) -> None:
    """Write a page a section, and where each belongs in Snakemake's report."""
    for section in sections:
        pictures = html.gallery(_pictures(report), linked=False) if section.key == "overview" else ""
        text = f"# {section.heading}\n\n{section.text}"
        _write_text(f"{folder}/{section.key}.html", html.part(section.heading, text, report.folder, pictures))
    placed: Placed = {section.key: {"category": section.category, "labels": section.labels} for section in sections}
    _write_text(f"{folder}/{paths.PLACED}", json.dumps(placed, indent=1, ensure_ascii=False) + "\n")


def _write_index(report: markdown.Report, sections: Sequence[Section], outputs: Outputs) -> None:
    """Write all sections below each other, as Markdown and as HTML."""
    title = f"Adaptive label smoothing at scale '{report.scale}'"
    first, *others = sections
    parts = [f"# {title}\n\n{first.text}", *(f"## {section.heading}\n\n{section.text}" for section in others)]
    text = "\n\n".join(parts) + "\n"
    _write_text(outputs.index, text)
    pictures = html.gallery(_pictures(report), linked=True)
    _write_text(outputs.page, html.page(title, text, report.folder, pictures, contents=True))


def _sections(report: markdown.Report, claims: str, documents: Sequence[str]) -> Iterator[Section]:
    def section(key: str, heading: str, lines: Iterator[str]) -> Section:
        return Section(key, heading, heading, {"page": heading}, "\n".join(lines))

    yield section("overview", "At a glance", markdown.overview(report))
    for figure in report.figures:
        verdicts = " ".join(f"{row['claim']} {MARKS[row['verdict']]}" for row in report.verdicts_on(figure.name))
        labels = {"figure": paths.sorted_number(figure.name), "claims": verdicts or "none"}
        category = "Figures" if figure.of_the_paper else "Beyond the paper"
        text = "\n".join(markdown.figure_section(report, figure))
        yield Section(figure.name, _heading(figure), category, labels, text)
    yield section("accuracy", "Accuracy", markdown.accuracy_section(report))
    yield section("claims", "Claims", _document(report, claims))
    yield section("deviations", "Deviations and assumptions", _deviations(report, documents))
    yield section("cost", "Cost", markdown.cost_section(report))
    yield section("environment", "Environment", markdown.environment_section(report))
    yield section("reproduce", "How to make it again", markdown.reproduce_section(report))


def _heading(figure: facts.Figure) -> str:
    return f"{figure.number}: {figure.title}"


def _pictures(report: markdown.Report) -> Iterator[tuple[str, str, Path]]:
    for figure in report.figures:
        _, png = paths.figure_files(report.scale, figure.name)
        yield _heading(figure), html.anchor(_heading(figure)), Path(png)


def _deviations(report: markdown.Report, documents: Sequence[str]) -> Iterator[str]:
    if report.about:
        yield from (f"What `config/{report.scale}.yaml` says of this scale:", "", report.about, "")
    if report.label:
        yield "The tables of assumptions are about the paper's own scale; this one has other data, models and budgets."
    for path in documents:
        content = Path(path).read_text(encoding="utf-8")
        title = re.match(r"# (.+)", content)
        yield from ("", f"### {title[1] if title else path}", "", *_document(report, path))


def _document(report: markdown.Report, path: str) -> Iterator[str]:
    """Yield a Markdown file without its title, headings two levels deeper, links as seen from the report's folder."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            continue
        relinked = re.sub(
            r"\]\((?!\w+:|#)([^)]+)\)", lambda link: f"]({report.link(Path(path).parent / link[1])})", line
        )
        yield f"##{relinked}" if relinked.startswith("#") else relinked


def _writer() -> dict[str, str]:
    packages = {package: version(package) for package in DRAWN_WITH}
    machine = f"{platform.system()} on {platform.machine()}"
    return {
        "git revision": environment.checkout().revision,
        "Python": platform.python_version(),
        **packages,
        "system": machine,
    }


def _write_text(path: str, content: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
