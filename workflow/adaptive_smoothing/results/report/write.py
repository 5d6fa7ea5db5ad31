"""From a scale's tables, drawings and verdicts to its report: one text, as Markdown and as HTML that needs no network.

    python -m adaptive_smoothing.report SCALE    what there is so far, also while runs are missing or have failed

results/<scale>/index.md links to the figures; index.html holds all of it in one file; results/<scale>/report/ holds a
page a section for Snakemake's own report, and pages.json, which says where in it each page belongs.
"""

import json
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from adaptive_smoothing.core import environment, parquet, paths
from adaptive_smoothing.core.files import atomic_write
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


@dataclass(frozen=True)
class Outputs:
    """Where the report goes; the folder of `index` is what links are relative to. No `pages`: none are made."""

    index: str
    page: str
    pages: str | None = None


def write(
    scale: str,
    label: str | None,
    tables: Sequence[str],
    claims: str,
    claims_table: str,
    documents: Sequence[str],
    about: str,
    policy: str,
    versions: dict[str, str],
    outputs: dict[str, str],
    missing: dict[str, str] | None = None,
) -> None:
    """Write the report of a scale.

    Args: `tables`, the figures' tables; `claims` and `claims_table`, the verdicts as text and as a table; `documents`,
    Markdown files on deviations and assumptions; `about`, what the scale's file says of itself; `policy` as for
    notes.write; `versions`, the packages installed now; `outputs`, the fields of Outputs; `missing`, figure → why it
    is not there. Raises UserError for a damaged table.
    """
    to = Outputs(**outputs)
    descriptions = [parquet.read(path)[1] for path in tables]
    warnings = {found["figure"]: tuple(notes.warnings(found, policy, versions)) for found in descriptions}
    report = markdown.Report(
        scale=scale,
        label=label,
        folder=Path(to.index).parent,
        figures=facts.read(tables, warnings),
        verdicts=parquet.read(claims_table)[0].to_pylist(),
        missing=missing or {},
        about=about,
        writer=_writer(),
    )
    sections = list(_sections(report, claims, documents))
    _write_index(report, sections, to)
    if to.pages is not None:
        _write_pages(report, sections, to.pages)


def _write_pages(report: markdown.Report, sections: Sequence[Section], folder: str) -> None:
    """Write a page a section, and where each belongs in Snakemake's report."""
    for section in sections:
        pictures = html.gallery(_pictures(report), linked=False) if section.key == "overview" else ""
        text = f"# {section.heading}\n\n{section.text}"
        _write(f"{folder}/{section.key}.html", html.part(section.heading, text, report.folder, pictures))
    placed: Placed = {section.key: {"category": section.category, "labels": section.labels} for section in sections}
    _write(f"{folder}/{paths.PLACED}", json.dumps(placed, indent=1, ensure_ascii=False) + "\n")


def _write_index(report: markdown.Report, sections: Sequence[Section], to: Outputs) -> None:
    """Write all sections below each other, as Markdown and as HTML."""
    title = f"Adaptive label smoothing at scale '{report.scale}'"
    first, *others = sections
    parts = [f"# {title}\n\n{first.text}", *(f"## {section.heading}\n\n{section.text}" for section in others)]
    text = "\n\n".join(parts) + "\n"
    _write(to.index, text)
    pictures = html.gallery(_pictures(report), linked=True)
    _write(to.page, html.page(title, text, report.folder, pictures, contents=True))


def _sections(report: markdown.Report, claims: str, documents: Sequence[str]) -> Iterator[Section]:
    def section(key: str, heading: str, lines: Iterator[str]) -> Section:
        return Section(key, heading, heading, {"page": heading}, "\n".join(lines))

    yield section("overview", "At a glance", markdown.overview(report))
    for figure in report.figures:
        verdicts = " ".join(f"{row['claim']} {MARKS[row['verdict']]}" for row in report.judged(figure.name))
        labels = {"figure": paths.sorted_number(figure.name), "claims": verdicts or "none"}
        category = "Figures" if figure.of_the_paper else "Beyond the paper"
        text = "\n".join(markdown.figure_section(report, figure))
        yield Section(figure.name, _heading(figure), category, labels, text)
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
        moved = re.sub(
            r"\]\((?!\w+:|#)([^)]+)\)", lambda found: f"]({report.link(Path(path).parent / found[1])})", line
        )
        yield f"##{moved}" if moved.startswith("#") else moved


def _writer() -> dict[str, str]:
    packages = {package: version(package) for package in DRAWN_WITH}
    revision = environment.git_revision() or "unknown (no checkout)"
    machine = f"{platform.system()} on {platform.machine()}"
    return {"git revision": revision, "Python": platform.python_version(), **packages, "system": machine}


def _write(path: str, content: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
