"""The Python functions that a flow names: whether they are there, which runs nothing of them, and the functions."""

import ast
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigurationError


def function(name: str) -> Callable[..., Any]:
    """Return the function that `module:function` names; its module is imported. Raises ConfigurationError."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as exc:
        raise ConfigurationError(f"the module {module!r} cannot be imported: {exc}") from exc
    except (Exception, SystemExit) as exc:  # a module of somebody else's, whatever it does
        raise ConfigurationError(f"the module {module!r} fails when it is imported: {type(exc).__name__}") from exc
    if not callable(found):
        raise ConfigurationError(_absent(module, attribute))
    return found  # type: ignore[no-any-return]


def missing(name: str, folder: Path | None = None) -> str | None:
    """Return what is missing of `module:function`, None if it is there as far as its text tells. Runs no code of it.

    A module may also be in the `folder` of the flow's file.
    """
    module, _, attribute = name.partition(":")
    spec = _spec(module, folder)
    if spec is None:
        return f"the module {module!r} cannot be imported: it is not there"
    try:
        names = _names(spec)
    except (SyntaxError, ValueError) as exc:
        line = f", line {exc.lineno}" if isinstance(exc, SyntaxError) else ""
        return f"the module {module!r} is no Python{line}"
    return None if names is None or attribute in names else _absent(module, attribute)


def importable(folder: Path) -> None:
    """Let the functions of flows be in modules beside their files: what can be imported already goes before."""
    if (path := str(folder.resolve())) not in sys.path:
        sys.path.append(path)


def _absent(module: str, attribute: str) -> str:
    return f"the module {module!r} has no function {attribute!r}"


def _spec(module: str, folder: Path | None) -> ModuleSpec | None:
    """Return where a module is; `importlib.util.find_spec` would run the packages that it is in."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top) or (_found([str(folder.resolve())], top) if folder else None)
    except (ImportError, ValueError):  # of a module that is half imported, or was never imported from anywhere
        return None
    for number in range(len(below)):
        if spec is not None:
            spec = _found(spec.submodule_search_locations or (), ".".join([top, *below[: number + 1]]))
    return spec


def _found(folders: Iterable[str], name: str) -> ModuleSpec | None:
    """Return the first module of this name in folders, or, if it is a package without a text (PEP 420), all of it."""
    finders = [pkgutil.get_importer(folder) for folder in folders]
    found = [spec for finder in finders if finder and (spec := finder.find_spec(name)) is not None]
    if (first := next((spec for spec in found if spec.loader is not None), None)) is not None or not found:
        return first
    found[0].submodule_search_locations = [folder for spec in found for folder in spec.submodule_search_locations or ()]
    return found[0]


def _names(spec: ModuleSpec) -> set[str] | None:
    """Return the names that a module's text binds, or None if they cannot be told from it."""
    get_source = getattr(spec.loader, "get_source", None)
    text = get_source(spec.name) if get_source is not None and spec.origin != "built-in" else None
    if text is None:
        return None
    names = set(_bound(ast.parse(text).body))
    return None if names & {"*", "__getattr__"} else names


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Return the names that statements bind in their own scope, `*` for any."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in names)
            case _:
                yield from _bound_within(statement)


def _bound_within(statement: ast.stmt) -> Iterator[str]:
    """Return what a statement other than a definition binds: targets, and the statements in it."""
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            yield from _bound([node])
        elif isinstance(node, ast.ExceptHandler | ast.match_case):
            yield from _bound(node.body)
        else:
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
