"""The report of a scale, by the real Snakemake, opened in a real browser from a folder of its own without network."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from browsing import BROKEN, BROWSERS, OUTSIDE, Viewer, alone, check_content, check_pages, content, opened, program
from conftest import Project
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, sync_playwright

from adaptive_smoothing.core import parquet, paths

pytestmark = pytest.mark.slow
EXTRAS = ["extra_calibration", "extra_memorisation", "extra_cost", "extra_moons"]
FIGURES = [*(f"fig{number}" for number in range(2, 11)), *EXTRAS]
CATEGORIES = {
    "Accuracy",
    "At a glance",
    "Beyond the paper",
    "Claims",
    "Cost",
    "Deviations and assumptions",
    "Environment",
    "Figure files",
    "Figures",
    "How to make it again",
    "Text files",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser of the machine's own."""
    found = program()
    if found is None:
        reason = f"opening the report needs a browser: {', '.join(BROWSERS)} (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


def reported(project: Project, folder: Path) -> Path:
    """Make the report of the tiny scale; return it, alone in a folder."""
    done = project.smoothing("report", "tiny")
    assert done.returncode == 0 and done.stdout.startswith("results/tiny/report.html: "), done.stderr
    file = project.folder / "results/tiny/report.html"
    copy = alone(file, folder / "alone")
    file.unlink()
    return copy


@pytest.fixture(scope="module")
def report_file(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return Snakemake's report of the tiny scale, of a copy: other tests compare the project's files."""
    folder = tmp_path_factory.mktemp("report")
    unlocked = shutil.ignore_patterns("locks")
    shutil.copytree(finished.folder, folder / "project", copy_function=shutil.copy2, ignore=unlocked)
    return reported(Project(folder / "project"), folder)


def test_every_page_of_snakemakes_report_opens(report_file, browser):
    report = opened(browser, report_file)
    assert set(Viewer(report.page).categories()) == CATEGORIES
    check_pages(report, FIGURES)


def test_pictures_and_files_lie_in_snakemakes_report(report_file, browser):
    report = opened(browser, report_file)
    viewer = Viewer(report.page)
    viewer.open("Figure files")
    viewer.page.get_by_text("PNG", exact=True).click()
    for row in range(len(FIGURES)):
        viewer.show(row)
        assert viewer.page.locator("img[src^='data:image/png']").count() == 1
        assert report.page.evaluate(BROKEN) == 0
    viewer.open("Text files")
    for row in range(3):
        link = viewer.rows().nth(row).locator("a").first
        assert content(link.get_attribute("href")).startswith(b"# "), link
    addresses = report.page.evaluate("Object.values(results).map(result => [result.mime_type, result.data_uri])")
    pdfs = [content(address) for kind, address in addresses if kind == "application/pdf"]
    assert len(pdfs) == len(FIGURES) and all(pdf.startswith(b"%PDF") for pdf in pdfs)
    report.check()


def test_the_report_on_one_page_opens(finished, browser, tmp_path):
    page = opened(browser, alone(finished.folder / "results/tiny/index.html", tmp_path / "alone"))
    files = check_content(page.page)
    assert len([file for file in files if file.startswith(b"%PDF")]) == len(FIGURES)
    assert page.page.locator("main p > img").count() == len(FIGURES)
    with page.page.expect_download() as download:
        page.page.locator("a[download='fig7.pdf']").click()
    assert Path(download.value.path()).read_bytes() == (finished.folder / "paper_figures/tiny/fig7.pdf").read_bytes()
    page.page.locator("nav").get_by_text("Fig. 7").click()
    page.page.wait_for_function("document.querySelector(':target').getBoundingClientRect().top < 100")
    page.check()


def test_the_text_for_repositories_has_figures_tables_and_links(finished):
    index = finished.folder / "results/tiny/index.md"
    text = index.read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    pictures = [str(token.attrGet("src")) for token in inner if token.type == "image"]
    assert pictures == [f"../../paper_figures/tiny/{figure}.png" for figure in FIGURES]
    links = {str(token.attrGet("href")) for token in inner if token.type == "link_open"}
    assert links > {f"../../paper_figures/tiny/{figure}.pdf" for figure in FIGURES}
    for target in {*pictures, *links} - {OUTSIDE}:
        assert (index.parent / target).resolve().is_file(), target
    for words in ("| C7a |", "smoothing provenance paper_figures/tiny/fig7.pdf", "| torch |", "## Cost", "Whole scale"):
        assert words in text


def altered(project: Project, figure: str, change) -> None:
    """Change a figure's table as if its runs had gone so."""
    path = project.folder / paths.TABLE.format(scale="tiny", figure=figure)
    frame, description = parquet.read_frame(path)
    schema = parquet.read(path)[0].schema
    frame, description = change(frame, description)
    parquet.write(path, pa.Table.from_pandas(frame, schema=schema, preserve_index=False), description)


def lost_runs(frame, description):
    """One run diverged, the accuracy of another is NaN, a third has no row, and the devices are mixed."""
    diverged, broken, absent, *_ = frame.loc[frame["method"] == "sam", "run"].unique()
    frame = frame[frame["run"] != absent].copy()
    frame.loc[frame["run"] == diverged, "diverged"] = True
    frame.loc[frame["run"].isin([diverged, broken]), ["test_accuracy", "test_nll"]] = np.nan
    return frame, {**description, "mixed": ["runs were made on NVIDIA H100 and cpu"]}


def test_bad_tables_are_reported_and_said_to_be_bad(edited, browser, tmp_path):
    altered(edited, "fig7", lost_runs)
    edited.made("tiny", "--cores", "2")
    text = (edited.folder / "results/tiny/index.md").read_text()
    assert re.search(r"^> \*\*Fig. 7:\*\* 2 runs of \d+ diverged or ended in NaN", text, re.MULTILINE)
    assert re.search(r"\| C7a \|.*(seed 0 diverged|no seed is left)", text)
    report = opened(browser, reported(edited, tmp_path))
    viewer = Viewer(report.page)
    viewer.open("Figures")
    viewer.show(5)
    shown = viewer.frame().locator("blockquote").all_inner_texts()
    wanted = (
        "runs were made on",
        "2 runs of",
        "The table has no row of 1",
        "One training seed",
        "Seeds are missing at 1",
    )
    assert [caution.startswith(words) for caution, words in zip(shown, wanted, strict=True)] == [True] * 5, shown
    check_content(viewer.frame())
    report.check()


def test_a_failed_run_leaves_a_report_of_the_rest(edited):
    run = next((edited.folder / "results/tiny/runs").rglob("kappa*/ivon/**/metrics.parquet"))
    run.unlink()
    (edited.folder / "results/tiny/figures/fig7.parquet").unlink()
    done = edited.smoothing("report", "tiny")
    assert (done.returncode, done.stdout) == (1, "") and "smoothing report tiny --so-far" in done.stderr
    done = edited.smoothing("report", "tiny", "--so-far")
    assert done.returncode == 0, done.stderr
    assert "12 of 13 figures; not there: fig7" in done.stdout
    text = (edited.folder / "results/tiny/so_far/index.md").read_text()
    assert "**fig7 is not here:** 1 of" in text and run.parent.name in text
    assert re.search(r"\| C7a \|.*\*\*not tested\*\*", text) and "| C5a |" in text
    assert "../../../paper_figures/tiny/fig5.png" in text
