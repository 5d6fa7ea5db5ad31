"""What is registered: a file in one of FOLDERS is an entry of its kind, named as the file.

`options_class` reads what an entry may be configured with from the file's syntax tree, so that planning checks a
config without importing torch or matplotlib; `load` imports the entry for work.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from adaptive_smoothing.core import options
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
            namespace = {key: getattr(options, key) for key in options.__all__}
            namespace["__name__"] = options.__name__
            try:
                exec(compile(ast.Module([node], []), file, "exec"), namespace)
            except NameError as error:
                raise UserError(f"{file}: class {wanted} may use only the names of options.py; {error}") from error
            declared: type[options.Strict] = namespace[wanted]
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


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
