"""Any table as batches of Arrow columns: Parquet, Arrow, CSV, JSON Lines and JSON.

Only the columns asked for are read, a batch at a time, so memory does not grow with the file.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from levelhead.errors import RecordError
from levelhead.readers._base import BATCH_ROWS
from levelhead.readers._columns import plain_column
from levelhead.readers._files import show
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._remote import BUFFER, AnyPath, arrow_source, is_remote
from levelhead.readers._values import Place, is_number, is_text

__all__ = ["PEEK", "Table", "open_table"]

PEEK = 100
"""Records of a JSON file that are looked at to learn its columns and its elicitation format."""

TEXT_BATCH_ROWS = 4096
"""Rows at a time where texts are read: they are thousands of characters each."""

JSON_BATCH_ROWS = 16_384
"""Records of JSON at a time: each is held whole, whatever else it says."""

_SCALARS = (str, int, float, bool, NoneType)

Columns = dict[str, Any]
Batches = Iterator[tuple[Columns, Place]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A file opened as a table.

    Attributes:
        schema: column names and types.
        rows: number of rows, None where it is not known in advance.
        metadata: what the file says about itself.
        batches: (column names, rows at a time) -> iterator of columns and their place.
    """

    schema: Mapping[str, pa.DataType]
    rows: int | None
    metadata: Mapping[str, str]
    batches: Callable[[Sequence[str], int], Batches]


def open_table(path: AnyPath, container: str) -> Table:
    """The file as a table.

    Args:
        path: the file.
        container: `parquet`, `arrow`, `csv`, `jsonl` or `json`.

    Returns:
        Its columns and a function that reads them.

    Raises:
        RecordError: the file is no such table.
    """
    kinds = {
        "parquet": _parquet,
        "arrow": _arrow,
        "csv": _csv,
        "jsonl": _json_lines,
        "json": _json,
    }
    if container not in kinds:
        raise RecordError(
            "expected Parquet, Arrow, CSV, JSON or JSON Lines, got a file that begins like none of "
            "them; convert it, or name its format with --format",
            show(path),
        )
    return kinds[container](path)


def _parquet(path: AnyPath) -> Table:
    # One column chunk is read a megabyte at a time: a file may be a single row group.
    with pq.ParquetFile(arrow_source(path)) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    _unique(schema.names, path)

    def batches(names: Sequence[str], size: int) -> Batches:
        buffer = BUFFER if is_remote(path) else 1 << 20
        with pq.ParquetFile(arrow_source(path), buffer_size=buffer, pre_buffer=False) as file:
            stream = file.iter_batches(batch_size=size, columns=list(names), use_threads=False)
            yield from _numbered(stream, names, path)

    return Table(_types(schema), rows, _metadata(schema), batches)


def _arrow(path: AnyPath) -> Table:
    with path.open("rb") as file, _arrow_reader(file) as reader:
        schema = reader.schema
    _unique(schema.names, path)

    def batches(names: Sequence[str], size: int) -> Batches:
        with path.open("rb") as file, _arrow_reader(file) as reader:
            if isinstance(reader, pa.ipc.RecordBatchFileReader):
                whole = (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                whole = iter(reader)
            parts = (b.slice(i, size) for b in whole for i in range(0, b.num_rows, size))
            yield from _numbered(parts, names, path)

    return Table(_types(schema), None, _metadata(schema), batches)


def _arrow_reader(file: Any) -> Any:
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    return pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)


def _csv(path: AnyPath) -> Table:
    """All columns as strings: what they hold is decided by the same rules as for JSON."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with path.open("rb") as file:
        head = file.readline()
    if not head.strip():
        raise RecordError("expected a line of column names, got an empty file", show(path))
    header = pa_csv.read_csv(io.BytesIO(head), parse_options=parse).column_names
    _unique(header, path)

    def batches(names: Sequence[str], size: int) -> Batches:
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), include_columns=list(names)
        )
        stream = pa_csv.open_csv(arrow_source(path), parse_options=parse, convert_options=convert)
        parts = (b.slice(i, size) for b in stream for i in range(0, b.num_rows, size))
        for columns, place in _numbered(parts, names, path):
            yield columns, dataclasses.replace(place, first=place.first + 1)

    return Table(_text_types(path, header, parse), None, {}, batches)


def _text_types(path: AnyPath, header: list[str], parse: Any) -> dict[str, pa.DataType]:
    """The types that the first rows suggest: they decide which column can be what."""
    with path.open("rb") as file:
        lines = list(islice(file, PEEK))
    try:
        sample = pa_csv.read_csv(io.BytesIO(b"".join(lines)), parse_options=parse)
    except pa.ArrowInvalid:  # a quoted field goes on past the sample
        return dict.fromkeys(header, pa.string())
    return _types(sample.schema)


def _json_lines(path: AnyPath) -> Table:
    records = json_lines(path)
    first = list(islice(records, PEEK))

    def batches(names: Sequence[str], size: int) -> Batches:
        nonlocal first, records
        stream = chain(first, records)
        first, records = [], json_lines(path)
        yield from _from_records(stream, names, size, path)

    return Table(_sampled([r for _, r in first]), None, {}, batches)


def _json(path: AnyPath) -> Table:
    value = json_object(path)
    if isinstance(value, dict):
        value = _rows_of(value)
    if not isinstance(value, list):
        raise RecordError(
            "expected an array of objects or one object a line, got neither; write JSON Lines",
            show(path),
        )
    if not value:
        raise RecordError("expected at least one record, got an empty array", show(path))
    for i, record in enumerate(value):
        if not isinstance(record, dict):
            raise RecordError(
                f"expected an array of objects, got {type(record).__name__!s} as item {i + 1}; "
                'write objects such as {"confidence": 0.9, "correct": 1}',
                show(path),
                i + 1,
            )

    def batches(names: Sequence[str], size: int) -> Batches:
        yield from _from_records(enumerate(value, start=1), names, size, path)

    return Table(_sampled(value[:PEEK]), len(value), {}, batches)


def _rows_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """One object as records: an object of equally long lists is a table by columns."""
    lengths = {len(v) if isinstance(v, list) else -1 for v in value.values()}
    if len(value) > 1 and len(lengths) == 1 and (n := lengths.pop()) > 0:
        return [{name: values[i] for name, values in value.items()} for i in range(n)]
    return [value]


def _from_records(
    records: Iterable[tuple[int, Mapping[str, Any]]], names: Sequence[str], size: int, path: AnyPath
) -> Batches:
    records, size = iter(records), min(size, JSON_BATCH_ROWS)
    while part := list(islice(records, size)):
        lines = np.array([line for line, _ in part], dtype=np.int64)
        columns = {name: _column([r.get(name) for _, r in part]) for name in names}
        yield columns, Place(path, lines=lines)


def _column(values: list[Any]) -> Any:
    """The values as Arrow would have them, but true and false are not taken for numbers."""
    column = _plain_column(values)
    if is_number(column.type) and any(type(value) is bool for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return column


def _plain_column(values: list[Any]) -> Any:
    """As `plain_column`, but lists of values of mixed types are lists of strings, not strings."""
    column = plain_column(values)
    if not is_text(column.type) or any(not isinstance(v, list | NoneType) for v in values):
        return column
    items = [item for value in values for item in value or ()]
    if not items or not all(isinstance(item, _SCALARS) for item in items):
        return column
    ends = accumulate((len(value or ()) for value in values), initial=0)
    starts = [None if value is None else end for value, end in zip(values, ends, strict=False)]
    return pa.ListArray.from_arrays(
        pa.array([*starts, len(items)], pa.int32()), plain_column(items)
    )


def _sampled(records: Sequence[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: _plain_column([r.get(name) for r in records]).type for name in names}


def _numbered(batches: Iterable[Any], names: Sequence[str], path: AnyPath) -> Batches:
    row = 1
    for batch in batches:
        if batch.num_rows:
            yield {name: batch.column(name) for name in names}, Place(path, first=row)
            row += batch.num_rows


def _unique(names: Sequence[str], path: AnyPath) -> None:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise RecordError(
            f"expected every column name once, got {twice[0]!r} twice; rename one", show(path)
        )


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in schema}


def _metadata(schema: pa.Schema) -> dict[str, str]:
    return {
        k.decode("utf-8", "replace"): v.decode("utf-8", "replace")
        for k, v in (schema.metadata or {}).items()
    }


__all__ += ["BATCH_ROWS", "TEXT_BATCH_ROWS"]
