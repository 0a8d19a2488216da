"""Hydra overrides: one setting of verl's configuration each, and how it is written on a command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["Override", "hydra_text", "is_key"]

# A point that begins a number does not begin a text; Hydra reads letters of ASCII alone as they are.
_PLAIN = re.compile(r"(?:[A-Za-z_/]|\.(?![0-9]))[\w/.@:-]*", re.ASCII)
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = frozenset({"null", "none", "true", "false", "yes", "no", "on", "off", "nan", "inf"})
"""Texts that YAML or Hydra would read as something else."""

_NO_KEYS = frozenset({"null", "true", "false", "nan", "inf"})
"""Words that Hydra reads as values even where a key stands."""


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

    Edge cases: Hydra has no way to write a key that is not a plain word (`is_key`).

    Example:
        >>> hydra_text({"rule": "log", "eta": 0.01, "names": ["a b", None]})
        '{rule:log,eta:0.01,names:["a b",null]}'
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return "{" + ",".join(f"{k}:{hydra_text(v)}" for k, v in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(hydra_text(one) for one in cast(list[Any], value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # A shell's quotes are single ones, so these are double where they can be.
    quote = "'" if '"' in text and "'" not in text else '"'
    # A backslash escapes a quotation mark or an interpolation, and itself only in front of one.
    escaped = re.sub(r"(\\*)(\$\{)", lambda found: found[1] * 2 + "\\" + found[2], text)
    escaped = re.sub(rf"(\\*){quote}", lambda found: found[1] * 2 + "\\" + quote, escaped)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return quote + escaped + "\\" * trailing + quote


def is_key(name: object) -> bool:
    """Whether Hydra can be told a key of a mapping by this name.

    Args:
        name: the key.

    Returns:
        True for a word of letters, digits and underscores that is no value of Hydra's.
    """
    return isinstance(name, str) and bool(_KEY.fullmatch(name)) and name.lower() not in _NO_KEYS
