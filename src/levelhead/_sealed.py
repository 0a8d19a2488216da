"""What was fitted, as a JSON text that is exact, versioned, and notices a change by hand.

A sealed text has a kind ("calibrator"), the version of its schema, the content, and a SHA-256 over
the three. The digest guards against accidents and against editing a fitted number; whoever wants to
forge a file can also compute a new digest, so a loader still checks what it gets.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from levelhead import __version__
from levelhead._write import write_text
from levelhead.errors import InvalidInputError, RecordError

__all__ = ["MAX_BYTES", "read_sealed", "sealed", "unsealed", "write_sealed"]

MAX_BYTES = 256 * 2**20
"""Nothing that is sealed here comes near this; a file beyond it is another file."""

_KEYS = ("levelhead", "schema_version", "levelhead_version", "content", "sha256")


def sealed(kind: str, version: str, content: dict[str, Any]) -> str:
    """`content` as a sealed JSON text.

    Floats are written with the digits that read back to the same bits.

    Args:
        kind: what it is, in a word: `"calibrator"`.
        version: of the content's schema.
        content: a nest of dicts with text keys, lists, tuples, texts, finite numbers, booleans, None
            and arrays, which become nested lists.

    Returns:
        The text, ASCII only, with a line for each entry of `content`.

    Raises:
        InvalidInputError: a number is not finite, a key is no text, or a value has no place in JSON.

    Example:
        >>> text = sealed("thermometer", "1", {"offset": 0.1})
        >>> unsealed(text, None, "thermometer", "1")
        {'offset': 0.1}
    """
    value = cast(dict[str, Any], _exact(content, "content"))
    head = {"levelhead": kind, "schema_version": version, "levelhead_version": __version__}
    lines = [f" {json.dumps(key)}: {json.dumps(text)}" for key, text in head.items()]
    entries = [f"  {json.dumps(key)}: {_compact(inner)}" for key, inner in value.items()]
    body = "{\n" + ",\n".join(entries) + "\n }" if entries else "{}"
    digest = json.dumps(_digest(kind, version, value))
    lines += [f' "content": {body}', f' "sha256": {digest}']
    return "{\n" + ",\n".join(lines) + "\n}\n"


def unsealed(
    text: str, path: str | os.PathLike[str] | None, kind: str, version: str
) -> dict[str, Any]:
    """The content of a sealed text.

    Args:
        text: what `sealed` wrote.
        path: the file that it is from, for the message; None where there is none.
        kind: what it must be.
        version: the schema version that the caller understands.

    Returns:
        The content, of plain JSON types.

    Raises:
        RecordError: the text is not JSON, not ours, of another kind or version, or was changed.
    """
    place = None if path is None else os.fspath(path)
    value = _parsed(text, place)
    if not isinstance(value, dict) or "levelhead" not in value or "content" not in value:
        raise RecordError(f"expected {_a(kind)} that levelhead wrote, got other JSON", place)
    document = cast(dict[str, Any], value)
    if document["levelhead"] != kind:
        got = document["levelhead"]
        what = _a(got) if isinstance(got, str) and got.isidentifier() else "something else"
        raise RecordError(f"expected {_a(kind)}, got {what}", place)
    found = document.get("schema_version")
    if found != version:
        writer = str(document.get("levelhead_version"))[:40]
        raise RecordError(
            f"expected {_a(kind)} of schema version {version}, got version {str(found)[:20]!r}, which "
            f"levelhead {writer} wrote; {_remedy(found, version)}",
            place,
        )
    content = document["content"]
    broken = set(document) != set(_KEYS) or not isinstance(content, dict)
    if broken or document["sha256"] != _digest(kind, version, content):
        raise RecordError(
            f"expected {_a(kind)} as levelhead wrote it, got one that was changed since (its digest "
            "differs); fit it again",
            place,
        )
    return cast(dict[str, Any], content)


def write_sealed(
    path: str | os.PathLike[str], kind: str, version: str, content: dict[str, Any]
) -> None:
    """Write a sealed text to a file, whole or not at all.

    Args:
        path: where to; its folder must exist.
        kind: what it is, in a word.
        version: of the content's schema.
        content: as for `sealed`.

    Raises:
        InvalidInputError: the content cannot be written exactly.
        RecordError: the file cannot be written.
    """
    write_text(Path(path), sealed(kind, version, content))


def read_sealed(path: str | os.PathLike[str], kind: str, version: str) -> dict[str, Any]:
    """The content of a sealed file.

    Args:
        path: the file.
        kind: what it must be.
        version: the schema version that the caller understands.

    Returns:
        The content, of plain JSON types.

    Raises:
        RecordError: there is no such file, it cannot be read, or `unsealed` refuses its text.
    """
    place = os.fspath(path)
    try:
        folder = Path(path).is_dir()
        size = 0 if folder else Path(path).stat().st_size
        raw = b""
        if not folder and size <= MAX_BYTES:
            with Path(path).open("rb") as stream:  # a device or a pipe has size 0 and no end
                raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise RecordError("expected a file, found none of that name", place) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise RecordError(f"cannot be read: {reason}", place) from error
    if folder:
        raise RecordError("expected a file, got a folder; name the file in it", place)
    if size > MAX_BYTES:
        raise RecordError(
            f"expected {_a(kind)}, got a file of {size / 1e6:,.0f} MB, far beyond the size of one",
            place,
        )
    if len(raw) > MAX_BYTES:
        raise RecordError(f"expected {_a(kind)}, got a file without an end", place)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(
            f"expected {_a(kind)} as UTF-8 text, got the byte 0x{raw[error.start]:02x} at {error.start}",
            place,
        ) from error
    return unsealed(text, path, kind, version)


def _parsed(text: str, place: str | None) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise RecordError("expected JSON, got an empty file", place) from error
        raise RecordError(
            f"expected JSON, got an error: {error.msg}", place, error.lineno
        ) from error
    except RecursionError as error:
        raise RecordError("expected JSON, got one that is nested too deeply", place) from error
    except ValueError as error:  # NaN, Infinity, or an integer of more digits than Python converts
        raise RecordError(f"expected JSON with finite numbers, got {error}", place) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _digest(kind: str, version: str, content: object) -> str:
    try:
        text = json.dumps([kind, version, content], sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError):  # 1e999 reads as infinity, which nothing of ours contains
        return ""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _compact(value: object) -> str:
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)


def _exact(value: object, place: str) -> object:
    """`value` of plain JSON types, with nothing lost; the place is for the message."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{place}: expected a finite number, got {value}")
        return value
    if isinstance(value, list | tuple):
        inner = cast(list[object], value)
        return [_exact(one, f"{place}[{i}]") for i, one in enumerate(inner)]
    if isinstance(value, dict):
        found: dict[str, object] = {}
        for key, one in cast(dict[object, object], value).items():
            if not isinstance(key, str):
                raise InvalidInputError(f"{place}: expected texts as keys, got {key!r}")
            found[key] = _exact(one, f"{place}[{key!r}]")
        return found
    raise InvalidInputError(
        f"{place}: expected a value that JSON has, got {type(value).__name__} {str(value)[:60]!r}"
    )


def _remedy(found: object, version: str) -> str:
    newer = isinstance(found, str) and found.isdecimal() and version.isdecimal()
    if newer and int(cast(str, found)[:9]) > int(version):
        return "upgrade levelhead, or fit it again with this version"
    return "fit it again with this version"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
