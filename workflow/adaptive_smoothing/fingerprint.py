"""Digest of the code that a job depends on, so that an edit reruns exactly the jobs that it could change.

The digest is over the syntax trees (no comments, docstrings, formatting or annotations' spelling of them) of the
library modules that a job's entry modules reach by imports. It is a param of the rule.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent
NAME = LIBRARY.name


def digest(modules: Iterable[str]) -> str:
    """Return 16 hex digits over the code that `modules` (for example 'training', 'methods.sam') reach by imports."""
    hasher = hashlib.sha256()
    for module in sorted(reachable(tuple(modules))):
        hasher.update(f"{module}={_code(module)}\n".encode())
    return hasher.hexdigest()[:16]


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
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    return _Stripped().visit(tree)  # type: ignore[no-any-return]


@cache
def _code(module: str) -> str:
    return hashlib.sha256(ast.dump(_tree(module)).encode()).hexdigest()


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
    """Removes docstrings and type annotations of functions; positions are left out by `ast.dump` already."""

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

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
