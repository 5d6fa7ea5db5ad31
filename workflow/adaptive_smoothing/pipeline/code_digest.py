"""Digest of the code that a job depends on, so that an edit reruns exactly the jobs that it could change.

A module's digest is over its syntax tree and the data files that it names. Comments, docstrings, formatting,
annotations and the texts of errors and log lines are left out, and so is all of `core`, which can change no number. The
digests of the modules that a job reaches by imports, for its own method, model, dataset and noise, are a param of the
job's rule (see stages.py). They also stand in the record of what the job makes, which can so say what changed.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

Code = dict[str, str]  # module → digest, 16 hex digits
PACKAGE = Path(__file__).parents[1]
SKIPPED = "core"  # the room that no digest covers
TEXTS_FROM = ("core.errors", "core.interrupts", "core.log")  # what is imported from there is called with texts alone
_FILE_NAME = re.compile(r"[\w./-]+\.\w+")


class Library:
    """A package on disk whose modules name each other by absolute imports; every file is read once."""

    def __init__(self, root: Path = PACKAGE, name: str = PACKAGE.name) -> None:
        """Take the package's folder, and the name that its modules import it by."""
        self.root, self.name = root, name
        self._modules: dict[str, _Module] = {}
        self._code: dict[tuple[str, ...], Code] = {}

    def code(self, *modules: str) -> Code:
        """Return module → digest for all that `modules` (such as 'training.job', 'methods.sam') reach."""
        if modules not in self._code:
            self._code[modules] = {module: self._module(module).digest for module in sorted(self.reachable(modules))}
        return self._code[modules]

    def reachable(self, modules: Iterable[str]) -> set[str]:
        """Return the modules that `modules` import, directly or not, themselves included and `core` left out."""
        found: set[str] = set()
        waiting = [part for module in modules for part in self._parts(f"{self.name}.{module}")]
        while waiting:
            module = waiting.pop()
            if module not in found and module.partition(".")[0] != SKIPPED:
                found.add(module)
                waiting += self._module(module).imports
        return found

    def path_of(self, module: str) -> Path:
        """Return the file of a module; raise KeyError if there is none."""
        base = self.root.joinpath(*module.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        raise KeyError(module)

    def _module(self, name: str) -> "_Module":
        if name not in self._modules:
            self._modules[name] = _Module(self, self.path_of(name))
        return self._modules[name]

    def _parts(self, imported: str) -> Iterator[str]:
        """Yield the module that an import names, and its parents, as far as they are this library's."""
        parts = imported.split(".")
        if parts[0] != self.name:
            return
        for length in range(2, len(parts) + 1):
            module = ".".join(parts[1:length])
            try:
                self.path_of(module)
            except KeyError:
                continue  # a function or class, not a module
            yield module

    def modules_named(self, names: Iterable[str]) -> set[str]:
        """Return the library's modules among imported names, their parent packages included."""
        return {module for name in names for module in self._parts(name)}


class _Module:
    """One file: its stripped syntax tree, what that imports, and the digest."""

    def __init__(self, library: Library, path: Path) -> None:
        self.library, self.path = library, path

    @cached_property
    def tree(self) -> ast.Module:
        tree = ast.parse(self.path.read_text(encoding="utf-8"), filename=str(self.path))
        callers = {f"{self.library.name}.{module}" for module in TEXTS_FROM}
        texts = {alias.asname or alias.name for node in _from_imports(tree, callers) for alias in node.names}
        return _Stripped(texts | {"print"}).visit(tree)  # type: ignore[no-any-return]

    @cached_property
    def imports(self) -> list[str]:
        """The library's modules that import statements name, anywhere in the file."""
        names: list[str] = []
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=aliases):
                    names += [alias.name for alias in aliases]
                case ast.ImportFrom(module=str(origin), names=aliases, level=0):
                    names += [origin, *(f"{origin}.{alias.name}" for alias in aliases)]
        return sorted(self.library.modules_named(names))

    @cached_property
    def digest(self) -> str:
        hasher = hashlib.sha256(ast.dump(self.tree).encode())
        for path in self._data_files():
            hasher.update(path.read_bytes())
        return hasher.hexdigest()[:16]

    def _data_files(self) -> list[Path]:
        """Return the files beside the module that it names in a string: data that it reads are part of it."""
        strings = {node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant)}
        names = sorted(text for text in strings if isinstance(text, str) and _FILE_NAME.fullmatch(text))
        files = [self.path.parent / name for name in names if not name.endswith(".py")]
        return [file for file in files if file.is_file()]


def _from_imports(tree: ast.Module, modules: set[str]) -> Iterator[ast.ImportFrom]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in modules)


def _is_text(node: ast.expr) -> bool:
    """Return whether an expression can only be a text: a string, an f-string, or several of them put together."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right) | ast.IfExp(body=left, orelse=right):
            return _is_text(left) and _is_text(right)
    return False


class _Stripped(ast.NodeTransformer):
    """Removes docstrings, annotations and the texts of errors and log lines; positions are left out by `ast.dump`."""

    def __init__(self, texts: set[str]) -> None:
        self.texts = texts  # functions and classes that are called with texts for people

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            _empty_texts(node.exc)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in self.texts:
            _empty_texts(node)
        return self.generic_visit(node)

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


def _empty_texts(call: ast.Call) -> None:
    """Replace the arguments of a call that are texts by empty ones."""
    call.args = [ast.Constant("") if _is_text(argument) else argument for argument in call.args]
    for keyword in call.keywords:
        if _is_text(keyword.value):
            keyword.value = ast.Constant("")


@cache
def library() -> Library:
    """Return this library, read once a process."""
    return Library()


def code(*modules: str) -> Code:
    """Return module → digest for all that `modules` of this library reach."""
    return library().code(*modules)
