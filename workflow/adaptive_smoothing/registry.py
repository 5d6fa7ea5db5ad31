"""What is registered: a file in methods/, models/, datasets/, noises/ or figures/ is an entry, named as the file.

`options_class` reads what an entry may be configured with from the file's syntax tree, so that planning checks a
config without importing torch or matplotlib; `load` imports the entry for work.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from adaptive_smoothing import options
from adaptive_smoothing.errors import UserError, unknown

PACKAGE = Path(__file__).parent
OPTIONS_CLASS = {
    "method": "Hyperparameters",
    "model": "Options",
    "dataset": "Options",
    "noise": "Options",
    "figure": "Options",
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind ('method', 'model', 'dataset', 'noise' or 'figure'), sorted."""
    folder = PACKAGE / f"{kind}s"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


def check(kind: str, name: str, where: str) -> None:
    """Raise UserError, naming file `where`, unless `name` is registered."""
    if name not in names(kind):
        raise unknown(kind, name, names(kind), where)


def load(kind: str, name: str) -> ModuleType:
    """Import and return a registered entry's module."""
    check(kind, name, "registry")
    return importlib.import_module(f"adaptive_smoothing.{kind}s.{name}")


@cache
def options_class(kind: str, name: str) -> type[options.Strict]:
    """Return the class of options that an entry declares, without importing the entry.

    The class statement alone is compiled, in the name space of `options`; a class that uses other names is refused.
    """
    wanted = OPTIONS_CLASS[kind]
    path = PACKAGE / f"{kind}s" / f"{name}.py"
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == wanted:
            namespace = {key: getattr(options, key) for key in options.__all__}
            namespace["__name__"] = options.__name__
            try:
                exec(compile(ast.Module([node], []), path, "exec"), namespace)
            except NameError as error:
                raise UserError(f"{path}: class {wanted} may use only the names of options.py; {error}") from error
            declared: type[options.Strict] = namespace[wanted]
            return declared
    raise UserError(f"{path}: has no class {wanted}; every {kind} declares one (it may be empty)")


@cache
def constant(kind: str, name: str, constant_name: str) -> object:
    """Return a literal that an entry's file assigns at top level (None if it does not), without importing it."""
    for node in _tree(PACKAGE / f"{kind}s" / f"{name}.py").body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == constant_name:
                return ast.literal_eval(value)
    return None


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
