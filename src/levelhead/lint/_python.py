"""The calls of a Python file and what their arguments are, without running it.

A value is known where it is written down: a literal, a name that is assigned one literal, arithmetic on
such numbers, and a dictionary of them behind `**`. Everything else is `Unread`.
"""

from __future__ import annotations

import ast
import dataclasses
import operator
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from levelhead.errors import RecordError
from levelhead.lint.settings import Unread, Value

__all__ = ["Call", "calls"]

_SOURCES = ("trl", "unsloth", "open_r1", "swift", "peft")
_MAX_DEPTH = 20
_READS = {"get", "items", "keys", "values", "copy"}
_ARITHMETIC: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_LIMIT = 1e12


@dataclasses.dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        name: of what is called, without its module.
        line: 1-based.
        given: keyword -> value.
        names: keyword -> name, where the argument is a plain name.
        variable: what the result is assigned to, or empty.
        open: whether `**` brings in arguments that are not known.
    """

    name: str
    line: int
    given: Mapping[str, Value | Unread]
    names: Mapping[str, str]
    variable: str
    open: bool


def calls(text: str, file: str, wanted: Collection[str], *, suffix: str) -> list[Call]:
    """The calls of some names, and of every other name with a suffix.

    Args:
        text: Python.
        file: its path, for messages.
        wanted: names of classes.
        suffix: of further names.

    Returns:
        The calls in the order of their lines; without those of a class of the same name that is
        imported from another package, or defined in the file without a parent.

    Raises:
        RecordError: it is no Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in the user's strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise RecordError(f"expected Python, got something else: {error}", file, line) from error
    aliases, foreign = _imports(tree, wanted)
    found = []
    for scope, node, variable in _walk(tree):
        name = aliases.get(_name(node.func), _name(node.func))
        if name not in foreign and (name in wanted or name.endswith(suffix)):
            found.append(_call(node, name, variable, scope))
    return sorted(found, key=lambda one: one.line)


def _imports(tree: ast.Module, wanted: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """Other names of what is wanted, and names that are something else here."""
    aliases: dict[str, str] = {}
    foreign: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            ours = (node.module or "").split(".")[0].startswith(_SOURCES) or node.level > 0
            for one in node.names:
                if one.name in wanted:
                    aliases[one.asname or one.name] = one.name
                    if not ours and "trl" not in (node.module or ""):
                        foreign.add(one.name)
        elif isinstance(node, ast.ClassDef) and node.name in wanted and not node.bases:
            foreign.add(node.name)
    return aliases, foreign


Scope = tuple[ast.AST, ...]
"""The functions and the module around a node, outermost first."""


def _walk(tree: ast.Module) -> Iterator[tuple[Scope, ast.Call, str]]:
    """Every call with the scopes around it and the name that its result is assigned to."""
    stack: list[tuple[ast.AST, Scope, str]] = [(tree, (tree,), "")]
    while stack:
        node, scope, variable = stack.pop()
        if isinstance(node, ast.Call):
            yield scope, node, variable
        inner = scope
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = (*scope, node)
        target = ""
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            target = node.target.id
        for child in ast.iter_child_nodes(node):
            stack.append((child, inner, target))


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _call(node: ast.Call, name: str, variable: str, scope: Scope) -> Call:
    given: dict[str, Value | Unread] = {}
    names: dict[str, str] = {}
    unknown = any(isinstance(one, ast.Starred) for one in node.args)
    for keyword in node.keywords:
        if keyword.arg is None:
            more, complete = _spread(keyword.value, scope)
            given |= more
            unknown = unknown or not complete
            continue
        given[keyword.arg] = _value(keyword.arg, keyword.value, scope, keyword.value.lineno)
        if isinstance(keyword.value, ast.Name):
            names[keyword.arg] = keyword.value.id
    return Call(name, node.lineno, given, names, variable, unknown)


def _spread(node: ast.expr, scope: Scope) -> tuple[dict[str, Value | Unread], bool]:
    """What `**node` gives, and whether that is all."""
    complete = True
    source: ast.expr | None = node
    if isinstance(node, ast.Name):
        bound = _assigned(node.id, scope)
        source = bound[0] if len(bound) == 1 else None
        complete = not _changed(node.id, scope)
    found: dict[str, Value | Unread] = {}
    if isinstance(source, ast.Dict):
        pairs = [
            (_constant(key), value) for key, value in zip(source.keys, source.values, strict=True)
        ]
    elif isinstance(source, ast.Call) and _name(source.func) == "dict" and not source.args:
        pairs = [(keyword.arg, keyword.value) for keyword in source.keywords]
    else:
        return found, False
    for key, value in pairs:
        if not isinstance(key, str):
            complete = False
        else:
            found[key] = _value(key, value, scope, value.lineno)
    return found, complete


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _changed(name: str, scope: Scope) -> bool:
    """Whether a dictionary is changed after it was made."""
    for node in ast.walk(scope[-1]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if _name(node.func.value) == name and node.func.attr not in _READS:
                return True
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            if any(isinstance(t, ast.Subscript) and _name(t.value) == name for t in targets):
                return True
    return False


def _assigned(name: str, scope: Scope) -> list[ast.expr]:
    """What a name is assigned in the innermost scope that assigns it; empty where nobody can tell."""
    for place in reversed(scope):
        values, other = _bindings(name, place)
        if other:
            return []
        if values:
            return values
    return []


def _bindings(name: str, place: ast.AST) -> tuple[list[ast.expr], bool]:
    """The values that a scope assigns to a name, and whether it is bound in another way as well."""
    values: list[ast.expr] = []
    if isinstance(place, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        a = place.args
        if any(one.arg == name for one in (*a.posonlyargs, *a.args, *a.kwonlyargs)):
            return values, True
    stack = list(ast.iter_child_nodes(place))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Assign) and any(_name(t) == name for t in node.targets):
            values.append(node.value)
        elif isinstance(node, ast.AnnAssign) and _name(node.target) == name:
            if node.value is not None:
                values.append(node.value)
        elif isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            parents = (ast.AugAssign, ast.For, ast.Tuple, ast.NamedExpr, ast.withitem)
            if not any(
                node in ast.iter_child_nodes(v) for v in ast.walk(place) if isinstance(v, parents)
            ):
                continue
            return values, True
        stack.extend(ast.iter_child_nodes(node))
    return values, False


def _value(key: str, node: ast.expr, scope: Scope, line: int) -> Value | Unread:
    text = ast.unparse(node)
    found, why = _known(node, scope, 0)
    if why:
        return Unread(key, why if len(why) <= 80 else why[:77] + "...", line)
    return Value(found, key, text if len(text) <= 80 else text[:77] + "...", line)


def _known(node: ast.expr, scope: Scope, depth: int) -> tuple[Any, str]:
    """The value of an expression, or why it is not known."""
    if depth > _MAX_DEPTH:
        return None, "it is nested too deeply"
    if isinstance(node, ast.Constant):
        return node.value, ""
    if isinstance(node, ast.List | ast.Tuple):
        return _listed(node.elts, scope, depth)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        inner, why = _known(node.operand, scope, depth + 1)
        if why or not isinstance(inner, int | float):
            return None, why or f"{ast.unparse(node)} is computed"
        return (-inner if isinstance(node.op, ast.USub) else not inner), ""
    if isinstance(node, ast.BinOp):
        return _computed(node, scope, depth)
    if isinstance(node, ast.Name):
        bound = _assigned(node.id, scope)
        if len(bound) == 1:
            found, why = _known(bound[0], scope, depth + 1)
            return found, why and f"{node.id}: {why}"
        if not bound and _is_function(node.id, scope):
            return node.id, ""
        several = "is assigned several times" if bound else "is not set in this file"
        return None, f"{node.id} {several}"
    return None, f"{ast.unparse(node)} is not a constant"


def _listed(elements: list[ast.expr], scope: Scope, depth: int) -> tuple[Any, str]:
    """A list; functions and classes in it stand by their names."""
    found = []
    for element in elements:
        value, why = _known(element, scope, depth + 1)
        if why and isinstance(element, ast.Name | ast.Attribute):
            value, why = _name(element), ""
        elif why and isinstance(element, ast.Call) and _name(element.func):
            inner = [_name(one) for one in element.args if _name(one)]
            value, why = (inner or [_name(element.func)])[0], ""
        if why:
            return None, why
        found.append(value)
    return found, ""


def _computed(node: ast.BinOp, scope: Scope, depth: int) -> tuple[Any, str]:
    left, why = _known(node.left, scope, depth + 1)
    right, other = _known(node.right, scope, depth + 1)
    combine = _ARITHMETIC.get(type(node.op))
    numbers = all(isinstance(one, int | float) for one in (left, right))
    if why or other or combine is None or not numbers or abs(left) > _LIMIT or abs(right) > _LIMIT:
        return None, why or other or f"{ast.unparse(node)} is computed"
    if right == 0 and isinstance(node.op, ast.Div | ast.FloorDiv):
        return None, f"{ast.unparse(node)} divides by 0"
    return combine(left, right), ""


def _is_function(name: str, scope: Scope) -> bool:
    """Whether a name is a function of the file, or an imported one."""
    for node in ast.walk(scope[0]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.ImportFrom) and name in {n.asname or n.name for n in node.names}:
            return True
    return False
