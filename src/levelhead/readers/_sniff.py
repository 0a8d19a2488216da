"""What a file is, from its first bytes: never from its name alone, which is often wrong."""

from __future__ import annotations

import codecs
import json
import stat
import zipfile
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levelhead.errors import RecordError
from levelhead.readers._base import Head
from levelhead.readers._files import reading, show
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._remote import AnyPath, arrow_source

__all__ = ["container_of", "sniff"]

_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_STREAM = b"\xff\xff\xff\xff"
_SPACE = b" \t\r\n"


def container_of(path: AnyPath) -> str:
    """`parquet`, `arrow`, `zip`, `json`, `jsonl`, `csv` or `unknown`.

    Args:
        path: the file.

    Returns:
        The container. A single JSON object or array is `json`; a file with a suffix of CSV that is
        nothing else is `csv`.

    Raises:
        RecordError: the file cannot be read, is empty, or is compressed.
    """
    with reading(path):
        _refuse_pipe(path)
    with reading(path), path.open("rb") as file:
        start = file.read(4096)
        if not start.strip(b"\0" + _SPACE) or start == codecs.BOM_UTF8:
            while chunk := file.read(1 << 20):
                if chunk.strip(b"\0" + _SPACE):
                    break
            else:
                raise RecordError("expected at least one record, got an empty file", show(path))
        if start.startswith(b"PAR1"):
            return "parquet"
        if start.startswith(b"ARROW1") or start.startswith(_STREAM):
            return "arrow"
        if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
            return "zip"
        for magic, (name, command) in _COMPRESSED.items():
            if start.startswith(magic):
                raise RecordError(
                    f"expected a plain file, got one compressed with {name}; unpack it first "
                    f"({command})",
                    show(path),
                )
        if start.startswith(_WIDE):
            raise RecordError(
                "expected UTF-8 text, got UTF-16 or UTF-32; convert it", show(path), 1
            )
        text = start.removeprefix(codecs.BOM_UTF8).lstrip(_SPACE)
        if text[:1] == b"[":
            return "json"
        if text[:1] == b"{":
            return _json_or_lines(path)
        if path.suffix.lower() in (".csv", ".tsv"):
            return "csv"
        if path.suffix.lower() in (".jsonl", ".ndjson") or not text:
            return "jsonl"
    return "unknown"


def sniff(path: AnyPath) -> Head:
    """What is known of a file before a reader is chosen for it.

    Args:
        path: the file.

    Returns:
        Its container, its columns, its first record or the names of its members.

    Raises:
        RecordError: the file cannot be read, is empty, compressed or damaged.
    """
    container = container_of(path)
    with reading(path):
        if container == "parquet":
            return Head(path, container, tuple(pq.read_schema(arrow_source(path)).names))
        if container == "arrow":
            return Head(path, container, tuple(_arrow_schema(path).names))
        if container == "zip":
            with path.open("rb") as raw, zipfile.ZipFile(raw) as file:
                return Head(path, container, members=tuple(file.namelist()))
        if container == "jsonl":
            first = next(record for _, record in json_lines(path))
            return Head(path, container, tuple(first), first)
        if container == "json":
            return _json_head(path)
    return Head(path, container)


def _refuse_pipe(path: AnyPath) -> None:
    """A file is opened several times, so what can be read only once would hang or be lost."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RecordError(
            "expected a file, got a pipe or a device; write its content to a file first", show(path)
        )


def _json_head(path: AnyPath) -> Head:
    value = json_object(path)
    if isinstance(value, dict):
        return Head(path, "json", tuple(value), value)
    first: Any = next(islice(value, 1), None) if isinstance(value, list) else None
    if isinstance(first, dict):
        return Head(path, "json", tuple(first), first)
    return Head(path, "json")


def _json_or_lines(path: AnyPath) -> str:
    """A first line that is an object by itself with another line behind it makes JSON Lines."""
    with path.open("rb") as file:
        lines = (line for line in file if not line.isspace())
        first, second = next(lines, b""), next(lines, None)
    if second is None:
        return "json"
    try:
        json.loads(first.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        # Pretty-printed JSON opens with a bare brace; anything longer is a broken line.
        opening = first.removeprefix(codecs.BOM_UTF8).strip()
        return "jsonl" if opening.endswith(b"}") or path.suffix == ".jsonl" else "json"
    return "jsonl"


def _arrow_schema(path: AnyPath) -> pa.Schema:
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
        return reader.schema
