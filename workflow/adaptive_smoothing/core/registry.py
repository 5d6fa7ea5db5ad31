"""What is registered: a file in one of FOLDERS is an entry of its kind, named as the file.

`options_class` reads what an entry may be configured with from the file's syntax tree, so that planning checks a
config without importing torch or matplotlib; `load` imports the entry for work.
"""

import ast
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from adaptive_smoothing.core import asked, options
from adaptive_smoothing.core.errors import UserError, unknown

PACKAGE = Path(__file__).parents[1]
FOLDERS = {
    "method": "methods",
    "model": "models",
    "dataset": "data.datasets",
    "noise": "data.noises",
    "source": "training.sources",
    "table": "results.tables",
    "figure": "figures",
}
SHARED = ("base", "build", "draw", "draw_record")  # modules beside entries that are none; nor are those with '_' before
OPTIONS_CLASS = {
    "method": "Hyperparameters",
    "model": "Options",
    "dataset": "Options",
    "noise": "Options",
    "figure": "Options",
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind (a key of FOLDERS), sorted."""
    stems = (path.stem for path in PACKAGE.joinpath(*FOLDERS[kind].split(".")).glob("*.py"))
    return tuple(sorted(stem for stem in stems if not stem.startswith("_") and stem not in SHARED))


def module_name(kind: str, name: str) -> str:
    """Return the module of an entry, below the library: 'data.noises.pair'."""
    return f"{FOLDERS[kind]}.{name}"


def path(kind: str, name: str) -> Path:
    """Return the file of an entry."""
    return PACKAGE.joinpath(*module_name(kind, name).split(".")).with_suffix(".py")


def check(kind: str, name: str, where: str) -> None:
    """Raise UserError, naming file `where`, unless `name` is registered."""
    if name not in names(kind):
        raise unknown(kind, name, names(kind), where)


def load(kind: str, name: str) -> ModuleType:
    """Import and return a registered entry's module."""
    check(kind, name, "registry")
    return importlib.import_module(f"adaptive_smoothing.{module_name(kind, name)}")


@cache
def options_class(kind: str, name: str) -> type[options.Strict]:
    """Return the class of options that an entry declares, without importing the entry.

    The class statement alone is compiled, in the name space of `options`; a class that uses other names is refused.
    """
    wanted = OPTIONS_CLASS[kind]
    file = path(kind, name)
    for node in _tree(file).body:
        if isinstance(node, ast.ClassDef) and node.name == wanted:
            declared: type[options.Strict] = _compiled(node, file, options)
            return declared
    raise UserError(f"{file}: has no class {wanted}; every {kind} declares one (it may be empty)")


@cache
def constant(kind: str, name: str, constant_name: str) -> object:
    """Return a literal that an entry's file assigns at top level (None if it does not), without importing it."""
    for node in _tree(path(kind, name)).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == constant_name:
                return ast.literal_eval(value)
    return None


@cache
def check_of_runs(kind: str, name: str) -> Callable[[asked.AskedFigure], None] | None:
    """Return the function `check_runs` of a figure's or a table's file, without importing it (None: it has none)."""
    file = path(kind, name)
    for node in _tree(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == "check_runs":
            function: Callable[[asked.AskedFigure], None] = _compiled(node, file, asked)
            return function
    return None


def _compiled(node: ast.ClassDef | ast.FunctionDef, file: Path, module: ModuleType) -> Any:
    """Return what a statement of `file` defines, with no other names than those that `module` exports."""
    namespace = {key: getattr(module, key) for key in module.__all__}
    namespace["__name__"] = module.__name__
    try:
        exec(compile(ast.Module([node], []), file, "exec"), namespace)
    except NameError as error:
        what = f"{'class' if isinstance(node, ast.ClassDef) else 'function'} {node.name}"
        own = str(module.__name__).rpartition(".")[2]
        raise UserError(f"{file}: {what} may use only the names of {own}.py; {error}") from error
    return namespace[node.name]


@cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise UserError(f"{file}: is not Python: line {error.lineno}: {error.msg}") from error
