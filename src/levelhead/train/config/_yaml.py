"""YAML as people mean it: 1e-6 is a number, off is a word, and every key knows its line.

PyYAML follows YAML 1.1, where `1e-6` is text, and `off`, `no` and `y` are booleans. These are the plain
scalars of YAML 1.2 (the core schema), for reading and for writing alike.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml

__all__ = ["Document", "YamlProblem", "dump", "parse"]

MAX_DEPTH = 20

_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)$", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9][0-9_]*$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
)

_PLAIN = {"tag:yaml.org,2002:str", *(tag for tag, _, _ in _SCALARS)}


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind in (_Loader, _Dumper):
    _kind.yaml_implicit_resolvers = {}  # none of YAML 1.1's
    for _tag, _pattern, _first in _SCALARS:
        _kind.add_implicit_resolver(
            _tag, re.compile(_pattern), [("" if c == "\0" else c) for c in _first]
        )


class YamlProblem(Exception):
    """What is wrong with a text, and in which line of it.

    Args:
        text: one sentence.
        line: 1-based, or None.
    """

    def __init__(self, text: str, line: int | None = None) -> None:
        self.text, self.line = text, line
        super().__init__(text)


@dataclasses.dataclass(frozen=True)
class Document:
    """What a YAML text says, and where.

    Attributes:
        value: dicts, lists, texts, numbers, booleans and None.
        lines: the 1-based line of every key, by its path.
    """

    value: Any
    lines: dict[tuple[str, ...], int]


def parse(text: str) -> Document:
    """Read one YAML document.

    Args:
        text: YAML 1.2, or JSON; empty text is None.

    Returns:
        Its value, and the line of each key.

    Raises:
        YamlProblem: it is no YAML, a key stands twice or is no text, or it is nested too deeply.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[tuple[str, ...], int] = {}
        return Document(None if node is None else _value(loader, node, (), lines), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlProblem(
            f"expected YAML, got something else: {said}", mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise YamlProblem(f"expected YAML, got something else: {error}") from error


def _value(
    loader: _Loader, node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> Any:
    line = node.start_mark.line + 1
    if len(path) > MAX_DEPTH:
        raise YamlProblem(f"expected at most {MAX_DEPTH} levels, got more", line)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, inner in node.value:
            place = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem("expected a name as a key, got a list or a section", place)
            name = str(key.value)
            if name in found:
                first = lines[(*path, name)]
                raise YamlProblem(
                    f"the key {name!r} stands twice, first in line {first}; remove one", place
                )
            lines[(*path, name)] = place
            found[name] = _value(loader, inner, (*path, name), lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, n, (*path, str(i)), lines) for i, n in enumerate(node.value)]
    if node.tag not in _PLAIN:
        raise YamlProblem(f"expected a plain value, got one with the tag {node.tag}", line)
    if node.tag == "tag:yaml.org,2002:int":
        return int(node.value.replace("_", ""))
    return loader.construct_object(node)


def dump(value: Any) -> str:
    """Plain data as YAML that `parse` reads back to the same.

    Args:
        value: dicts with text keys, lists, texts, numbers, booleans and None.

    Returns:
        Text, keys in their order.
    """
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
