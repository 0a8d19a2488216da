"""Rows of data files, each with its place, and what their columns say.

Parquet, Arrow, CSV, JSON and JSON Lines, or a folder of Parquet or Arrow files (as the `datasets`
library saves them). Only the columns that a task names are read.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from levelhead.errors import RecordError
from levelhead.readers._columns import as_label
from levelhead.readers._files import one_line, reading, show
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import TEXT_BATCH_ROWS, open_table
from levelhead.tasks._base import Message

__all__ = [
    "Row",
    "check_slots",
    "columns_of",
    "filled",
    "is_event",
    "messages",
    "plain",
    "read_rows",
    "slots",
    "texts",
]

SUFFIXES = (".arrow", ".parquet", ".pq")
MAX_LISTED = 20
SPLITS = "dataset_dict.json"
CACHED = "cache-"
"""What the `datasets` library writes beside its tables: results of earlier calls."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        path: the file, as a message shows it.
        line: its 1-based row or line.
        values: what the columns that were asked for hold.
    """

    path: str
    line: int
    values: Mapping[str, Any]

    def error(self, problem: str) -> RecordError:
        """The error that names this row."""
        return RecordError(one_line(problem), self.path, self.line)


def read_rows(path: str | Path, names: Iterable[str]) -> list[Row]:
    """The rows of a file, or of every table in a folder in the order of their names.

    Args:
        path: a table, or a folder with tables directly in it.
        names: the columns to read; `a.b` is the field `b` of the column `a` where there is no
            column of that whole name.

    Returns:
        At least one row.

    Raises:
        RecordError: the file cannot be read, a column is not in it, or it has no rows.
    """
    wanted = list(dict.fromkeys(names))
    rows: list[Row] = []
    for file in _files(Path(path)):
        container = container_of(file)
        with reading(file):
            records = _json_records(file, container)
            if records is None:
                rows += _table_rows(file, container, wanted)
                continue
            top = _tops(wanted, _keys(records), file)
            rows += [
                Row(show(file), line, {n: _field(record.get(top[n]), n, top[n]) for n in wanted})
                for line, record in records
            ]
    if not rows:
        raise RecordError("expected at least one row, got none", show(path))
    return rows


def columns_of(path: str | Path) -> tuple[str, ...]:
    """The names of the columns of a file, or of the first table in a folder.

    Args:
        path: a table, or a folder with tables directly in it.

    Returns:
        The names, in the order of the file.

    Raises:
        RecordError: the file cannot be read.
    """
    file = _files(Path(path))[0]
    container = container_of(file)
    with reading(file):
        records = _json_records(file, container)
        return tuple(open_table(file, container).schema if records is None else _keys(records))


def slots(template: str) -> list[str]:
    """The columns that a template names in braces.

    Args:
        template: text with `{column}` slots; `{{` and `}}` stand for braces.

    Returns:
        The names in their order.

    Raises:
        ValueError: a brace is not closed, or a slot is empty or has a format.
    """
    found: list[str] = []
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name or form or conversion:
            raise ValueError("a slot is the name of a column and nothing else, such as {age}")
        found.append(name)
    return found


def check_slots(template: str, path: str | Path) -> list[str]:
    """The columns of a template, each of which the file has.

    Args:
        template: text with `{column}` slots.
        path: the file or folder that the rows come from.

    Returns:
        The names in their order.

    Raises:
        RecordError: the template is broken or names a column that the file lacks.
    """
    try:
        names = slots(template)
    except ValueError as error:
        raise RecordError(
            f"prompt: expected a text with {{column}} slots, got a template that is broken "
            f"({error}); write {{{{ and }}}} for braces",
            show(path),
        ) from error
    schema = columns_of(path)
    for name in names:
        if name not in schema and name.partition(".")[0] not in schema:
            raise _no_column(f"prompt: slot {{{name}}}", name, schema, show(path))
    return names


def filled(template: str, row: Row) -> str:
    """The template with the values of a row.

    Args:
        template: text with `{column}` slots.
        row: has them all.

    Returns:
        Text; whole numbers lose their `.0`, lists are joined by commas.

    Raises:
        RecordError: a slot has no value in this row.
    """
    parts: list[str] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            parts.append(_words(row, name))
    return "".join(parts)


def messages(value: Any, name: str, row: Row) -> tuple[Message, ...]:
    """A conversation from a column: messages, their JSON, or the text of one user message.

    Args:
        value: what the column holds.
        name: the column.
        row: where it stands.

    Returns:
        At least one message, the last one not by the assistant.

    Raises:
        RecordError: it is none of these, or says nothing.
    """
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise row.error(f"{name}: expected messages as JSON, got {error}") from error
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, Sequence) or not value:
        raise row.error(f"{name}: expected a text or a list of messages, got {value!r:.60}")
    found: list[Message] = []
    for one in value:
        role = one.get("role") if isinstance(one, Mapping) else None
        content = one.get("content") if isinstance(one, Mapping) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise row.error(
                f"{name}: expected messages with the texts role and content, got {one!r:.60}"
            )
        found.append({"role": role, "content": content})
    if not any(one["content"].strip() for one in found):
        raise row.error(f"{name}: expected a prompt, got an empty one; remove the row")
    if found[-1]["role"] == "assistant":
        raise row.error(
            f"{name}: expected the user to speak last, got a message of the assistant; cut the "
            "conversation before it"
        )
    return tuple(found)


def is_event(value: Any, name: str, row: Row) -> float:
    """An outcome as 1.0 or 0.0.

    Args:
        value: 0/1, true/false, or a word that says so.
        name: the column.
        row: where it stands.

    Returns:
        1.0 or 0.0.

    Raises:
        RecordError: there is none, or it is neither.
    """
    label = as_label(value, name=name, path=row.path, line=row.line)
    if label is None:
        raise row.error(f"{name}: expected 0 or 1, got nothing; remove the row or give its outcome")
    return label


def texts(value: Any, name: str, row: Row) -> tuple[str, ...]:
    """Right answers: one, or a list of which one is enough.

    Args:
        value: a text, a number, or a list of them.
        name: the column.
        row: where it stands.

    Returns:
        At least one text that is not blank, each once.

    Raises:
        RecordError: there is none.
    """
    several = value if isinstance(value, list | tuple) else [value]
    found = [plain(one).strip() for one in several if not _is_nothing(one)]
    kept = tuple(dict.fromkeys(one for one in found if one))
    if not kept:
        raise row.error(f"{name}: expected a right answer, got nothing; remove the row or give one")
    return kept


def _files(path: Path) -> list[Path]:
    path = path.expanduser()
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix in SUFFIXES and not file.name.startswith(CACHED)
    )
    if files:
        return files
    hint = "; name one of its splits" if (path / SPLITS).is_file() else ""
    raise RecordError(
        f"expected a folder with {', '.join(SUFFIXES)} files directly in it, got none{hint}",
        show(path),
    )


def _table_rows(file: Path, container: str, wanted: Sequence[str]) -> list[Row]:
    table = open_table(file, container)
    top = _tops(wanted, table.schema, file)
    rows: list[Row] = []
    for columns, place in table.batches(list(dict.fromkeys(top.values())), TEXT_BATCH_ROWS):
        lists = {name: column.to_pylist() for name, column in columns.items()}
        size = len(next(iter(lists.values())))
        rows += [
            Row(
                show(file),
                place.row(i),
                {n: _field(lists[top[n]][i], n, top[n]) for n in wanted},
            )
            for i in range(size)
        ]
    return rows


def _json_records(file: Path, container: str) -> list[tuple[int, Mapping[str, Any]]] | None:
    """The records of JSON Lines or of a JSON array, as they are; None for what else there is.

    A table would make texts of a column that has numbers in one row and lists in another.
    """
    if container == "jsonl":
        return list(json_lines(file))
    if container == "json":
        value = json_object(file)
        if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            return list(enumerate(value, start=1))
    return None


def _keys(records: Iterable[tuple[int, Mapping[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(name for _, record in records for name in record))


def _tops(names: Iterable[str], schema: Iterable[str], path: Path) -> dict[str, str]:
    """The column that each name is, or is a field of."""
    known = set(columns := list(schema))
    found: dict[str, str] = {}
    for name in names:
        top = name if name in known else name.partition(".")[0]
        if top not in known:
            raise _no_column("column", name, columns, show(path))
        found[name] = top
    return found


def _no_column(role: str, name: str, schema: Iterable[str], path: str) -> RecordError:
    names = list(schema)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    return RecordError(f"{role}: expected one of {listed}, got {name!r}{hint}", path)


def _field(value: Any, name: str, top: str) -> Any:
    if name == top:
        return value
    for key in name.split(".")[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _words(row: Row, name: str) -> str:
    value = row.values[name]
    if _is_nothing(value):
        raise row.error(f"prompt: expected a value for {{{name}}}, got nothing; remove the row")
    return plain(value)


def _is_nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> str:
    """A value as it reads in a text: whole numbers without `.0`, lists joined by commas."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value)
    return str(value)
