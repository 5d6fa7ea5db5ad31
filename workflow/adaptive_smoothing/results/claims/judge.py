"""The paper's claims judged from the figures' tables: results/<scale>/claims.md and claims.parquet.

CLAIMS declares each claim: its figures, the check that finds effects in their tables, and the analysis variants where
the paper leaves something open. Each variant is judged. The numbers that verdicts depend on are in `thresholds`.
A claim about several scenarios is reproduced only if each of them is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.files import atomic_write, sha256_of
from adaptive_smoothing.results.claims import baselines, label_noise, page, sensitivity, thresholds
from adaptive_smoothing.results.claims.page import ALL, Row
from adaptive_smoothing.results.claims.samples import AVERAGED, OPEN, PAPER, VALIDATION, AnalysisVariant, Table
from adaptive_smoothing.results.claims.verdicts import CheckResult, deciding_check, not_tested, overall_verdict

# The verdicts on the paper's claims: a row a claim and variant (scenario 'all'), and one a scenario of it.
SCHEMA = pa.schema(
    [
        ("claim", pa.string()),
        ("text", pa.string()),
        ("figure", pa.string()),
        ("reading", pa.string()),
        ("scenario", pa.string()),
        ("decides", pa.string()),  # of a claim as a whole: the scenario whose effect its row shows
        ("compared", pa.string()),
        ("effect", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("unit", pa.string()),
        ("seeds", pa.int64()),
        ("paper", pa.float64()),
        ("verdict", pa.string()),
        ("why", pa.string()),
    ]
)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper: `check` yields its results on the tables of `figures`, for each of `variants`.

    `check` is called where at least one of `figures` exists; it also gets those of `other_figures` that exist.
    """

    id: str
    figures: tuple[str, ...]
    text: str
    check: Callable[[Mapping[str, Table], AnalysisVariant], Iterator[CheckResult]]
    variants: tuple[AnalysisVariant, ...] = (PAPER,)
    other_figures: tuple[str, ...] = ()


# Kinds of the tables that claims are judged from; all others are judged from metrics
TABLES = {"fig2": "quadrature", "fig3": "examples", "fig4": "soft_labels"}
SIGMA = AnalysisVariant("whether the posterior's s.d. differs", aspect="sigma")
CLAIMS = (
    Claim("C2", ("fig2",), "ε is zero at mean 0, largest slightly away from it, and fades far from it", label_noise.c2),
    Claim(
        "C3",
        ("fig3",),
        "IVON gives each example its own noise, more to unclear ones; LS the same to all",
        label_noise.c3,
    ),
    Claim(
        "C4",
        ("fig4",),
        "IVON's smoothed labels resemble OLS's, and IVON's noise is the stronger",
        label_noise.c4,
        (
            PAPER,
            AnalysisVariant("against a plain network's softmax", aspect="control"),
            AnalysisVariant("IVON's noise as the mean |ε|", aspect="absolute"),
        ),
    ),
    Claim("C5a", ("fig5",), "IVON beats the best LS and the best SAM in every scenario", baselines.c5a, OPEN),
    Claim("C5b", ("fig5", "fig8", "fig9"), "SAM is sensitive to ρ", sensitivity.c5b),
    Claim("C6", ("fig6",), "learned Σ beats fixed Σ in all three noises", sensitivity.c6, (PAPER, AVERAGED, SIGMA)),
    Claim("C7a", ("fig7",), "IVON beats LS and SAM at every noise level", baselines.c7a, OPEN),
    Claim(
        "C7b",
        ("fig7",),
        "at the heaviest noise IVON still learns, the baselines fall to about chance",
        baselines.c7b,
        (PAPER, VALIDATION, AVERAGED),
    ),
    Claim(
        "C8",
        ("fig8",),
        "pair 20 %: IVON is above the best LS and the best SAM (the paper: by 9.1 and 13.3 points)",
        baselines.c8,
        (*OPEN, AnalysisVariant("by the paper's numbers", aspect="numbers")),
    ),
    Claim("C9", ("fig9",), "IVON beats LS and is comparable to SAM", baselines.c9, OPEN),
    Claim(
        "C10",
        ("fig10",),
        "IVON's accuracy varies by at most 10 points once h₀ is above some value, less than SAM's over ρ",
        sensitivity.c10,
        (PAPER, AVERAGED, AnalysisVariant("over the whole grid of h₀", aspect="whole"), SIGMA),
        other_figures=("fig5", "fig8", "fig9"),
    ),
)


def judge(scale: str, label: str | None, tables: list[str], report: str, table: str, code: dict[str, str]) -> None:
    """Write the verdicts on all claims: `report` for people (Markdown), `table` for programs (Parquet).

    Args: `tables`, the files of the scale's figures; `label`, what the scale says of itself (None: the paper's own).
    Raises UserError for a damaged table. A figure that is not there, or that is of another kind than the paper's,
    leaves its claims untested.
    """
    contents = [parquet.read_frame(path) for path in tables]
    by_figure = {
        description["figure"]: (frame, description) for frame, description in contents if _is_papers(description)
    }
    rows = [row for claim in CLAIMS for variant in claim.variants for row in _claim_rows(claim, variant, by_figure)]
    sources = {path: sha256_of(path) for path in tables}
    limits = {name: value for name, value in vars(thresholds).items() if name.isupper()}
    made_from = {"scale": scale, "code": code, "tables": sources, "thresholds": limits}
    parquet.write(table, pa.Table.from_pylist(rows, schema=SCHEMA), made_from)
    with atomic_write(report) as temporary:
        temporary.write_text(page.page(scale, label, rows, limits), encoding="utf-8")


def _is_papers(description: Mapping[str, Any]) -> bool:
    """Return whether a figure's table is of the kind that the paper's figure of that name is drawn from."""
    expected = TABLES.get(description["figure"], "metrics")
    return bool(description.get("table", expected) == expected)


def _claim_rows(claim: Claim, variant: AnalysisVariant, tables: Mapping[str, Table]) -> Iterator[Row]:
    """Yield the row of a claim as a whole, then one a scenario."""
    present = {name: tables[name] for name in (*claim.figures, *claim.other_figures) if name in tables}
    has_figure = any(name in present for name in claim.figures)
    results = list(claim.check(present, variant)) if has_figure else []
    decisive = deciding_check(results) if results else not_tested(ALL, "")
    nothing = "no run of it is there" if has_figure else f"the scale has no {page.figures(claim.figures)}"
    whole = {
        "scenario": ALL,
        "decides": "" if decisive.scenario == ALL else decisive.scenario,
        "compared": f"{decisive.scenario}: {decisive.compared}" if decisive.compared else "",
        "why": "; ".join(page.reasons(results)) if results else nothing,
        "verdict": overall_verdict(results) if results else decisive.verdict,
    }
    yield {**_result_row(claim, variant, decisive), **whole}
    yield from (_result_row(claim, variant, result) for result in results)


def _result_row(claim: Claim, variant: AnalysisVariant, result: CheckResult) -> Row:
    """Return a result as a row of SCHEMA."""
    return {
        "claim": claim.id,
        "text": claim.text,
        "figure": page.figures(claim.figures),
        "reading": variant.name,
        "scenario": result.scenario,
        "decides": "",
        "compared": result.compared,
        "effect": result.estimate.effect,
        "low": result.estimate.low,
        "high": result.estimate.high,
        "unit": result.unit,
        "seeds": result.estimate.seeds,
        "paper": result.paper,
        "verdict": result.verdict,
        "why": result.why,
    }
