"""Which rules of the house can be read off the source, and who breaks them?

Every guard takes source and gives back the offences as texts, so that it can be tried on a bad sample.
"""

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

IMPURE_BUILTINS = frozenset(
    {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint", "globals", "vars", "__builtins__"}
)
CLOCK_READS = frozenset({"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"})
IMPURE_MODULES = frozenset({"random", "uuid", "secrets", "os", "sys", "logging", "zoneinfo", "time", "pathlib", "io"})


class Import(NamedTuple):
    """One import statement's target: `module` in full, and the name taken from it, if any."""

    line: int
    module: str
    name: str | None
    at_load: bool


def imports(source: str, package: str) -> list[Import]:
    """Every import of a module that lives in `package`, also those inside functions; relative ones resolved."""
    return list(_imports(ast.parse(source), package, at_load=True))


def _imports(node: ast.AST, package: str, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names):
                yield from (Import(child.lineno, alias.name, None, at_load) for alias in names)
            case ast.ImportFrom(module, names, level):
                above = package.split(".")[: len(package.split(".")) - (level or 1) + 1] if level else []
                full = ".".join([*above, *([module] if module else [])])
                yield from (Import(child.lineno, full, alias.name, at_load) for alias in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, package, at_load=False)
            case ast.If() if "TYPE_CHECKING" in ast.unparse(child.test):
                yield from _imports(child, package, at_load=False)
            case _:
                yield from _imports(child, package, at_load)


def forbidden_imports(source: str, package: str, allowed: Iterable[str]) -> list[str]:
    """The imports outside `allowed`; an entry allows the module and, ending in `.*`, all below it."""
    exact = set(allowed)
    below = tuple(entry[:-1] for entry in exact if entry.endswith(".*"))
    return [
        f"line {found.line}: imports {found.module}"
        for found in imports(source, package)
        if found.module not in exact and not f"{found.module}.".startswith(below)
    ]


def impurities(source: str) -> list[str]:
    """Uses of impure builtins, of clocks and of modules that reach outside, attribute calls included."""
    return [f"line {node.lineno}: {text}" for node, text in _impure(ast.parse(source))]


def _impure(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in IMPURE_BUILTINS or name in IMPURE_MODULES:
                yield node, f"uses {name}"
            case ast.Attribute(attr=name) if name in CLOCK_READS:
                yield node, f"reads a clock: {ast.unparse(node)}"
            case ast.Call(func=ast.Attribute(attr="astimezone"), args=[], keywords=[]):
                yield node, f"uses the zone of the machine: {ast.unparse(node)}"
            case ast.Call(func=ast.Attribute(attr="fromtimestamp"), args=[_], keywords=[]):
                yield node, f"uses the zone of the machine: {ast.unparse(node)}"


def long_functions(source: str, limit: int) -> list[str]:
    """Functions of more than `limit` lines, decorators and docstring included."""
    return [
        f"line {node.lineno}: {node.name} has {length} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - _first_line(node) + 1) > limit
    ]


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min(node.lineno, *(decorator.lineno for decorator in node.decorator_list), node.lineno)


def undocumented(source: str) -> list[str]:
    """The module, its public classes and its public functions that have no docstring."""
    tree = ast.parse(source)
    named = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    public = [node for node in named if not node.name.startswith("_")]
    bare = [f"line {node.lineno}: {node.name}" for node in public if not ast.get_docstring(node)]
    return bare if ast.get_docstring(tree) else ["line 1: the module", *bare]


def circle(modules: dict[str, str]) -> list[str]:
    """One circle of imports at load time among `modules` (full name to source; packages by their own name)."""
    packages = {name.rpartition(".")[0] for name in modules}
    graph: dict[str, set[str]] = {}
    for name, source in modules.items():
        package = name if name in packages else name.rpartition(".")[0]
        wanted = (_target(found, modules) for found in imports(source, package) if found.at_load)
        graph[name] = {target for target in wanted if target is not None and target != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _target(found: Import, modules: dict[str, str]) -> str | None:
    inner = f"{found.module}.{found.name}"
    if inner in modules:
        return inner
    return found.module if found.module in modules else None


def modules_below(root: Path, package: str) -> dict[str, Path]:
    """Full module name to file for every module of `package`, which lies in the source root `root`."""
    found: dict[str, Path] = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found
