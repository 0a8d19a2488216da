"""JSON and JSON Lines, with the path and the line in every error.

`NaN` and the infinities are accepted, since Python and JavaScript tools write them. Lone surrogates
(`"\\ud800"`), which no UTF-8 file can hold, are replaced by U+FFFD.
"""

from __future__ import annotations

import codecs
import json
import json.scanner
import re
from collections.abc import Iterator
from typing import Any

from levelhead.errors import RecordError
from levelhead.readers._files import reading, show
from levelhead.readers._remote import AnyPath

__all__ = ["json_lines", "json_object"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_ENDS = ("\n", "\r\n", "")
_make_scanner: Any = json.scanner.make_scanner
_scan = _make_scanner(json.JSONDecoder())
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def json_lines(path: AnyPath) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a JSON Lines file with their 1-based line numbers; blank lines are skipped.

    Args:
        path: the file, UTF-8, with or without a byte order mark.

    Returns:
        An iterator of (line, record).

    Raises:
        RecordError: the file cannot be read, a line is no JSON object, or there is no record at
            all.
    """
    found = False
    with reading(path), path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = _without_mark(raw, path) if number == 1 else raw
            if line.isspace() or not line:
                continue
            record = _quick(line) or _parse(line, path, number)
            if not isinstance(record, dict):
                raise RecordError(
                    f"expected a JSON object on every line, got {_kind(record)}; "
                    'write one object such as {"confidence": 0.9, "correct": 1} on each line',
                    show(path),
                    number,
                )
            found = True
            yield number, record
    if not found:
        raise RecordError("expected at least one record, got an empty file", show(path))


def json_object(path: AnyPath) -> Any:
    """The value that a whole JSON file holds.

    Args:
        path: the file, UTF-8, with or without a byte order mark.

    Returns:
        Whatever the JSON says: usually a dict or a list.

    Raises:
        RecordError: the file cannot be read or is not JSON; with the line of a syntax error.
    """
    with reading(path):
        raw = path.read_bytes()
        if not raw.strip():
            raise RecordError("expected at least one record, got an empty file", show(path))
        return _parse(_without_mark(raw, path), path, None)


def _quick(raw: bytes) -> Any:
    """The record where the line is one plain object, None where it needs a closer look."""
    try:
        text = raw.decode("utf-8")
        value, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    return value if text[end:] in _ENDS and b"\\u" not in raw else None


def _parse(raw: bytes, path: AnyPath, number: int | None) -> Any:
    """`number` is the line that `raw` is, or None where it is the whole file."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = number if number is not None else raw.count(b"\n", 0, error.start) + 1
        raise RecordError(
            f"expected UTF-8 text, got the byte 0x{raw[error.start]:02x}; convert the file",
            show(path),
            line,
        ) from error
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if number is None else f"column {error.pos + 1}"
        raise RecordError(
            f"expected JSON, got an error in {where}: {error.msg}; correct or remove the line",
            show(path),
            error.lineno if number is None else number,
        ) from error
    except RecursionError as error:
        raise RecordError(
            "expected a record, got JSON that is nested too deeply; flatten it", show(path), number
        ) from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise RecordError(
            "expected numbers of a usual size, got an integer with thousands of digits; correct it",
            show(path),
            number,
        ) from error
    return _clean(value) if _ESCAPE.search(raw) else value


def _without_mark(raw: bytes, path: AnyPath) -> bytes:
    if raw.startswith(_WIDE):
        raise RecordError(
            "expected UTF-8 text, got UTF-16 or UTF-32; convert the file", show(path), 1
        )
    return raw.removeprefix(codecs.BOM_UTF8)


def _clean(value: Any) -> Any:
    """A copy without lone surrogates (paired ones are one character by now)."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return value


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")
