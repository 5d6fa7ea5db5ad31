"""The verdicts as a Markdown page: a table that analyses the figures as the paper does, and one for other variants."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from adaptive_smoothing.results.claims.samples import PAPER
from adaptive_smoothing.results.claims.verdicts import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, CheckResult
from adaptive_smoothing.results.text import markdown_table

Row = dict[str, Any]  # a row of judge.SCHEMA
ALL = "all"  # the scenario of the row that judges a claim as a whole
DECIMALS = {"rank correlation": 2, "decades": 2, "mean of f": 2}
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED)
HEADINGS = ("effect [95 % CI]", "seeds", "paper", "verdict", "what was compared")
EXPLAINED = """\
A verdict is about this scale's own data, models and budget.

- **reproduced**: the whole 95 % interval lies where the claim requires it.
- **not reproduced**: the whole interval lies elsewhere.
- **inconclusive**: the interval covers both (for "beats": zero), fewer than two seeds are left, or a run diverged.
- **not tested**: the scale has no such runs.

A claim about several scenarios is reproduced only if each of them is. Its row shows the scenario that decides.

Effects are differences in test accuracy at the last epoch, in points unless a unit is given. Intervals are t intervals
over training seeds, each at 95 % by itself; where runs are paired, over differences by seed. LS and SAM are taken at
the grid point with the highest mean over seeds. **The intervals do not account for that picking**: picked on test, it
flatters LS and SAM; picked on validation, the split's labels are as noisy as the training's. A range over a grid is
above zero by construction. "paper": the paper's own number, at the paper's scale only."""


def page(scale: str, label: str | None, rows: Sequence[Row], limits: dict[str, Any]) -> str:
    """Return the page for the rows (as in judge.SCHEMA) of a scale; `limits`, the numbers that verdicts depend on."""
    plain = [row for row in rows if row["reading"] == PAPER.name]
    whole = [row for row in plain if row["scenario"] == ALL]
    single = [row for row in plain if row["scenario"] != ALL]
    others = [row for row in rows if row["reading"] != PAPER.name and row["scenario"] == ALL]
    counts = Counter(row["verdict"] for row in whole)
    numbers = ", ".join(f"{name} {value}" for name, value in limits.items())
    lines = [
        f"# The paper's claims on scale '{scale}'",
        "",
        label or "The paper's own scale.",
        "",
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS) + f", of {len(whole)} claims.",
        "",
        *_verdict_table("claim", "text", whole),
        "",
        EXPLAINED,
        "",
        "## Other analyses of what the paper leaves open",
        "",
        *_verdict_table("analysis", "reading", others),
        "",
        "## Scenario by scenario, analysed as in the paper",
        "",
        *_verdict_table("scenario", "scenario", single),
        "",
        "The scenarios of the other analyses are in claims.parquet. The verdicts depend on these numbers, explained "
        f"in workflow/adaptive_smoothing/results/claims/thresholds.py: {numbers}.",
        "",
    ]
    return "\n".join(lines)


def _verdict_table(heading: str, column: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a table with a row a verdict: the claim's id, one more column, effect and verdict."""
    cells = ([row["claim"], row[column], *_effect_cells(row)] for row in rows)
    yield from markdown_table(("id", heading, *HEADINGS), cells)


def figures(names: Iterable[str]) -> str:
    """Return 'Fig. 5, 8'."""
    return f"Fig. {', '.join(name.removeprefix('fig') for name in names)}"


def reasons(results: Sequence[CheckResult]) -> Iterator[str]:
    """Yield, for a claim as a whole, which scenarios failed or are open, and why."""
    if failed := [result for result in results if result.verdict == NOT_REPRODUCED]:
        yield f"fails: {'; '.join(f'{result.scenario} ({effect(_effect_fields(result))})' for result in failed)}"
    for verdict, text in ((INCONCLUSIVE, "not settled"), (NOT_TESTED, "not tested")):
        by_why: dict[str, list[str]] = defaultdict(list)
        for result in results:
            if result.verdict == verdict:
                by_why[result.why].append(result.scenario)
        yield from (f"{text}: {'; '.join(names)} ({why})" for why, names in by_why.items())


def effect(row: Row) -> str:
    """Return an effect with its interval and unit: '+1.2 [+0.4, +2.0]'."""
    if math.isnan(row["effect"]):
        return "–"
    decimals = DECIMALS.get(row["unit"], 1)
    shown, low, high = (_signed(row[key], decimals) for key in ("effect", "low", "high"))
    interval = "" if math.isnan(row["low"]) else f" [{low}, {high}]"
    return f"{shown}{interval}" + ("" if row["unit"] == "points" else f" {row['unit']}")


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _effect_fields(result: CheckResult) -> Row:
    estimate = result.estimate
    return {"effect": estimate.effect, "low": estimate.low, "high": estimate.high, "unit": result.unit}


def _effect_cells(row: Row) -> list[str]:
    """Return the last cells of every table's row."""
    paper = "–" if math.isnan(row["paper"]) else _signed(row["paper"], 1)
    compared = ". ".join(text for text in (row["compared"], row["why"]) if text)
    return [effect(row), str(row["seeds"] or "–"), paper, f"**{row['verdict']}**", compared]
