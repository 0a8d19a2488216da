"""The calls of a Python file and what their arguments are, without running it.

A value is known where it is written down: a literal, a name that is assigned one literal, arithmetic on
such numbers, a dictionary of them behind `**`, and an attribute that is set once, beside the call.
Everything else is `Unread`.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import operator
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from levelhead.errors import RecordError
from levelhead.lint._bindings import Scope, assigned, imported_or_defined
from levelhead.lint.settings import Unread, Value

__all__ = ["Call", "calls"]

_SOURCES = ("trl", "unsloth", "open_r1", "swift", "peft", "levelhead")
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
_FUNCTIONS = ("reward_funcs", "advantage")
"""Arguments in which a function stands by its name."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        name: of what is called, without its module.
        line: 1-based.
        given: keyword -> value.
        names: keyword -> name, dotted, where the argument is one.
        made_by: keyword -> name of the function, where the argument is the result of a call.
        later: keyword -> (attribute -> value) of what is set on an argument that is a name.
        variable: what the result is assigned to, dotted, or empty.
        open: whether `*` or `**` brings in arguments that are not known.
    """

    name: str
    line: int
    given: Mapping[str, Value | Unread]
    names: Mapping[str, str]
    made_by: Mapping[str, str]
    later: Mapping[str, Mapping[str, Value | Unread]]
    variable: str
    open: bool


def calls(
    text: str,
    file: str,
    wanted: Collection[str],
    *,
    suffix: str,
    positions: Sequence[str] = (),
) -> list[Call]:
    """The calls of some names, and of every other name with a suffix.

    Args:
        text: Python.
        file: its path, for messages.
        wanted: names of classes.
        suffix: of further names.
        positions: the keywords of the positional arguments of names with that suffix, in their order.

    Returns:
        The calls in the order of their lines; without those of a class of the same name that is
        imported from another package, or defined in the file without a parent. Attributes that are set
        on a result, once and beside the call, count as given.

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
    if suffix not in text and not any(name in text for name in wanted):
        return []
    aliases, foreign = _imports(tree, wanted)
    survey = _Survey(tree)
    found = []
    for place, node, variable in survey.calls:
        name = aliases.get(_name(node.func), _name(node.func))
        if name not in foreign and (name in wanted or name.endswith(suffix)):
            order = positions if name.endswith(suffix) else ()
            found.append(_call(node, name, variable, place, survey, order))
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


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a statement stands: the scopes around it, and the list of statements it is one of."""

    scope: Scope
    block: int
    line: int


@dataclasses.dataclass(frozen=True)
class _Write:
    """`variable.key = value`; no value where it is set in another way."""

    variable: str
    key: str
    value: ast.expr | None
    place: _Place


class _Survey:
    """Every call and every attribute that is set, from one walk through a file."""

    def __init__(self, tree: ast.Module) -> None:
        self.calls: list[tuple[_Place, ast.Call, str]] = []
        self.writes: dict[str, list[_Write]] = {}
        start = _Place((tree,), 0, 0)
        stack: list[tuple[ast.AST, _Place, str]] = [(tree, start, "")]
        while stack:
            node, place, variable = stack.pop()
            if isinstance(node, ast.Call):
                self.calls.append((place, node, variable))
            if isinstance(node, ast.Call | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
                for one in _writes(node, place):
                    self.writes.setdefault(one.variable, []).append(one)
            target = _target(node)
            scope = _inside(node, place.scope)
            for child, block in _children(node):
                line = child.lineno if isinstance(child, ast.stmt) else place.line
                inner = _Place(scope, place.block if block is None else block, line)
                stack.append((child, inner, target))

    def set_on(self, variable: str, place: _Place) -> dict[str, Value | Unread]:
        """The attributes that are set on a variable which is bound at `place`."""
        found: dict[str, Value | Unread] = {}
        if not variable:
            return found
        base = variable.partition(".")[0]
        once = base != variable or len(assigned(base, place.scope)) <= 1
        for one in self.writes.get(variable, ()):
            if not _same(base, place.scope, one.place.scope):
                continue
            beside = one.place.block == place.block and one.place.line > place.line and once
            again = isinstance(found.get(one.key), Unread | Value)
            if beside and not again and one.value is not None:
                found[one.key] = _value(one.key, one.value, one.place.scope, one.place.line)
            elif one.place.line > place.line or one.place.scope != place.scope:
                why = f"{one.variable}.{one.key} is set elsewhere as well"
                found[one.key] = Unread(one.key, why, one.place.line)
        return found


def _same(base: str, here: Scope, there: Scope) -> bool:
    """Whether a name is the same variable in two places."""
    if here == there or base == "self":
        return True
    inner = there[len(here) :] if there[: len(here)] == here else None
    return inner is not None and not any(
        base in _parameters(one) or assigned(base, (one,)) for one in inner
    )


def _parameters(node: ast.AST) -> set[str]:
    """The names of the arguments of a function."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return set()
    a = node.args
    return {one.arg for one in (*a.posonlyargs, *a.args, *a.kwonlyargs)}


def _writes(node: ast.AST, place: _Place) -> Iterator[_Write]:
    """The attributes that a statement, or a call of `setattr`, sets."""
    if isinstance(node, ast.Call):
        if _name(node.func) == "setattr" and len(node.args) == 3 and _dotted(node.args[0]):
            key = _constant(node.args[1])
            if isinstance(key, str):
                yield _Write(_dotted(node.args[0]), key, node.args[2], place)
        return
    value = None if isinstance(node, ast.AugAssign | ast.Delete) else getattr(node, "value", None)
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    for target in targets:
        if isinstance(target, ast.Attribute) and _dotted(target.value):
            yield _Write(_dotted(target.value), target.attr, value, place)


def _children(node: ast.AST) -> Iterator[tuple[ast.AST, int | None]]:
    """The nodes below, last first; statements with the list that they are in."""
    found: list[tuple[ast.AST, int | None]] = []
    for _, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            found.append((value, None))
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, ast.AST):
                    found.append((one, id(value) if isinstance(one, ast.stmt) else None))
    return reversed(found)


def _inside(node: ast.AST, scope: Scope) -> Scope:
    """The scopes around what is in a node; functions do not see the names of their class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return (*(one for one in scope if not isinstance(one, ast.ClassDef)), node)
    return (*scope, node) if isinstance(node, ast.ClassDef) else scope


def _target(node: ast.AST) -> str:
    """The name that an assignment binds."""
    if isinstance(node, ast.Assign):
        return _dotted(node.targets[0])
    return _dotted(node.target) if isinstance(node, ast.AnnAssign | ast.NamedExpr) else ""


def _dotted(node: ast.AST) -> str:
    """`a.b.c`, empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _call(
    node: ast.Call, name: str, variable: str, place: _Place, survey: _Survey, order: Sequence[str]
) -> Call:
    given: dict[str, Value | Unread] = {}
    names: dict[str, str] = {}
    made_by: dict[str, str] = {}
    later: dict[str, Mapping[str, Value | Unread]] = {}
    scope = place.scope
    stars = [i for i, one in enumerate(node.args) if isinstance(one, ast.Starred)]
    known = node.args[: stars[0]] if stars else node.args
    unknown = bool(stars)
    pairs: list[tuple[str | None, ast.expr]] = [*zip(order, known, strict=False)]
    for key, value in (*pairs, *((one.arg, one.value) for one in node.keywords)):
        if key is None:
            more, complete = _spread(value, scope)
            given |= more
            unknown = unknown or not complete
            continue
        given[key] = _value(key, value, scope, value.lineno)
        if dotted := _dotted(value):
            names[key] = dotted
            later[key] = survey.set_on(dotted, dataclasses.replace(place, line=0))
        if isinstance(value, ast.Call):
            made_by[key] = _stands_for(value)
    given |= survey.set_on(variable, place)
    return Call(name, node.lineno, given, names, made_by, later, variable, unknown)


def _stands_for(node: ast.Call) -> str:
    """What the result of a call is named after: the function, or what it is given (`partial(f)`)."""
    inner = [_name(one) for one in node.args if _name(one)]
    return (inner or [_name(node.func)])[0]


def _spread(node: ast.expr, scope: Scope) -> tuple[dict[str, Value | Unread], bool]:
    """What `**node` gives, and whether that is all."""
    complete = True
    source: ast.expr | None = node
    if isinstance(node, ast.Name):
        bound = assigned(node.id, scope)
        source = bound[0] if len(bound) == 1 else None
        complete = node.id not in _changed(scope[-1])
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


@functools.lru_cache(maxsize=64)
def _changed(place: ast.AST) -> frozenset[str]:
    """The dictionaries that are changed after they were made."""
    found: set[str] = set()
    for node in ast.walk(place):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in _READS:
                found.add(_name(node.func.value))
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            found.update(_name(t.value) for t in targets if isinstance(t, ast.Subscript))
    return frozenset(found)


def _value(key: str, node: ast.expr, scope: Scope, line: int) -> Value | Unread:
    text = ast.unparse(node)
    found, why = _known(node, scope, 0)
    if isinstance(node, ast.Name) and not why and key not in _FUNCTIONS:
        why = "" if assigned(node.id, scope) else f"{node.id} is not set in this file"
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
        bound = assigned(node.id, scope)
        if len(bound) == 1:
            found, why = _known(bound[0], scope, depth + 1)
            return found, why and f"{node.id}: {why}"
        if not bound and imported_or_defined(node.id, scope[0]):
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
            value, why = _stands_for(element), ""
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
