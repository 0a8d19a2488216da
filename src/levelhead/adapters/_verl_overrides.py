"""Hydra overrides: one setting of verl's configuration each, and how it is written on a command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["Override", "hydra_text"]

_PLAIN = re.compile(r"[A-Za-z_/~.][\w/.@-]*")
_WORDS = frozenset({"null", "none", "true", "false", "yes", "no", "on", "off", "nan", "inf"})
"""Texts that YAML or Hydra would read as something else."""


@dataclasses.dataclass(frozen=True)
class Override:
    """One setting of verl's.

    Attributes:
        key: the dotted key.
        value: None, a truth value, a number, a text, or a nest of these.
        recipe_key: the key of the recipe that decides it, "" where none does.
        new: whether verl's own files do not have the key, so that it is added.
    """

    key: str
    value: Any
    recipe_key: str = ""
    new: bool = False

    def __str__(self) -> str:
        return f"{'+' if self.new else ''}{self.key}={hydra_text(self.value)}"


def hydra_text(value: Any) -> str:
    """A value in Hydra's grammar, without what a shell needs beyond it.

    Args:
        value: None, a truth value, a number, a text, or lists, tuples and mappings of these.

    Returns:
        The text that Hydra reads as this value.

    Example:
        >>> hydra_text({"rule": "log", "eta": 0.01, "names": ["a b", None]})
        "{rule:log,eta:0.01,names:['a b',null]}"
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return "{" + ",".join(f"{hydra_text(str(k))}:{hydra_text(v)}" for k, v in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(hydra_text(one) for one in cast(list[Any], value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # A backslash escapes a quotation mark, and itself only in front of one.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return "'" + escaped + "\\" * trailing + "'"
