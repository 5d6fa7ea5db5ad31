"""The paper's claims judged from the figures' tables: results/<scale>/claims.md and claims.parquet.

Each claim is declared in CLAIMS: its figures, the check that finds effects in their tables, and the ways to read what
the paper leaves open, each of which is judged. Numbers that verdicts hang on stand in `thresholds`. A claim about
several scenarios is reproduced only if each of them is.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from adaptive_smoothing.core import parquet
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.results.claims import baselines, label_noise, page, sensitivity, thresholds
from adaptive_smoothing.results.claims.page import ALL
from adaptive_smoothing.results.claims.samples import AVERAGED, OPEN, PAPER, VALIDATION, AnalysisVariant, Table
from adaptive_smoothing.results.claims.verdicts import CheckResult, deciding_check, not_tested, overall_verdict

# The verdicts on the paper's claims: a row a claim and reading (scenario 'all'), and one a scenario of it.
SCHEMA = pa.schema(
    [
        ("claim", pa.string()),
        ("text", pa.string()),
        ("figure", pa.string()),
        ("reading", pa.string()),
        ("scenario", pa.string()),
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
Row = dict[str, Any]  # a row of SCHEMA


@dataclass(frozen=True)
class Claim:
    """One claim of the paper: `check` yields what it finds in the tables of `figures`, for each of `readings`.

    `check` is asked where at least one of `figures` is there; it also gets those of `beside` that are.
    """

    id: str
    figures: tuple[str, ...]
    text: str
    check: Callable[[Mapping[str, Table], AnalysisVariant], Iterator[CheckResult]]
    readings: tuple[AnalysisVariant, ...] = (PAPER,)
    beside: tuple[str, ...] = ()


SIGMA = AnalysisVariant("whether the posterior's s.d. differs", variant="sigma")
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
            AnalysisVariant("beside a plain network's softmax", variant="control"),
            AnalysisVariant("IVON's noise as the mean |ε|", variant="absolute"),
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
        (*OPEN, AnalysisVariant("by the paper's numbers", variant="numbers")),
    ),
    Claim("C9", ("fig9",), "IVON beats LS and is comparable to SAM", baselines.c9, OPEN),
    Claim(
        "C10",
        ("fig10",),
        "IVON's accuracy varies by at most 10 points once h₀ is above some value, less than SAM's over ρ",
        sensitivity.c10,
        (PAPER, AVERAGED, AnalysisVariant("over the whole grid of h₀", variant="whole"), SIGMA),
        beside=("fig5", "fig8", "fig9"),
    ),
)


def judge(scale: str, label: str | None, tables: list[str], report: str, table: str, code: dict[str, str]) -> None:
    """Write the verdicts on all claims: `report` for people (Markdown), `table` for programs (Parquet).

    Args: `tables`, the files of the scale's figures; `label`, what the scale says of itself (None: the paper's own).
    Raises UserError for a damaged table. A figure that is not there leaves its claims untested.
    """
    read = [parquet.read_frame(path) for path in tables]
    found = {description["figure"]: (frame, description) for frame, description in read}
    rows = [row for claim in CLAIMS for reading in claim.readings for row in _rows(claim, reading, found)]
    sources = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in tables}
    limits = {name: value for name, value in vars(thresholds).items() if name.isupper()}
    made_from = {"scale": scale, "code": code, "tables": sources, "thresholds": limits}
    parquet.write(table, pa.Table.from_pylist(rows, schema=SCHEMA), made_from)
    with atomic_write(report) as temporary:
        temporary.write_text(page.page(scale, label, rows, limits), encoding="utf-8")


def _rows(claim: Claim, reading: AnalysisVariant, tables: Mapping[str, Table]) -> Iterator[Row]:
    """Yield the row of a claim as a whole, then one a scenario."""
    here = {name: tables[name] for name in (*claim.figures, *claim.beside) if name in tables}
    asked = any(name in here for name in claim.figures)
    findings = list(claim.check(here, reading)) if asked else []
    decisive = deciding_check(findings) if findings else not_tested(ALL, "")
    nothing = "no run of it is there" if asked else f"the scale has no {page.figures(claim.figures)}"
    whole = {
        "scenario": ALL,
        "compared": f"{decisive.scenario}: {decisive.compared}" if decisive.compared else "",
        "why": "; ".join(page.reasons(findings)) if findings else nothing,
        "verdict": overall_verdict(findings) if findings else decisive.verdict,
    }
    yield {**_row(claim, reading, decisive), **whole}
    yield from (_row(claim, reading, finding) for finding in findings)


def _row(claim: Claim, reading: AnalysisVariant, finding: CheckResult) -> Row:
    """Return a finding as a row of SCHEMA."""
    found = finding.estimate
    return {
        "claim": claim.id,
        "text": claim.text,
        "figure": page.figures(claim.figures),
        "reading": reading.name,
        "scenario": finding.scenario,
        "compared": finding.compared,
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "unit": finding.unit,
        "seeds": found.seeds,
        "paper": finding.paper,
        "verdict": finding.verdict,
        "why": finding.why,
    }
