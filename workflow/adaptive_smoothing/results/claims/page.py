"""The verdicts as a page to read: Markdown, one table as the paper reads its figures, one for every other reading."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from adaptive_smoothing.results.claims.samples import PAPER
from adaptive_smoothing.results.claims.verdicts import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, CheckResult

ALL = "all"  # the scenario of the row that judges a claim as a whole
DECIMALS = {"rank correlation": 2, "decades": 2, "mean of f": 2}
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED)
HEADINGS = ("effect [95 % CI]", "seeds", "paper", "verdict", "what was compared")
EXPLAINED = """\
A verdict is about this scale's own data, models and budget. **reproduced**: the whole 95 % interval lies where the
claim wants it; **not reproduced**: the whole interval lies elsewhere; **inconclusive**: the interval covers both (for
"beats": zero), or fewer than two seeds are left, or a run diverged; **not tested**: the scale has no such runs. A claim
about several scenarios is reproduced only if each of them is; its row shows the scenario that decides.

Effects are differences in test accuracy at the last epoch, in points, where no other unit stands; intervals are t
intervals over training seeds, each at 95 % by itself, of differences by seed where runs are paired. LS and SAM stand at
the point of their grid with the highest mean over seeds. **The intervals do not account for that picking**: picked on
test, it flatters LS and SAM; picked on validation, the split's labels are as noisy as the training's. A range over a
grid is above zero by construction. "paper": the paper's own number, at the paper's scale only."""


def page(scale: str, label: str | None, rows: Sequence[dict[str, Any]], limits: dict[str, Any]) -> str:
    """Return the page for the rows (as in judge.SCHEMA) of a scale; `limits`, the numbers that verdicts hang on."""
    plain = [row for row in rows if row["reading"] == PAPER.name]
    whole = [row for row in plain if row["scenario"] == ALL]
    others = [row for row in rows if row["reading"] != PAPER.name and row["scenario"] == ALL]
    counts = Counter(row["verdict"] for row in whole)
    lines = [
        f"# The paper's claims on scale '{scale}'",
        "",
        label or "The paper's own scale.",
        "",
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS) + f", of {len(whole)} claims.",
        "",
        *_table(("id", "claim", *HEADINGS), ([row["claim"], row["text"], *_cells(row)] for row in whole)),
        "",
        EXPLAINED,
        "",
        "## What the paper leaves open, read otherwise",
        "",
        *_table(("id", "read", *HEADINGS), ([row["claim"], row["reading"], *_cells(row)] for row in others)),
        "",
        "## Scenario by scenario, read as the paper does",
        "",
        *_table(
            ("id", "scenario", *HEADINGS),
            ([row["claim"], row["scenario"], *_cells(row)] for row in plain if row["scenario"] != ALL),
        ),
        "",
        "The other readings' scenarios are in claims.parquet. Verdicts hang on these numbers, whose sources stand in "
        f"workflow/adaptive_smoothing/claims/thresholds.py: {', '.join(f'{key} {limits[key]}' for key in limits)}.",
        "",
    ]
    return "\n".join(lines)


def figures(names: Iterable[str]) -> str:
    """Return 'Fig. 5, 8'."""
    return f"Fig. {', '.join(name.removeprefix('fig') for name in names)}"


def reasons(findings: Sequence[CheckResult]) -> Iterator[str]:
    """Yield, for a claim as a whole, which scenarios stand in its way, and why."""
    if failed := [finding for finding in findings if finding.verdict == NOT_REPRODUCED]:
        yield f"fails: {'; '.join(f'{finding.scenario} ({effect(_fields(finding))})' for finding in failed)}"
    for verdict, text in ((INCONCLUSIVE, "not settled"), (NOT_TESTED, "not tested")):
        by_why: dict[str, list[str]] = defaultdict(list)
        for finding in findings:
            if finding.verdict == verdict:
                by_why[finding.why].append(finding.scenario)
        yield from (f"{text}: {'; '.join(names)} ({why})" for why, names in by_why.items())


def effect(row: dict[str, Any]) -> str:
    """Return an effect with its interval and unit: '+1.2 [+0.4, +2.0]'."""
    if math.isnan(row["effect"]):
        return "–"
    decimals = DECIMALS.get(row["unit"], 1)
    shown, low, high = (_signed(row[key], decimals) for key in ("effect", "low", "high"))
    interval = "" if math.isnan(row["low"]) else f" [{low}, {high}]"
    return f"{shown}{interval}" + ("" if row["unit"] == "points" else f" {row['unit']}")


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _fields(finding: CheckResult) -> dict[str, Any]:
    found = finding.estimate
    return {"effect": found.effect, "low": found.low, "high": found.high, "unit": finding.unit}


def _cells(row: dict[str, Any]) -> list[str]:
    """Return the cells that every table ends in."""
    paper = "–" if math.isnan(row["paper"]) else _signed(row["paper"], 1)
    said = ". ".join(text for text in (row["compared"], row["why"]) if text)
    return [effect(row), str(row["seeds"] or "–"), paper, f"**{row['verdict']}**", said]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
