"""What the plan asks of a figure's runs, compared with what the records in their files say.

Snakemake decides by times and by metadata of its own. A file that was touched, copied or written late can pass for
current there. The record in the file itself says which training it holds.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.options import Field, Strict
from adaptive_smoothing.core.specification import fingerprint
from adaptive_smoothing.results.text import plural

LISTED = 3  # files that a command names; more are listed by a command of their own
Record = dict[str, Any]


class Asked(Strict):
    """What a figure's runs should be; the sequences are parallel to its runs."""

    specifications: tuple[str, ...] = Field(description="the fingerprint of each run's specification")
    codes: tuple[str, ...] = Field(description="the fingerprint of the code that trains each run")
    measuring_codes: tuple[str, ...] = Field(description="the same of the code that measures its label noise")


class Files(Strict):
    """The files of a figure's runs of one kind, and what makes them."""

    scale: str
    figure: str
    content: str = Field(description="'results' or 'label noise'")
    paths: tuple[str, ...]


def check_specifications(files: Files, records: Sequence[Record], asked: Sequence[str]) -> None:
    """Raise UserError if a record has another specification than was asked for."""
    _check(files, records, lambda record: fingerprint(record["specification"]), asked, "another specification")


def check_measurements(files: Files, records: Sequence[Record], runs: Sequence[str], samples: int) -> None:
    """Raise UserError if label noise was measured on another run, or with another number of samples."""
    _check(files, records, lambda record: record["run"], runs, "another run")
    numbers = [str(samples)] * len(records)
    _check(files, records, lambda record: str(record["samples"]), numbers, "another number of samples")


def code_notes(files: Files, records: Sequence[Record], codes: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if runs were made by other code than is here and nobody adopted them."""
    pairs = zip(records, codes, strict=True)
    if count := sum(fingerprint(record["code"]) != code for record, code in pairs):
        yield (
            f"the {files.content} of {plural(count, 'run')} were made by other code than is here, and nobody adopted "
            f"them ('smoothing why {files.scale} {files.figure}' names them)"
        )


def _check(
    files: Files, records: Sequence[Record], value: Callable[[Record], str], asked: Sequence[str], what: str
) -> None:
    pairs = zip(files.paths, records, asked, strict=True)
    if differing := [path for path, record, one in pairs if value(record) != one]:
        raise UserError(
            f"figure {files.figure}: {len(differing)} of {len(records)} files with {files.content} record {what} than "
            f"scale '{files.scale}' asks for, the first is {differing[0]}; "
            f"'smoothing why {files.scale} {files.figure}' says what differs; make them again: "
            + making_again(files.scale, [files.figure], differing)
        )


def making_again(scale: str, figures: Sequence[str], files: Sequence[str], by_code: bool = False) -> str:
    """Return the command that makes files again and all that is made from them; no `figures`: all of the scale.

    `by_code`: whether the files differ in the code alone that made them.
    """
    targets = " ".join(paths.figure_files(scale, figure)[0] for figure in figures) or scale
    return f"snakemake {targets} --cores 2 --forcerun {_named([scale, *figures], files, by_code)}"


def _named(words: Sequence[str], files: Sequence[str], by_code: bool) -> str:
    if len(files) <= LISTED:
        return " ".join(files)
    return f"$(smoothing differing {' '.join(words)}{' --code' if by_code else ''})"
