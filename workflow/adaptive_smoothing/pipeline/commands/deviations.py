"""Write docs/deviations.md: every assumption in the paper's scale file, and every other deviation from the paper.

The comment at the end of a value's line in config/paper.yaml says where the value comes from; this module reads it
with the value. Reasons that do not fit a comment, and deviations that lie in code, stand in docs/deviations.yaml.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter
from ruamel.yaml import YAML, CollectionNode, MappingNode, Node, SequenceNode

from adaptive_smoothing.core import paths
from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.options import Annotated, Field, Strict, model_validator
from adaptive_smoothing.pipeline import code_digest, scale_files, validation, yaml_files
from adaptive_smoothing.pipeline.commands import former_names
from adaptive_smoothing.pipeline.plan import CONFIG

REMARKS = Path("docs/deviations.yaml")
TABLE = Path("docs/deviations.md")
MARK = "ASSUMED (A)"
SECTIONS = {
    "noises": "Noises",
    "datasets": "Datasets",
    "figures": "Figures",
}  # keys with a table of their own
Text = Annotated[str, Field(min_length=1)]
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Value:
    """One value of a scale file: its key path, its text as written, and the comment of its line."""

    path: KeyPath
    text: str
    comment: str

    @property
    def key(self) -> str:
        """The key path as text, such as `setups.cifar10.methods.ls.lr` or `figures.fig4.runs.0`."""
        return ".".join(map(str, self.path))

    @property
    def assumed(self) -> bool:
        """Whether the value, or a part of it, is marked as an assumption."""
        return MARK in self.comment

    @property
    def origin(self) -> str:
        """The comment up to the reason of an assumption: `P for CIFAR-100 (Table 1); A for CIFAR-10`."""
        before, mark, after = self.comment.partition(MARK)
        return f"{before}A{after.partition(':')[0]}" if mark else self.comment

    @property
    def reason(self) -> str:
        """What the comment says after `ASSUMED (A):`, '' if nothing."""
        return self.comment.partition(MARK)[2].partition(":")[2].strip()

    @property
    def section(self) -> str:
        """The heading of the value's table."""
        top = str(self.path[0])
        return f"Setup `{self.path[1]}`" if top == "setups" else SECTIONS.get(top, "Whole scale")

    @property
    def line(self) -> str:
        """The value as it stands below its section's heading: `methods.ls.lr: 0.1`."""
        heading = 2 if self.path[0] == "setups" else 1 if self.path[0] in SECTIONS else 0
        return f"`{'.'.join(map(str, self.path[heading:]))}: {' '.join(self.text.split())}`"


@dataclass(frozen=True)
class ScaleText:
    """What a scale file says: its values in the file's order, and every key path."""

    file: str
    values: tuple[Value, ...]
    keys: frozenset[str]

    @property
    def assumptions(self) -> dict[str, Value]:
        """The values marked as assumed, by key path."""
        return {value.key: value for value in self.values if value.assumed}


class Deviation(Strict):
    """Something that differs from the paper, or that it leaves open, besides the values marked as assumed.

    `keys` are key paths of the scale file and `modules` modules of the library: where one would change it.
    """

    what: Text
    paper: Text
    ours: Text
    why: Text
    keys: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_place(self) -> "Deviation":
        if not self.keys and not self.modules:
            raise ValueError(f"'{self.what}' needs keys or modules: where one would change it")
        return self


class Remarks(Strict):
    """docs/deviations.yaml: reasons of assumptions by key path, and deviations."""

    reasons: dict[str, Text]
    deviations: tuple[Deviation, ...]


def read_scale(text: str, file: str) -> ScaleText:
    """Return the values of a scale file's text, each with the comment of its line.

    A value is a scalar or a list or mapping in brackets. One that comes from an anchor is listed once, where it is
    written. Raises UserError where a comment marks an assumption but no value stands in its line.
    """
    root = YAML().compose(text)
    leaves = list(_leaves((), root))
    lines = {node.comment[0].start_mark.line for _, node in leaves if _comment(node)}
    for number, line in enumerate(text.splitlines()):
        if MARK in line and number not in lines:
            raise UserError(f"{file}, line {number + 1}: '{MARK}' must stand in the line of the value that is assumed")
    values = tuple(Value(path, _written(node, text), _comment(node)) for path, node in leaves)
    return ScaleText(file, values, frozenset(".".join(map(str, path)) for path in _key_paths((), root)))


def _leaves(path: KeyPath, node: Node) -> Iterator[tuple[KeyPath, Node]]:
    """Yield path and node of each value; what an alias or a merge brings in is written elsewhere and left out here."""
    if not isinstance(node, CollectionNode) or node.flow_style:
        yield path, node
        return
    for child_path, before, child in _children(path, node):
        if child.start_mark.index >= before.start_mark.index:  # else an alias of something above
            yield from _leaves(child_path, child)


def _key_paths(path: KeyPath, node: Node) -> Iterator[KeyPath]:
    """Yield the paths of everything below a node, those inside brackets included."""
    for child_path, _, child in _children(path, node):
        yield child_path
        yield from _key_paths(child_path, child)


def _children(path: KeyPath, node: Node) -> Iterator[tuple[KeyPath, Node, Node]]:
    """Yield path, key (of a list: the list) and content of what lies in a node, without what is merged into it."""
    if isinstance(node, MappingNode):
        yield from (((*path, key.value), key, value) for key, value in node.value if key.tag != yaml_files.MERGE)
    elif isinstance(node, SequenceNode):
        yield from (((*path, place), node, item) for place, item in enumerate(node.value))


def _comment(node: Node) -> str:
    """Return the comment that ends the line of a value, without its #; '' if there is none."""
    token = node.comment[0] if node.comment else None  # it holds the comments of the lines below as well
    return token.value.splitlines()[0].lstrip("# ") if token else ""


def _written(node: Node, text: str) -> str:
    """Return a value as it is written, without its anchor."""
    written = text[node.start_mark.index : node.end_mark.index]
    return written.removeprefix(f"&{node.anchor}").lstrip() if node.anchor else written


def read_remarks(path: Path, scale: ScaleText) -> Remarks:
    """Return the checked docs/deviations.yaml.

    Raises UserError if the file cannot be read, if an assumption has no reason in its comment or there, or if a
    reason, key or module belongs to nothing.
    """
    try:
        content = yaml_files.read(path, Remarks.model_fields)
    except FileNotFoundError:
        raise UserError(f"{path}: does not exist") from None
    remarks: Remarks = validation.validate(TypeAdapter(Remarks), content, str(path))
    for key in remarks.reasons.keys() - scale.assumptions.keys():
        raise unknown("assumption", key, scale.assumptions, f"{path}, reasons")
    for key, value in scale.assumptions.items():
        if not value.reason and key not in remarks.reasons:
            raise UserError(f"{path}: assumption '{key}' has no reason there, nor in its comment '{value.comment}'")
    for deviation in remarks.deviations:
        _check_places(deviation, scale, f"{path}, '{deviation.what}'")
    return remarks


def _check_places(deviation: Deviation, scale: ScaleText, where: str) -> None:
    """Raise UserError unless a deviation's keys are in the scale file and its modules in the library."""
    for key in deviation.keys:
        if key not in scale.keys:
            raise unknown(f"key of {scale.file}", key, scale.keys, where)
    for module in deviation.modules:
        if module not in (modules := _library_modules()):
            raise unknown("module", module, modules, where)


@cache
def _library_modules() -> list[str]:
    """Return the library's modules and packages, named below it: 'methods', 'methods.sam'."""
    names = (path.relative_to(code_digest.PACKAGE).with_suffix("").parts for path in code_digest.PACKAGE.rglob("*.py"))
    return [".".join(part for part in parts if part != "__init__") for parts in names]


def table(scale_file: Path, remarks_file: Path = REMARKS) -> str:
    """Return docs/deviations.md as it has to be now; raise UserError for a wrong scale file or wrong remarks."""
    scale_files.load_scale(scale_file)
    scale = read_scale(scale_file.read_text(encoding="utf-8"), f"config/{scale_file.name}")
    remarks = read_remarks(remarks_file, scale)
    head = HEAD.format(
        file=scale.file,
        values=len(scale.values),
        assumed=len(scale.assumptions),
        deviations=len(remarks.deviations),
    )
    parts = [head, *_assumptions(scale, remarks.reasons), *_deviations(remarks.deviations)]
    return "\n".join(parts) + "\n"


def _assumptions(scale: ScaleText, reasons: dict[str, str]) -> Iterator[str]:
    """Yield the tables of assumptions, one a section; values of one reason and source share a row."""
    for section, values in itertools.groupby(scale.assumptions.values(), lambda value: value.section):
        yield f"### {section}\n"
        rows: dict[tuple[str, str], list[str]] = {}
        for value in values:
            why = "; ".join(filter(None, (value.reason, reasons.get(value.key))))
            rows.setdefault((value.origin, why), []).append(value.line)
        yield from _markdown_table(("value", "source", "why"), [("<br>".join(rows[row]), *row) for row in rows])
        yield ""


def _deviations(deviations: Iterable[Deviation]) -> Iterator[str]:
    yield "## Deviations and decisions outside the config\n"
    rows = []
    for deviation in deviations:
        where = "<br>".join(f"`{place}`" for place in (*deviation.keys, *deviation.modules))
        rows.append((deviation.what, deviation.paper, deviation.ours, deviation.why, where))
    yield from _markdown_table(("what", "the paper says", "here", "why", "where"), rows)


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (headings, ["---"] * len(headings), *rows):
        escaped = [" ".join(cell.replace("|", r"\|").split()) for cell in cells]
        yield f"| {' | '.join(escaped)} |"


HEAD = """\
# Assumptions and deviations

Written by `smoothing deviations` from the comments of `{file}` and from `docs/deviations.yaml`; not to be edited by
hand.
Of the {values} values in `{file}`, {assumed} are assumed in whole or in part, since no source states them.
{deviations} more decisions follow below. For what stands in for the paper's data at small scale see
[small_scale.md](small_scale.md).

Sources: **P** the paper (arXiv 2502.07273), **B** the authors' blog draft on it, **I** the authors' public IVON
experiment scripts, **D** derived from the paper's text, **A** assumed.

To see what another value would rerun, edit it and call `smoothing why`.

## Assumptions
"""


def write_table() -> None:
    """Write docs/deviations.md."""
    with atomic_write(TABLE) as temporary:
        temporary.write_text(table(CONFIG / f"{paths.PAPER}.yaml"), encoding="utf-8")


if __name__ == "__main__":
    former_names.renamed("deviations")
