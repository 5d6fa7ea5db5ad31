"""Digest of the code that a job depends on, so that an edit reruns exactly the jobs that it could change.

A module's digest is over its syntax tree (no comments, docstrings, formatting or annotations) and the data files that
it names. The digests of the modules that a job reaches by imports, for its own method, model, dataset and noise, are a
param of the job's rule; they also stand in the record of what it makes, which can so say what changed.
"""

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent
NAME = LIBRARY.name
_FILE_NAME = re.compile(r"[\w./-]+\.\w+")


@cache
def code(*modules: str) -> dict[str, str]:
    """Return module → digest (16 hex digits) for all that `modules` (such as 'training', 'methods.sam') reach."""
    return {module: _digest(module) for module in sorted(reachable(modules))}


def reachable(modules: tuple[str, ...]) -> frozenset[str]:
    """Return the library modules that `modules` import, directly or not, themselves included."""
    found: set[str] = set()
    waiting = [parent for module in modules for parent in _library_modules([f"{NAME}.{module}"])]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(_imports(module))
    return frozenset(found)


def path_of(module: str) -> Path:
    """Return the file of a library module; raise KeyError if there is none."""
    base = LIBRARY.joinpath(*module.split(".")) if module else LIBRARY
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise KeyError(module)


@cache
def _tree(module: str) -> ast.Module:
    path = path_of(module)
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return _Stripped().visit(tree)  # type: ignore[no-any-return]


@cache
def _digest(module: str) -> str:
    hasher = hashlib.sha256(ast.dump(_tree(module)).encode())
    for path in _data_files(module):
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def _data_files(module: str) -> list[Path]:
    """Return the files beside a module that it names in a string: data that it reads are part of it."""
    folder = path_of(module).parent
    strings = {node.value for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant)}
    names = sorted(text for text in strings if isinstance(text, str) and _FILE_NAME.fullmatch(text))
    return [folder / name for name in names if not name.endswith(".py") and (folder / name).is_file()]


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Return the library modules that a module's import statements name, their parent packages included."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        match node:
            case ast.Import(names=aliases):
                candidates = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(origin), names=aliases, level=0):
                candidates = [origin, *(f"{origin}.{alias.name}" for alias in aliases)]
            case _:
                continue
        found.update(_library_modules(candidates))
    return tuple(sorted(found))


def _library_modules(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        parts = name.split(".")
        if parts[0] != NAME:
            continue
        for length in range(2, len(parts) + 1):
            module = ".".join(parts[1:length])
            try:
                path_of(module)
            except KeyError:
                continue  # a function or class, not a module
            yield module


class _Stripped(ast.NodeTransformer):
    """Removes docstrings and type annotations; positions are left out by `ast.dump` already."""

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = node.body  # type: ignore[attr-defined]
        match body:
            case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]
        return node

    visit_Module = visit_ClassDef = _without_docstring

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.Expr(node.target)  # a field's name still counts
        return ast.Assign([node.target], node.value)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
