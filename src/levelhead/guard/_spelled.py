"""Evidence that stands in a file as text: numbers, and lists as JSON. CSV has nothing else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError

__all__ = ["is_text", "spelled_lists", "spelled_numbers"]

_NOTHING = frozenset({"", "nan", "none", "null", "n/a", "na"})
_BOOLEANS = {"true": 1.0, "false": 0.0}
_END = "correct it, or leave the column out"
MAX_WORD = 40
"""Characters of a value that an error shows."""


def is_text(kind: Any) -> bool:
    """Whether a column holds strings."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or str(kind) == "string_view"


def spelled_numbers(column: Any, name: str, what: str) -> FloatArray:
    """The numbers that text spells; true and false are 1 and 0.

    Args:
        column: Arrow array of N strings.
        name: the column, for errors.
        what: what is expected, for errors.

    Returns:
        (N,) numbers, NaN where the text says nothing.

    Raises:
        InvalidInputError: a text that is no number.
    """
    values = np.full(len(column), np.nan)
    for i, word in enumerate(column.to_pylist()):
        plain = "" if word is None else word.strip().casefold()
        if word is None or plain in _NOTHING:
            continue
        try:
            values[i] = _BOOLEANS[plain] if plain in _BOOLEANS else float(plain)
        except ValueError as error:
            raise InvalidInputError(
                f"{name}: expected {what}, got {word[:MAX_WORD]!r} in row {i + 1}; {_END}"
            ) from error
    return values


def spelled_lists(column: Any, name: str, what: str) -> Any:
    """The lists that text spells in JSON.

    Args:
        column: Arrow array of N strings.
        name: the column, for errors.
        what: what the lists hold, for errors.

    Returns:
        Arrow array of N lists (of numbers, or of lists of numbers), null where the text says
        nothing. Where no text is a list, an array of numbers; a number beside lists is a list of one.

    Raises:
        InvalidInputError: a text that is neither a list nor a number, or lists of several kinds.
    """
    found: list[Any] = []
    for i, word in enumerate(column.to_pylist()):
        plain = "" if word is None else word.strip()
        try:
            value = None if plain.casefold() in _NOTHING else json.loads(plain)
        except (ValueError, RecursionError) as error:
            raise _no_list(name, what, i, plain) from error
        if not (value is None or isinstance(value, list) or _is_number(value)):
            raise _no_list(name, what, i, plain)
        found.append(value)
    if any(isinstance(value, list) for value in found):
        found = [[value] if _is_number(value) else value for value in found]
    try:
        return pa.array(found)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInputError(
            f"{name}: expected JSON lists of {what}, got lists of several kinds; write them alike"
        ) from error


def _no_list(name: str, what: str, i: int, word: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name}: expected JSON lists of {what}, such as [0.5, 0.25], got {word[:MAX_WORD]!r} in row "
        f"{i + 1}; {_END}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
