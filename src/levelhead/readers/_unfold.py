"""Tables with a row for each prompt and lists of its samples, as tables with a row for each sample.

Tools that sample a prompt many times often write its answers, and what was right, as lists of one
length. A column of lists is that only where other columns agree; a chat is one text, not several.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import IntArray
from levelhead._text import plural
from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog, ReadOptions
from levelhead.readers._files import one_line, show
from levelhead.readers._remote import AnyPath
from levelhead.readers._tables import PEEK, Batches, Columns, Table
from levelhead.readers._unfold_named import Named, holds_samples, is_value
from levelhead.readers._values import Place, decoded, is_list, is_text

__all__ = ["holds_samples", "is_value", "is_written_list", "unfold", "unfolded"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

MAX_NAMED = 4
"""Columns that a note or an error names."""


def unfolded(
    table: Table,
    options: ReadOptions,
    path: AnyPath,
    log: ReadLog,
    *,
    texts: Sequence[str] = (),
    labelled: bool = True,
) -> Table:
    """The table with a row for each sample, where it has a row for each prompt.

    It has where the column of truths holds lists; or, without truths or without confidences, that of
    texts; or, where answers are compared with the right ones, that of answers.

    Args:
        table: any table.
        options: the names of its columns.
        path: the file, for errors.
        log: takes how many samples the rows hold.
        texts: columns of texts besides the usual ones.
        labelled: whether its truths are wanted.

    Returns:
        The table itself where no list holds samples; else one whose columns of lists hold their
        values, and whose other columns repeat theirs. Its number of rows is then an estimate.

    Raises:
        RecordError: some rows have lists and others have not; or, while it is read: lists of
            different lengths in one row, or one text or truth for several samples.
    """
    found = Named.of(table.schema, options, texts, labelled=labelled)
    _refuse_words(table, found.truths, path)
    if not found.lists():
        return table
    one = found.single(found.confidences)
    _refuse_words(table, one, path)
    if one:
        log.note(f"{one[0]!r} holds one confidence for all samples of a row")
    for name in found.several_right():
        log.note(f"{name!r} holds lists of right answers: any of them is right for every sample")
    return unfold(
        table, path, log,
        needed=found.lists(), other=found.other(options), single=found.lone(options),
        drop=found.foreign(options), plain=one,
    )  # fmt: skip


def unfold(
    table: Table,
    path: AnyPath,
    log: ReadLog,
    *,
    needed: Sequence[str],
    other: Iterable[str] = (),
    single: Sequence[str] = (),
    drop: Iterable[str] = (),
    plain: Iterable[str] = (),
) -> Table:
    """The table with a row for each item of some lists.

    Args:
        table: a table with columns of lists.
        path: the file, for errors.
        log: takes how many samples the rows hold.
        needed: columns of lists, of one length in each row; null stands for a list of nulls.
        other: columns of lists that are taken along if in the first rows they are as long.
        single: columns whose one value cannot hold for several samples.
        drop: columns to leave out where they are not taken along.
        plain: columns of one value for all samples, never of lists.

    Returns:
        A table of samples: `needed` and what was taken along hold single values, all others repeat
        theirs. Places say the row and which of its samples.

    Raises:
        RecordError: while it is read: see `unfolded`.
    """
    first = next(table.batches(list(dict.fromkeys([*needed, *other])), PEEK), None)
    if first is None:
        return table
    columns, place = first
    size = _sizes({name: columns[name] for name in needed}, place)
    lists = [*needed, *(n for n in other if n not in needed and _fits(columns[n], size))]
    dropped = set(drop)
    schema = {
        name: kind.value_type if name in lists and is_list(kind) else kind
        for name, kind in table.schema.items()
        if name in lists or name not in dropped
    }
    most, mean = max(int(size.max()), 1), float(size.mean())

    def batches(names: Sequence[str], rows: int) -> Batches:
        read = list(dict.fromkeys([*names, *needed, *single]))
        counted = _Counted(path)
        for columns, place in table.batches(read, max(rows // most, 1)):
            size = _sizes({name: columns[name] for name in needed}, place)
            _check_single({name: columns[name] for name in single}, size, needed[0], place)
            counted.add(size)
            own = {name: columns[name] for name in names}
            for name in (n for n in plain if n in own):
                _check_plain(name, own[name], place)
            yield from _pieces(own, frozenset(lists), size, place, rows)
        log.note(counted.said(needed))

    rows = None if table.rows is None else round(table.rows * mean)
    return Table(schema, rows, table.metadata, batches)


@dataclasses.dataclass
class _Counted:
    """How many rows hold how many samples."""

    path: AnyPath
    rows: int = 0
    empty: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, size: IntArray) -> None:
        some = size[size > 0]
        self.empty += int(size.size - some.size)
        if some.size:
            self.least = min(int(some.min()), self.least or int(some.min()))
            self.most = max(int(some.max()), self.most)
            self.rows, self.total = self.rows + int(some.size), self.total + int(some.sum())

    def said(self, names: Sequence[str]) -> str:
        """The note; an error where there is not one sample."""
        if not self.total:
            raise RecordError(
                one_line(
                    f"expected samples in the lists of {names[0]!r}, got empty lists in all "
                    f"{self.empty:,} rows; write what was sampled"
                ),
                show(self.path),
            )
        each = f"{self.most}" if self.least == self.most else f"{self.least} to {self.most}"
        noun = "sample" if self.most == 1 else "samples"
        one = self.rows == 1
        further = "further row holds" if self.empty == 1 else "further rows hold"
        left = f"; {self.empty:,} {further} none" if self.empty else ""
        return one_line(
            f"{show(self.path)}: {self.rows:,} {'row holds' if one else 'rows hold'} {each} {noun}"
            f"{'' if one else ' each'} in lists ({', '.join(map(repr, names[:MAX_NAMED]))}): "
            f"{plural(self.total, 'sample')}{left}"
        )


def _refuse_words(table: Table, truths: Iterable[str], path: AnyPath) -> None:
    """Lists that are written as text, by CSV or beside single values, are no column of lists."""
    texts = [name for name in truths if is_text(table.schema[name])]
    if not texts:
        return
    first = next(table.batches(texts, PEEK), None)
    for name in () if first is None else texts:
        columns, place = first or ({}, Place(path))
        shown = decoded(columns[name]).to_pylist()
        lists = [is_written_list(value) for value in shown]
        if any(lists):
            whole = all(
                written or value is None for written, value in zip(lists, shown, strict=True)
            )
            what = "the text of a list" if whole else "lists in some rows only"
            raise place.error(
                f"{name}: expected one value in every row, or a list of values in every row of JSON "
                f"Lines or Parquet, got {what}; write all rows in one way",
                lists.index(True) if whole else lists.index(not lists[0]),
            )


def is_written_list(value: str | None) -> bool:
    """Whether a text is that of a list in JSON."""
    if value is None or not value.startswith("["):
        return False
    try:
        return isinstance(json.loads(value), list)
    except (ValueError, RecursionError):
        return False


def _lengths(column: Any) -> IntArray:
    """(N,) length of each list, -1 for null."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int64)
    lengths = pc.fill_null(pc.list_value_length(column), -1)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def _fits(column: Any, size: IntArray) -> bool:
    """Whether its lists are as long as those of the samples, in every row that has one."""
    if not is_list(column.type):
        return False
    lengths = _lengths(column)
    return bool(((lengths == size) | (lengths < 0)).all() and (lengths >= 0).any())


def _sizes(columns: Columns, place: Place) -> IntArray:
    """(N,) how many samples each row holds, by lists that must agree."""
    lengths: dict[str, IntArray] = {}
    for name, column in columns.items():
        if not is_list(column.type) and not pa.types.is_null(column.type):
            raise _not_a_list(name, column, place)
        lengths[name] = _lengths(column)
    size = np.maximum(np.maximum.reduce(list(lengths.values())), 0)
    for own in lengths.values():
        bad = (own >= 0) & (own != size)
        if bad.any():
            raise _unequal(lengths, int(bad.argmax()), place)
    return size


def _unequal(lengths: Mapping[str, IntArray], i: int, place: Place) -> RecordError:
    counts = ", ".join(f"{own[i]} in {name!r}" for name, own in lengths.items() if own[i] >= 0)
    return place.error(
        f"expected lists of one length in a row, one value for each sample, got {counts}; "
        "correct the row",
        i,
    )


def _not_a_list(name: str, column: Any, place: Place) -> RecordError:
    return place.error(
        f"{name}: expected a list in every row, as in the first rows, got single values; "
        "write a list of one, or one row for each sample everywhere",
        _first_single(column),
    )


def _first_single(column: Any) -> int:
    """The first row that holds no list; mixed rows come as text, where lists are written as JSON."""
    values = column.to_pylist()
    return next(
        (
            i
            for i, value in enumerate(values)
            if value is not None and not (isinstance(value, str) and is_written_list(value))
        ),
        0,
    )


def _check_single(columns: Columns, size: IntArray, name: str, place: Place) -> None:
    for single, column in columns.items():
        bad = (size > 1) & column.is_valid().to_numpy(zero_copy_only=False)
        if bad.any():
            i = int(bad.argmax())
            raise place.error(
                f"{single}: expected a list of {size[i]} values, one for each sample as in {name!r}, "
                "got one value; write a list, or one row for each sample",
                i,
            )


def _check_plain(name: str, column: Any, place: Place) -> None:
    """Lists beside single values come as text, of which no number would be read."""
    if not is_text(column.type) or not pc.any(pc.starts_with(decoded(column), "[")).as_py():
        return
    lists = [is_written_list(value) for value in decoded(column).to_pylist()]
    if any(lists):
        raise place.error(
            f"{name}: expected one value in every row, as in the first rows, got a list; write all "
            "rows in one way",
            lists.index(True),
        )


def _pieces(
    columns: Columns, lists: frozenset[str], size: IntArray, place: Place, most: int
) -> Iterator[tuple[Columns, Place]]:
    """The samples of some rows, at most `most` at a time."""
    row = np.repeat(np.arange(size.size), size)
    sample = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size)
    lines = place.numbers(size.size)[row]
    flat: Columns = {}
    for name, column in columns.items():
        if name in lists and not pa.types.is_null(column.type):
            flat[name] = _flat(name, column, size, row, sample, place)
        else:
            plain = decoded(column) if is_text(column.type) else column
            flat[name] = plain.take(pa.array(row))
    for at in range(0, row.size, most):
        piece = slice(at, at + most)
        own = {name: column.slice(at, most) for name, column in flat.items()}
        yield own, Place(place.path, lines=lines[piece], samples=sample[piece] + 1)


def _flat(
    name: str, column: Any, size: IntArray, row: IntArray, sample: IntArray, place: Place
) -> Any:
    """The items of all lists; a null in place of a list is as many nulls."""
    if not is_list(column.type):
        raise _not_a_list(name, column, place)
    lengths = _lengths(column)
    bad = (lengths >= 0) & (lengths != size)
    if bad.any():
        i = int(bad.argmax())
        raise place.error(
            f"{name}: expected a list of {size[i]} values, one for each sample as in the first rows, "
            f"got {lengths[i]}; correct the row, or leave the column out",
            i,
        )
    items = decoded(column.flatten())
    if not ((lengths < 0) & (size > 0)).any():
        return items
    known = np.where(lengths < 0, 0, lengths)
    places = (np.cumsum(known) - known)[row] + sample
    return items.take(pa.array(places, mask=(lengths < 0)[row]))
