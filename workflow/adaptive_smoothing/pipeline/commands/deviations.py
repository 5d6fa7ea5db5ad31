"""docs/deviations.md: every assumption in a scale's YAML, every other deviation, and what changing each would rerun.

The comment at the end of a value's line in config/paper.yaml says where the value comes from; this module reads it with
the value. What changing a value would rerun is found by changing it in a copy, planning that and comparing the plans;
for code it is found by asking each run which modules it reaches. Reasons that do not fit a comment, and deviations that
lie in code, stand in docs/deviations.yaml.
"""

import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from adaptive_smoothing.core.errors import UserError, unknown
from adaptive_smoothing.core.files import atomic_write
from adaptive_smoothing.core.options import Annotated, Field, Strict, model_validator
from adaptive_smoothing.pipeline import code_digest, stages, validation, yaml_files
from adaptive_smoothing.pipeline.plan import CONFIG, Plan

REMARKS = Path("docs/deviations.yaml")
TABLE = Path("docs/deviations.md")
MARK = "ASSUMED (A)"
NO_WORD = "no_such_word"  # a value that is refused; the refusal names the legal ones
Text = Annotated[str, Field(min_length=1)]
KeyPath = tuple[str | int, ...]
Place = Callable[[object], object]  # puts a thing in one spot of a value, and returns the whole


@dataclass(frozen=True)
class Value:
    """One value of a scale's YAML: key path, text as written, the text's place in the file, content and comment."""

    path: KeyPath
    text: str
    start: int
    end: int
    data: object = field(hash=False)
    comment: str

    @property
    def key(self) -> str:
        """The key path in one word, such as `setups.cifar10.methods.ls.lr` or `figures.fig4.runs.0`."""
        return ".".join(str(part) for part in self.path)

    @property
    def sources(self) -> tuple[str, ...]:
        """The letters of the sources that the comment names, in its order; A only where it says `ASSUMED (A)`."""
        found = re.findall(r"\b[PBIDR]\b|" + re.escape(MARK), self.comment)
        return tuple(dict.fromkeys("A" if source == MARK else source for source in found))

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


@dataclass(frozen=True)
class Reruns:
    """What a change makes anew, by name: trainings (those without an earlier self in `new`), label noise, figures."""

    trained: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    figures: frozenset[str] = frozenset()

    def __or__(self, other: "Reruns") -> "Reruns":
        return Reruns(
            self.trained | other.trained,
            self.new | other.new,
            self.measured | other.measured,
            self.figures | other.figures,
        )

    @property
    def work(self) -> str:
        """The number of trainings, in words where some are new ones or where only label noise is measured again."""
        again = len(self.trained) - len(self.new)
        counts = [f"{again}" if again else "", f"{len(self.new)} new" if self.new else ""]
        if not self.trained:
            counts = [f"0 (label noise of {len(self.measured)} measured)" if self.measured else "0"]
        return ", ".join(count for count in counts if count)


class Deviation(Strict):
    """Something that differs from the paper, or that it leaves open, beside the values marked as assumed.

    `keys` are key paths of the scale's YAML and `modules` modules of the library: where one would change it.
    """

    what: Text
    paper: Text
    ours: Text
    why: Text
    keys: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lies_somewhere(self) -> "Deviation":
        if not self.keys and not self.modules:
            raise ValueError(f"'{self.what}' needs keys or modules: where one would change it")
        return self


class Remarks(Strict):
    """docs/deviations.yaml: reasons of assumptions by key path, and deviations."""

    reasons: dict[str, Text]
    deviations: tuple[Deviation, ...]


def read(text: str, where: str) -> list[Value]:
    """Return every value of a YAML text with the comment of its line(s), in the file's order.

    A value is a scalar or a list or mapping in braces. One that comes from an anchor is there once, where it stands.
    Raises UserError where a comment marks an assumption but no value stands in its line.
    """
    comments = _comments(text)
    root = yaml.compose(text, Loader=yaml_files.StrictLoader)
    values, used = [], set[int]()
    for path, node in _leaves(root, ()) if root is not None else ():
        lines = range(node.start_mark.line, node.end_mark.line + 1)
        used.update(lines)
        comment = " ".join(comments[line] for line in lines if line in comments)
        values.append(_value(text, path, node, comment))
    for line, comment in comments.items():
        if MARK in comment and line not in used:
            raise UserError(f"{where}, line {line + 1}: '{MARK}' must stand in the line of the value that is assumed")
    return values


def _value(text: str, path: KeyPath, node: yaml.Node, comment: str) -> Value:
    end = node.end_mark.index
    anchor = re.match(r"&\S+\s+", text[node.start_mark.index : end])
    start = node.start_mark.index + (anchor.end() if anchor else 0)
    data = yaml_files.StrictLoader("").construct_document(node)
    return Value(path, text[start:end], start, end, data, comment)


def _leaves(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, yaml.Node]]:
    """Yield path and node of each value; what an alias or a merge brings in stands elsewhere and is left out there."""
    inner: Iterable[tuple[str | int, yaml.Node, yaml.Node]]
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        inner = ((key.value, key, value) for key, value in node.value if key.tag != "tag:yaml.org,2002:merge")
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        inner = ((place, node, item) for place, item in enumerate(node.value))
    else:
        yield path, node
        return
    for name, before, child in inner:
        if child.start_mark.index >= before.start_mark.index:  # else an alias of something above
            yield from _leaves(child, (*path, name))


def _comments(text: str) -> dict[int, str]:
    """Return line (from 0) → comment, without its #. A # inside a word or a quoted text starts none."""
    ends: dict[int, int] = {}
    lines = text.splitlines()
    for token in yaml.scan(text):
        if token.start_mark.index == token.end_mark.index:  # the end of a block stands where the next thing starts
            continue
        for line in range(token.start_mark.line, token.end_mark.line):
            ends[line] = len(lines[line])  # a text over several lines holds no comment
        ends[token.end_mark.line] = max(ends.get(token.end_mark.line, 0), token.end_mark.column)
    found = {}
    for number, content in enumerate(lines):
        rest = content[ends.get(number, 0) :].strip()
        if rest.startswith("#"):
            found[number] = rest.lstrip("# ")
    return found


class Changes:
    """The scale as it is, and what one change to it would rerun."""

    def __init__(self, scale: str, folder: Path = CONFIG) -> None:
        """Read and plan folder/<scale>.yaml; raise UserError if it is missing or wrong."""
        self.plan = Plan(scale, folder)
        self.text = self.plan.file.read_text(encoding="utf-8")
        self.values = read(self.text, str(self.plan.file))

    def reruns(self, key: str) -> Reruns | None:
        """Return what changing the value at a key path would rerun; None if no other value tried is legal.

        A number is doubled, a list gets one element more, a word becomes another legal one, and a mapping's last such
        entry changes; a mapping that allows none takes its neighbour's place. The path may reach into a mapping in
        braces. Raises UserError for an unknown key path.
        """
        value, inner = self._find(key)
        data, place = _descended(value.data, inner.split(".") if inner else [])
        neighbours = [v.data for v in self.values if v.path[:-1] == value.path[:-1] and type(v.data) is type(data)]
        for changed in itertools.chain(_changes(data, place, lambda leaf: self._words(value, leaf)), neighbours):
            if changed == value.data:
                continue
            try:
                return compared(self.plan, self._planned(value, changed))
            except UserError:
                continue
        return None

    def _find(self, key: str) -> tuple[Value, str]:
        """Return the value that a key path names or reaches into, and the rest of the path."""
        for value in self.values:
            if f"{key}.".startswith(f"{value.key}."):
                return value, key[len(value.key) + 1 :]
        raise unknown("key path", key, [value.key for value in self.values], str(self.plan.file))

    def _planned(self, value: Value, changed: object) -> Plan:
        """Return the plan with one value changed; raise UserError if that is not legal."""
        text = self.text[: value.start] + json.dumps(changed, ensure_ascii=False) + self.text[value.end :]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, self.plan.file.name).write_text(text, encoding="utf-8")
            plan = Plan(self.plan.name, Path(folder))
        assert plan.runs is not None  # hyper-parameters are checked where the runs are made
        return plan

    def _words(self, value: Value, changed: object) -> list[str]:
        """Return the words that the refusal of `changed` names as legal; any word will do where it is accepted."""
        try:
            self._planned(value, changed)
        except UserError as error:
            _, listed, legal = str(error).partition("legal: ")  # of errors.unknown, else pydantic's sentence
            if listed:
                return re.findall(r"[\w.]+", legal)
            return re.findall(r"'(\w+)'", str(error).partition("should be ")[2])
        return [NO_WORD]

    def reaching(self, module: str) -> Reruns:
        """Return what an edit of a library module would rerun; raise UserError if there is no such module."""
        try:
            code_digest.library().path_of(module)
        except KeyError:
            raise UserError(f"{REMARKS}: there is no module '{module}' in the library") from None
        plan, trained, measured, figures = self.plan, set[str](), set[str](), set[str]()
        for run in plan.runs.values():
            dataset, noise = run.specification["dataset"]["name"], run.specification["noise"]["kind"]
            before = stages.code("prepare_dataset", dataset=dataset) | stages.code("corrupt_labels", noise=noise)
            if module in run.code or module in before:
                trained.add(run.name)
        for figure in plan.figures.values():
            runs = [run for run in figure.runs if run.name in trained or module in run.measuring_code]
            if figure.label_noise_mc_samples:
                measured.update(run.name for run in runs)
            runs = [run for run in runs if run.name in trained | measured]
            if runs or module in figure.code or module in figure.drawing_code:
                figures.add(figure.name)
        return Reruns(frozenset(trained), frozenset(), frozenset(measured), frozenset(figures))


def _descended(data: Any, parts: list[str]) -> tuple[Any, Place]:
    """Return what lies at `parts` inside nested mappings, and a function that puts another thing in its place."""
    if not parts:
        return data, lambda other: other
    first, rest = parts[0], parts[1:]
    if not isinstance(data, dict) or first not in data:
        raise unknown("key", first, data if isinstance(data, dict) else [], "a key path")
    inner, place = _descended(data[first], rest)
    return inner, lambda thing: {**data, first: place(thing)}


def _changes(data: Any, place: Place, words: Callable[[object], list[str]]) -> Iterator[object]:
    """Yield the whole value with one thing in it changed, the most telling change first; not all need be legal."""
    match data:
        case bool():
            yield place(not data)
        case int() | float():
            yield from map(place, (2 * data or 1, data / 2 if isinstance(data, float) else data + 1))
        case str():
            yield from (place(word) for word in words(place(NO_WORD)) if word != data)
        case list():
            number = bool(data) and isinstance(data[-1], int | float)
            more = [data[-1] + 1, data[-1] / 2] if number else words(place([*data, NO_WORD]))
            yield from (place([*data, item]) for item in more if item not in data)
            for index in reversed(range(len(data))):
                yield from _changes(data[index], _spot(place, data, index), words)
        case dict():
            for key in reversed(data):
                yield from _changes(data[key], _spot(place, data, key), words)


def _spot(place: Place, parent: Any, key: Any) -> Place:
    """Return a function that puts a thing at `key` of a copy of `parent`, and that in its own place."""

    def put(thing: object) -> object:
        copied = parent.copy()
        copied[key] = thing
        return place(copied)

    return put


def compared(before: Plan, after: Plan) -> Reruns:
    """Return what the second plan makes that the first does not make in the same way."""
    trained = frozenset(
        name
        for name, run in after.runs.items()
        if name not in before.runs or run.specification != before.runs[name].specification
    )
    known = {name: _content(before, name) for name in before.figures}
    measured_before = {
        (run, figure.label_noise_mc_samples) for figure in before.figures.values() for run in figure.runs
    }
    measured, figures = set[str](), set[str]()
    for name, figure in after.figures.items():
        if figure.label_noise_mc_samples:
            pairs = {(run, figure.label_noise_mc_samples) for run in figure.runs}
            measured |= {run.name for run, samples in pairs - measured_before} | {
                run.name for run in figure.runs if run.name in trained
            }
        if known.get(name) != _content(after, name) or trained & {run.name for run in figure.runs}:
            figures.add(name)
    return Reruns(trained, trained - before.runs.keys(), frozenset(measured), frozenset(figures))


def _content(plan: Plan, figure: str) -> object:
    planned = plan.figures[figure]
    return planned.description, [run.name for run in planned.runs], planned.label_noise_mc_samples


def load_remarks(path: Path, values: list[Value]) -> Remarks:
    """Return the checked docs/deviations.yaml.

    Raises UserError where an assumption has no reason, in its comment or there, or a reason no assumption, or where the
    file cannot be read.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml_files.StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    remarks: Remarks = validation.validate(TypeAdapter(Remarks), content, str(path))
    assumed = {value.key: value for value in values if value.assumed}
    for key in remarks.reasons:
        if key not in assumed:
            raise unknown("assumption", key, assumed, f"{path}, reasons")
    for key, value in assumed.items():
        if not value.reason and key not in remarks.reasons:
            raise UserError(f"{path}: assumption '{key}' has no reason there, nor in its comment '{value.comment}'")
    return remarks


def table(scale: str, folder: Path = CONFIG, remarks_file: Path = REMARKS) -> str:
    """Return docs/deviations.md as it has to be now."""
    changes = Changes(scale, folder)
    remarks = load_remarks(remarks_file, changes.values)
    assumed = [value for value in changes.values if value.assumed]
    head = _HEAD.format(
        file=f"{CONFIG}/{scale}.yaml",
        values=len(changes.values),
        assumed=len(assumed),
        trainings=len(changes.plan.runs),
        deviations=len(remarks.deviations),
    )
    parts = [head, *_assumptions(changes, assumed, remarks.reasons), *_deviations(changes, remarks.deviations)]
    return "\n".join(parts) + "\n"


def _assumptions(changes: Changes, assumed: list[Value], reasons: dict[str, str]) -> Iterator[str]:
    """Yield the tables of assumptions, one a setup; values of one reason, source and effect share a row."""
    for section, values in itertools.groupby(assumed, _section):
        yield f"### {section}\n"
        yield from _row("value", "source", "why", "trainings", "figures")
        yield from _row(*["---"] * 5)
        rows: dict[tuple[str, ...], list[str]] = {}
        for value in values:
            why = "; ".join(text for text in (value.reason, reasons.get(value.key, "")) if text)
            rows.setdefault((value.origin, why, *_effect(changes.reruns(value.key))), []).append(_shown(value))
        for row, shown in rows.items():
            yield from _row("<br>".join(shown), *row)
        yield ""


def _deviations(changes: Changes, deviations: Iterable[Deviation]) -> Iterator[str]:
    yield "## Deviations and decisions outside the config\n"
    yield from _row("what", "the paper says", "here", "why", "where", "trainings", "figures")
    yield from _row(*["---"] * 7)
    for deviation in deviations:
        effect = Reruns()
        for key in deviation.keys:
            effect |= changes.reruns(key) or Reruns()
        for module in deviation.modules:
            effect |= changes.reaching(module)
        where = "<br>".join(f"`{place}`" for place in (*deviation.keys, *deviation.modules))
        yield from _row(deviation.what, deviation.paper, deviation.ours, deviation.why, where, *_effect(effect))


def _section(value: Value) -> str:
    top, *rest = value.path
    if top == "setups":
        return f"Setup `{rest[0]}`"
    return {"noises": "Noises", "datasets": "Datasets", "figures": "Figures"}.get(str(top), "Whole scale")


def _shown(value: Value) -> str:
    short = value.path[{"setups": 2, "noises": 1, "datasets": 1, "figures": 1}.get(str(value.path[0]), 0) :]
    return f"`{'.'.join(str(part) for part in short)}: {' '.join(value.text.split())}`"


def _effect(reruns: Reruns | None) -> tuple[str, str]:
    return ("no other value to try", "") if reruns is None else (reruns.work, _numbers(reruns.figures))


def _numbers(figures: Iterable[str]) -> str:
    """Return figure names in short: '2, 5–7'; names without a number in full, last."""
    numbers = sorted(int(name[3:]) for name in figures if re.fullmatch(r"fig\d+", name))
    spans = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        first, *more = [number for _, number in group]
        spans.append(f"{first}{'–' if len(more) > 1 else ', '}{more[-1]}" if more else f"{first}")
    return ", ".join(spans + sorted(name for name in figures if not re.fullmatch(r"fig\d+", name)))


def _row(*cells: str) -> Iterator[str]:
    escaped = [" ".join(cell.replace("|", r"\|").split()) for cell in cells]
    yield f"| {' | '.join(escaped)} |"


_HEAD = """\
# Assumptions and deviations

Written by `make deviations` from the comments of `{file}` and from `docs/deviations.yaml`; not to be edited by hand.
Of the {values} values in `{file}`, {assumed} are assumed in whole or in part, since no source states them;
{deviations} more decisions follow below. For what stands in for the paper's data at small scale see
[small_scale.md](small_scale.md).

Sources: **P** the paper (arXiv 2502.07273), **B** the authors' blog draft on it, **I** the authors' public IVON
experiment scripts, **D** derived from the paper's text, **A** assumed.

*Trainings* (of {trainings} at paper scale) and *figures* are what a change would make anew. They are computed, not
estimated: a number is doubled, a list gets one element more, a word becomes another legal one, and the two plans are
compared; for code, the runs and figures that reach the module are counted. *New* trainings get new names and leave the
old ones where they are (a seed more, another network). Every figure named is at least drawn again.

## Assumptions
"""


def main() -> int:
    """Write docs/deviations.md; return the exit status."""
    try:
        with atomic_write(TABLE) as temporary:
            temporary.write_text(table("paper"), encoding="utf-8")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
