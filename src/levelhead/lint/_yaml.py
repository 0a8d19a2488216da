"""YAML as the tools read it: every key with its line, the last of two equal keys, anchors merged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import yaml

from levelhead.errors import RecordError
from levelhead.lint.settings import Unread, Value

__all__ = ["Tree", "flat", "is_base", "parse"]

MAX_DEPTH = 30
_MERGE = "tag:yaml.org,2002:merge"
MAX_NODES = 200_000

Tree = dict[str, Any]
"""Key -> `Leaf` or another `Tree`."""


class _Base(Tree):
    """A mapping that another one is built on, by `<<`."""


def is_base(tree: Tree) -> bool:
    """Whether a mapping is there for others that merge it."""
    return isinstance(tree, _Base)


class _Loader(yaml.SafeLoader):
    bases: set[int]
    """The nodes that are merged into others."""


# `1e-6` is a number for omegaconf and in every trainer, and text for YAML 1.1.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A scalar or a list, with its line."""

    value: Any
    text: str
    line: int


def parse(text: str, file: str) -> list[Tree]:
    """The mappings in a YAML text: of every document, and of a list of configurations every member.

    Args:
        text: YAML.
        file: its path, for messages.

    Returns:
        Nested dictionaries whose leaves know their lines.

    Raises:
        RecordError: it is no YAML, or nested too deeply.
    """
    found: list[Tree] = []
    loader = _Loader(text)
    loader.bases = set()
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            loader.bases.update(_merged(node))
            members = node.value if isinstance(node, yaml.SequenceNode) else [node]
            budget = iter(range(MAX_NODES))
            for member in members:
                if isinstance(member, yaml.MappingNode):
                    found.append(_tree(loader, member, 0, budget))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise RecordError(
            f"expected YAML, got something else: {error.problem}", file, line
        ) from error
    except RecursionError as error:
        raise RecordError("expected YAML, got something nested too deeply", file) from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecordError(f"expected YAML, got something else: {error}", file) from error
    finally:
        loader.dispose()
    return found


def _merged(node: yaml.Node) -> Iterator[int]:
    """The mappings below a node that others merge."""
    stack, seen = [node], set[int]()
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, yaml.ScalarNode):
            continue
        seen.add(id(one))
        if isinstance(one, yaml.SequenceNode):
            stack.extend(one.value)
            continue
        for key, inner in one.value:
            stack.append(inner)
            if key.tag == _MERGE:
                sources = inner.value if isinstance(inner, yaml.SequenceNode) else [inner]
                yield from map(id, sources)


def _tree(loader: _Loader, node: yaml.MappingNode, depth: int, budget: Iterator[int]) -> Tree:
    if depth > MAX_DEPTH or next(budget, None) is None:
        raise ValueError(f"more than {MAX_DEPTH} levels or {MAX_NODES} keys")
    found: Tree = {}
    own: Tree = {}
    for key, inner in node.value:
        if key.tag == _MERGE:
            sources = inner.value if isinstance(inner, yaml.SequenceNode) else [inner]
            for source in reversed(sources):
                if isinstance(source, yaml.MappingNode):
                    found |= _tree(loader, source, depth + 1, budget)
            continue
        if not isinstance(key, yaml.ScalarNode):
            continue
        name = str(key.value)
        if isinstance(inner, yaml.MappingNode) and not _is_template(inner):
            own[name] = _tree(loader, inner, depth + 1, budget)
        else:
            line = key.start_mark.line + 1
            own[name] = Leaf(_plain(loader, inner, depth, budget), _written(inner), line)
    whole = found | own
    return _Base(whole) if id(node) in loader.bases else whole


def _is_template(node: yaml.MappingNode) -> bool:
    """Whether this is `{{ name }}` without quotes, which YAML takes for a mapping of a mapping."""
    return bool(node.value) and isinstance(node.value[0][0], yaml.MappingNode)


def _plain(loader: _Loader, node: yaml.Node, depth: int, budget: Iterator[int]) -> Any:
    if depth > MAX_DEPTH or next(budget, None) is None:
        raise ValueError(f"more than {MAX_DEPTH} levels or {MAX_NODES} keys")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, one, depth + 1, budget) for one in node.value]
    if isinstance(node, yaml.MappingNode):
        return {
            str(key.value): _plain(loader, inner, depth + 1, budget) for key, inner in node.value
        }
    known = ("null", "bool", "int", "float")
    if node.tag in {f"tag:yaml.org,2002:{kind}" for kind in known}:
        return loader.construct_object(node)
    return node.value


def _written(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(_written(one) for one in node.value[:8]) + "]"
    return "{{...}}" if isinstance(node, yaml.MappingNode) and _is_template(node) else "{...}"


def flat(tree: Tree, prefix: str = "") -> dict[str, Value | Unread]:
    """Dotted key -> value; what another key or the environment decides is `Unread`.

    Args:
        tree: from `parse`.
        prefix: put before every key.

    Returns:
        The leaves.
    """
    found: dict[str, Value | Unread] = {}
    for name, inner in tree.items():
        key = f"{prefix}{name}"
        if isinstance(inner, dict):
            found |= flat(inner, f"{key}.")
        elif "${" in inner.text or "{{" in inner.text:
            why = f"{inner.text!r} is decided elsewhere"
            found[key] = Unread(key, why, inner.line)
        else:
            found[key] = Value(inner.value, key, inner.text, inner.line)
    return resolved(found)


def resolved(found: dict[str, Value | Unread]) -> dict[str, Value | Unread]:
    """Interpolations `${a.b}` of the same file put in where the key is there."""
    reference = re.compile(r"^'\$\{([\w.]+)\}' is decided elsewhere$")
    for key, one in list(found.items()):
        for _ in range(MAX_DEPTH):
            match = reference.match(one.why) if isinstance(one, Unread) else None
            if match is None or (target := found.get(match.group(1))) is None:
                break
            line = one.line
            if isinstance(target, Value):
                found[key] = one = Value(target.value, key, target.text, line)
            else:
                found[key] = one = Unread(key, target.why, line)
    return found
