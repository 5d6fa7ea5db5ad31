"""From a scale's figure tables to notes.md: what a reader should know before believing the figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from adaptive_smoothing.core import environment, parquet
from adaptive_smoothing.core.files import atomic_write


def write(scale: str, label: str | None, tables: list[str], policy: str, output: str) -> None:
    """Write a Markdown page with a section a figure: mixed results, other package versions, adopted results.

    `policy` says what a changed package version does: 'ignore', 'warn' (a line here) or 'rerun' (Snakemake's matter).
    """
    lines = [f"# Notes on scale '{scale}'", "", label or "The paper's own scale.", ""]
    for path in tables:
        _, description = parquet.read(path)
        lines += [f"## {description['figure']}: {description['title']}", "", *_figure_lines(description, policy), ""]
    with atomic_write(output) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _figure_lines(description: dict[str, Any], policy: str) -> Iterator[str]:
    runs = description["runs"]
    yield f"- {len(runs)} runs" if runs else "- no runs: closed form"
    messages = list(warnings(description, policy, environment.versions()))
    yield from (f"- WARNING: {message}" for message in messages)
    if runs and not messages:
        yield "- made by one state of the code, one set of package versions and one kind of device"


def warnings(description: dict[str, Any], policy: str, versions: Mapping[str, str]) -> Iterator[str]:
    """Yield what a figure's table says of mixed and adopted results and, by `policy`, of other package versions.

    Args: `policy` as for `write`; `versions`, the packages installed now.
    """
    yield from description["mixed"]
    if policy == "warn":
        yield from _version_warnings(description["runs"], versions)
    yield from _adoptions(description["runs"])


def _version_warnings(runs: dict[str, Any], versions: Mapping[str, str]) -> Iterator[str]:
    for package, present in versions.items():
        others = {run: record["versions"].get(package) for run, record in runs.items()}
        different = [version for version in others.values() if version != present]
        if different:
            made_with = ", ".join(sorted({str(version) for version in different}))
            yield f"{len(different)} runs were made with {package} {made_with}; {present} is installed now"


def _adoptions(runs: dict[str, Any]) -> Iterator[str]:
    adopted = [entry for record in runs.values() for entry in record.get("adopted", [])]
    for who, why in dict.fromkeys((entry["by"], entry["reason"]) for entry in adopted):
        count = sum((entry["by"], entry["reason"]) == (who, why) for entry in adopted)
        yield f"{count} runs were made by other code and adopted by {who}: {why}"
