"""The report's text and pages from small tables: what it says of runs, costs and figures that the paper lacks."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from adaptive_smoothing.core import parquet, paths, units
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results.claims import judge
from adaptive_smoothing.results.report import facts, html, markdown, quotes, write
from adaptive_smoothing.training import metrics

VERSIONS = {"torch": "2.0", "numpy": "2.1"}


def run(method, seed, device="cpu", seconds=90.0, accuracy=0.5, diverged=False):
    """Return name, record and rows of a run."""
    name = f"digits/symmetric20/{method}/seed{seed}"
    given = {"run": name, "scale": "tiny", "dataset": "digits", "model": "cnn", "noise": "symmetric20"}
    given |= {"method": method, "seed": seed, "noise_kind": "symmetric", "noise_rate": 0.2}
    row = {"epoch": 2, "diverged": diverged, "test_accuracy": accuracy, "test_nll": 1.0}
    table = metrics.metrics_table(given, {}, [{**row, "seconds": seconds, "device": device, "peak_memory_mb": 100.0}])
    specification = {"method": method, "seed": seed, "model": {"name": "cnn"}}
    return name, {"specification": specification, "versions": VERSIONS, "git_revision": "abc", "code": {}}, table


def table(folder, figure, runs, without=(), **said):
    """Write a figure's table as `collect` does, with no rows of the runs in `without`; return its path."""
    description = {"figure": figure, "title": f"Title of {figure}", "scale": "tiny", "label": "tiny scale"}
    description |= {"table": "metrics", "options": {}, "grids": {}, "mixed": [], "classes": {"digits": 10}, **said}
    description["runs"] = {name: record for name, record, _ in runs}
    rows = parquet.concatenated([rows for name, _, rows in runs if name not in without])
    path = folder / paths.TABLE.format(scale="tiny", figure=figure)
    parquet.write(path, rows, description)
    return str(path.relative_to(folder))


def drawn(figure, size=(400, 300), noise=False):
    """Put a picture and a PDF where a figure's would be."""
    pdf, png = paths.figure_files("tiny", figure)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)) if noise else np.full((*size, 3), 200)
    Image.fromarray(pixels.astype(np.uint8)).save(png)
    Path(pdf).write_bytes(b"%PDF-")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in an empty project."""
    (tmp_path / "paper_figures/tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(tables, documents=(), **given):
    """Judge and report the tables; return the text and where each page belongs."""
    judge.judge("tiny", "tiny scale", tables, "results/tiny/claims.md", "results/tiny/claims.parquet", {})
    outputs = {"index": "results/tiny/index.md", "page": "results/tiny/index.html", "pages": "results/tiny/report"}
    outputs["accuracy"] = "results/tiny/accuracy.csv"
    fields = {"scale": "tiny", "label": "tiny scale", "tables": tables, "documents": documents, "about": ""}
    fields |= {"claims": "results/tiny/claims.md", "claims_table": "results/tiny/claims.parquet"}
    write.write(**fields, policy="warn", versions=VERSIONS, outputs=outputs, **given)
    return Path(outputs["index"]).read_text(), json.loads(Path(outputs["pages"], paths.PLACED).read_text())


def figure_of(path):
    return facts.read([path])[0]


def test_seeds_points_and_lost_runs_are_counted(project):
    runs = [run("sam", 0), run("sam", 1), run("ls", 0), run("ls", 1, diverged=True), run("ivon", 0), run("ivon", 1)]
    figure = figure_of(table(project, "fig5", runs, without=[runs[-1][0]]))
    assert figure.behind() == "6 runs: n = 1 to 2 seeds at each of 3 points (seeds 0, 1)."
    assert list(figure.cautions()) == [
        "1 run of 6 diverged or ended in NaN, and is left out of the means: `digits/symmetric20/ls/seed1`.",
        "The table has no row of 1 run: `digits/symmetric20/ivon/seed1`.",
        "Seeds are missing at 1 of 3 points.",
    ]


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf")])
def test_a_last_accuracy_that_is_no_number_counts_as_lost(project, accuracy):
    figure = figure_of(table(project, "fig5", [run("ls", 0, accuracy=accuracy), run("ls", 1)]))
    assert figure.diverged == ["digits/symmetric20/ls/seed0"]


def test_one_seed_is_said_and_a_full_grid_needs_no_caution(project):
    assert [text[:17] for text in figure_of(table(project, "fig5", [run("ls", 0)])).cautions()] == ["One training seed"]
    assert list(figure_of(table(project, "fig5", [run("ls", 0), run("ls", 1)])).cautions()) == []


def test_accuracies_of_all_methods_are_a_section_and_a_csv(project):
    grids = {"grids": {"ls": [], "mine": []}}
    tables = [table(project, "fig5", [run("ls", 0), run("ls", 1, accuracy=0.6), run("mine", 0)], **grids)]
    tables.append(table(project, "extra_cost", [run("ls", 0), run("mine", 0)], **grids))  # the same runs again
    text, placed = written(tables)
    section = text[text.index("## Accuracy") :].partition("\n## ")[0]
    assert "[the same as CSV](accuracy.csv)" in section
    assert section.endswith(
        "| figure | noise | LS | mine |\n| --- | --- | --- | --- |\n| 5 | symmetric20 | 55.0 ± 7.1 | 50.0 |\n"
    )
    frame = pd.read_csv("results/tiny/accuracy.csv")
    assert frame[["figure", "method", "accuracy", "n"]].values.tolist() == [
        ["fig5", "ls", 55, 2],
        ["fig5", "mine", 50, 1],
    ]
    assert placed["accuracy"]["category"] == "Accuracy"
    assert "data:text/csv" in Path("results/tiny/report/accuracy.html").read_text()


def test_a_scale_that_compares_no_methods_says_so(project):
    text, _ = written([table(project, "fig10", [run("ivon", 0)], grids={"ivon": []})])
    assert "## Accuracy\n\nNo figure of this scale compares methods." in text
    assert Path("results/tiny/accuracy.csv").read_text().startswith("figure,noise,method,")


def test_shared_runs_cost_once(project):
    shared = run("ivon", 0, seconds=3600.0)
    first = table(project, "fig5", [shared, run("ls", 0, seconds=1800.0, device="NVIDIA H100")])
    text, _ = written([first, table(project, "fig6", [shared])])
    assert "| Fig. 5 | 2 | – | 1.5 h | cpu (1), NVIDIA H100 (1) |" in text
    assert "| Fig. 6 | 1 | 1 | 1.0 h | cpu |" in text
    assert "| **all, shared runs once** | 2 |  | 1.5 h | cpu (1), NVIDIA H100 (1) |" in text
    assert "| IVON | 1 | 1.0 h | 1.0 h | 1.0 h | 100 MB |" in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.26, "8.3 s"), (90, "2 min"), (9000, "2.5 h"), (1e7, "2,778 h"), (float("nan"), "unknown")]
)
def test_times_in_words(seconds, words):
    assert units.span(seconds) == words


def test_mixed_adopted_and_other_versions_are_said(project):
    name, record, rows = run("ls", 0)
    record = {**record, "versions": {**VERSIONS, "torch": "1.0"}, "adopted": [{"by": "Ada", "reason": "moved"}]}
    text, _ = written([table(project, "fig5", [(name, record, rows)], mixed=["runs were made on cpu and NVIDIA"])])
    for caution in ("runs were made on cpu and NVIDIA", "1 runs were made with torch 1.0; 2.0 is installed now", "Ada"):
        assert re.search(rf"^> .*{caution}", text, re.MULTILINE)
    assert "| torch | `1.0` | 1 |" in text


def test_a_figure_that_the_paper_lacks_needs_no_claim(project):
    extra = table(project, "extra_calibration", [run("ls", 0)])
    text, pages = written([table(project, "fig5", [run("ls", 0)]), extra])
    assert pages["extra_calibration"] == {
        "category": "Beyond the paper",
        "labels": {"figure": "Calibration", "claims": "none"},
    }
    assert pages["fig5"]["category"] == "Figures" and pages["fig5"]["labels"]["claims"] == "C5a – C5b –"
    section = re.search(r"^## Calibration: .*?(?=^## )", text, re.MULTILINE | re.DOTALL)[0]
    assert "What the paper says" not in section and "snakemake paper_figures/tiny/extra_calibration.pdf" in section


def test_every_claim_has_its_sentence_of_the_paper():
    assert quotes.QUOTES.keys() == {claim.id for claim in judge.CLAIMS}


def test_the_table_of_all_verdicts_says_whose_effect_it_shows():
    shown = {"claim": "C7b", "text": "a claim", "verdict": "not reproduced", "effect": 37.2, "low": 33.0, "high": 41.4}
    shown |= {"unit": "points", "seeds": 3, "compared": "long", "why": "longer", "decides": "SAM above chance"}
    text = "\n".join(markdown.verdict_table([shown], with_words=False))
    assert "| whose effect |" in text and "| SAM above chance |" in text and "long" not in text


def test_what_is_missing_is_said(project):
    text, _ = written([table(project, "fig5", [run("ls", 0)])], missing={"fig7": "a run failed."})
    assert "> **fig7 is not here:** a run failed." in text
    assert "the figure is not drawn yet" in text


def test_documents_keep_their_links(project):
    (project / "docs").mkdir()
    (project / "docs/deviations.md").write_text(
        "# Deviations\n\n## Data\n\n[a](b.md), [web](https://x.org), [in](#d)\n"
    )
    text, _ = written([table(project, "fig5", [run("ls", 0)])], ["docs/deviations.md"])
    assert "### Deviations\n" in text and "#### Data\n" in text
    assert "[a](../../docs/b.md), [web](https://x.org), [in](#d)" in text


def test_pages_hold_their_files_and_nothing_else(project):
    drawn("fig5")
    written([table(project, "fig5", [run("ls", 0)])])
    for file in ("results/tiny/report/fig5.html", "results/tiny/index.html"):
        html = (project / file).read_text()
        addresses = re.findall(r'(?:src|href)="([^"]{0,40})', html)
        assert addresses and all(re.match(r"data:|#|https://arxiv\.org/", address) for address in addresses), addresses
        assert 'download="fig5.pdf"' in html and 'download="fig5.parquet"' in html


def test_a_page_stays_below_what_browsers_open(project):
    drawn("fig5", (750, 750), noise=True)
    assert (project / "paper_figures/tiny/fig5.png").stat().st_size > html.LARGEST_PART
    written([table(project, "fig5", [run("ls", 0)])])
    page = project / "results/tiny/report/fig5.html"
    assert 4 / 3 * page.stat().st_size < 2 << 20 and 'src="data:image/png' in page.read_text()
    assert (project / "results/tiny/index.html").stat().st_size > html.LARGEST_PART


def test_html_in_a_text_is_shown_as_it_is():
    text = "<script>alert(1)</script> [x](javascript:alert(1)) `a<br>b` **not reproduced**"
    page = html.page("a < b", text, Path())
    assert "<script>" not in page and 'href="javascript' not in page
    assert "<title>a &lt; b</title>" in page and '<strong class="not-reproduced">' in page


def test_a_damaged_table_is_named(project):
    path = table(project, "fig5", [run("ls", 0)])
    (project / path).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"fig5\.parquet"):
        written([path])


def test_closed_form_figures_have_no_runs(project):
    frame = pa.table({"variance": [1.0], "mean": [0.0], "noise": [0.0]})
    said = {"figure": "fig2", "title": "T", "scale": "tiny", "table": "quadrature", "mixed": [], "runs": {}}
    parquet.write("results/tiny/figures/fig2.parquet", frame, said)
    figure = figure_of("results/tiny/figures/fig2.parquet")
    assert figure.behind() == "Closed form: no training, no seeds." and list(figure.cautions()) == []


@pytest.mark.parametrize(
    ("sources", "commands", "words"),
    [
        ({"git_revision": "a" * 40, "files": {}}, f"git checkout {'a' * 40}\nsnakemake ", None),
        (
            {"git_revision": f"{'a' * 40}-modified", "files": {"config/mine.yaml": "x"}},
            f"git checkout {'a' * 40}\nsmoothing restore results/tiny/figures/fig5.parquet\nsnakemake ",
            "No commit holds `config/mine.yaml`. The table keeps them, and `smoothing restore` writes them back.",
        ),
        (
            {"git_revision": "unknown (git refused: it is damaged)", "files": {"config/mine.yaml": "x"}},
            "```sh\nsmoothing restore results/tiny/figures/fig5.parquet\nsnakemake ",
            "No commit holds `config/mine.yaml`.",
        ),
    ],
)
def test_a_figure_is_made_again_from_its_commit_and_from_what_its_table_keeps(project, sources, commands, words):
    fig5 = table(project, "fig5", [run("ivon", 0)], sources=sources)
    text, _ = written([fig5])
    section = text.partition("### Make it again")[2]
    assert commands in section
    assert words in section if words else "No commit holds" not in section
