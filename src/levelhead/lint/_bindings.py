"""What the names of a Python file are bound to, scope by scope."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping

__all__ = ["Scope", "assigned", "imported_or_defined"]

Scope = tuple[ast.AST, ...]
"""The module, and the classes and functions around a node, outermost first."""

_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def assigned(name: str, scope: Scope) -> list[ast.expr]:
    """What a name is assigned in the innermost scope that assigns it.

    Args:
        name: of a variable.
        scope: around the place where it is read.

    Returns:
        The expressions; empty where nobody can tell.
    """
    for place in reversed(scope):
        values = _bindings(place).get(name, ())
        if values is None:
            return []
        if values:
            return list(values)
    return []


@functools.lru_cache(maxsize=256)
def imported_or_defined(name: str, tree: ast.AST) -> bool:
    """Whether a name is a function or class of the file, or an imported one."""
    return name in _named(tree)


@functools.lru_cache(maxsize=8)
def _named(tree: ast.AST) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found.update(one.asname or one.name for one in node.names)
    return frozenset(found)


@functools.lru_cache(maxsize=256)
def _bindings(place: ast.AST) -> Mapping[str, tuple[ast.expr, ...] | None]:
    """The values that a scope assigns to each name; None where it is bound in another way as well."""
    values: dict[str, list[ast.expr]] = {}
    other = _odd_names(place)
    stack = list(ast.iter_child_nodes(place))
    plain: set[int] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, _FUNCTIONS | ast.ClassDef | ast.comprehension):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    plain.add(id(target))
                    if node.value is not None:
                        values.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if id(node) not in plain:
                other.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            other.add(node.name)
        stack.extend(ast.iter_child_nodes(node))
    found: dict[str, tuple[ast.expr, ...] | None] = {k: tuple(v) for k, v in values.items()}
    return found | dict.fromkeys(other)


def _odd_names(place: ast.AST) -> set[str]:
    """Parameters, names that functions inside bind as `global`, and imports that are assigned to."""
    if isinstance(place, _FUNCTIONS):
        a = place.args
        every = (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg)
        return {one.arg for one in every if one is not None}
    if not isinstance(place, ast.Module):
        return set()
    found: set[str] = set()
    for node in ast.walk(place):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(one.asname or one.name for one in node.names)
    return found
