"""Text that claims and reports share: Markdown tables, and counts in words."""

from collections.abc import Iterable, Iterator, Sequence

SHOWN = 3  # names that a sentence spells out before it counts


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; bars and line breaks in a cell cannot break it."""
    for cells in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(cell.replace(chr(10), ' ').replace('|', chr(92) + '|') for cell in cells)} |"


def listed(names: Sequence[str]) -> str:
    """Return the first few names as code, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def plural(count: int, noun: str) -> str:
    """Return '1 run', '2 runs'."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
