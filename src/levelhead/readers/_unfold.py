"""Tables with a row for each prompt and lists of its samples, as tables with a row for each sample.

Tools that sample a prompt many times often write its answers, and what was right, as lists of one
length. A column of lists is that only where other columns agree; a chat is one text, not several.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import IntArray
from levelhead.errors import RecordError
from levelhead.readers._base import EVERYTHING, ReadLog, ReadOptions
from levelhead.readers._files import one_line, show
from levelhead.readers._remote import AnyPath
from levelhead.readers._roles import (
    ANSWER,
    ANSWERS,
    CONFIDENCE,
    CONFIDENCES,
    CORRECT,
    GOLD,
    LOGITS,
    MODEL,
    OUTCOME,
    PROBS,
    PROMPT,
    PROMPT_ID,
    ROW_ID,
    STATUS,
    TARGET,
    TEXT,
    TEXTS,
    WEIGHT,
    plain_names,
)
from levelhead.readers._tables import PEEK, Batches, Columns, Table
from levelhead.readers._values import Place, decoded, is_list, is_number, is_text

__all__ = ["holds_samples", "unfold", "unfolded"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

VAGUE = "text"
"""A name that a question may have as well as an answer: alone it says nothing."""

DOUBTFUL = "answer"
"""A name that the right answer may have as well as the given one."""

VAGUE_TRUTHS = ("y", "event")
"""Names of a truth that other lists have too, such as the classes of one record."""

FURTHER = frozenset({
    *PROMPT_ID, *ROW_ID, *PROMPT, *WEIGHT, *MODEL, *STATUS, *PROBS, *LOGITS, *TARGET, *ANSWER,
})  # fmt: skip
"""Further columns that are read without being asked for."""

MAX_NAMED = 4
"""Columns that a note or an error names."""


def is_value(kind: pa.DataType) -> bool:
    """Whether a column holds numbers, words, or true and false."""
    return is_number(kind) or is_text(kind) or pa.types.is_boolean(kind)


def holds_samples(kind: pa.DataType, element: Callable[[pa.DataType], bool] = is_value) -> bool:
    """Whether a column holds lists of samples.

    Args:
        kind: its type.
        element: whether a type can be that of one sample.

    Returns:
        True for lists of such values, or of nothing; False for a chat, which is a list of messages.
    """
    if not is_list(kind) or _is_chat(kind):
        return False
    return element(kind.value_type) or pa.types.is_null(kind.value_type)


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
    found = _Named.of(table.schema, options, texts, labelled=labelled)
    _refuse_words(table, found.truths, path)
    if not found.lists():
        return table
    if one := found.single(found.confidences):
        log.note(f"{one[0]!r} holds one confidence for all samples of a row")
    return unfold(
        table, path, log,
        needed=found.lists(), other=found.other(options), single=found.lone(options),
        drop=found.foreign(options),
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
            yield from _pieces(own, frozenset(lists), size, place, rows)
        log.note(counted.said(needed))

    rows = None if table.rows is None else round(table.rows * mean)
    return Table(schema, rows, table.metadata, batches)


@dataclasses.dataclass(frozen=True)
class _Named:
    """The columns that could play each part; `own` are texts that are asked for besides."""

    schema: Mapping[str, pa.DataType]
    truths: tuple[str, ...]
    texts: tuple[str, ...]
    own: tuple[str, ...]
    answers: tuple[str, ...]
    doubtful: tuple[str, ...]
    confidences: tuple[str, ...]
    gold: tuple[str, ...]

    @classmethod
    def of(
        cls,
        schema: Mapping[str, pa.DataType],
        options: ReadOptions,
        texts: Sequence[str],
        *,
        labelled: bool,
    ) -> _Named:
        plain = plain_names(schema)

        def there(asked: str | None, *names: str) -> tuple[str, ...]:
            if asked is not None:
                return (asked,) if asked in schema else ()
            return tuple(dict.fromkeys(plain[name] for name in names if name in plain))

        named = options.correct or options.outcome
        none = not labelled or (named is None and options.gold is not None)
        usual = there(options.text, *TEXT, *TEXTS)
        truths = there(named, *CORRECT, *OUTCOME)
        if named is None and len(truths) > 1:
            truths = tuple(name for name in truths if name not in VAGUE_TRUTHS)
        return cls(
            schema,
            truths=() if none else truths,
            texts=usual,
            own=tuple(name for name in texts if name in schema and name not in usual),
            answers=there(options.answer, *ANSWER, *ANSWERS),
            doubtful=there(None, DOUBTFUL) if options.answer is None else (),
            confidences=there(options.confidence, *CONFIDENCE, *CONFIDENCES),
            gold=there(options.gold, *GOLD),
        )

    def many(self, names: Iterable[str], element: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
        """Those that hold lists of samples."""
        return tuple(name for name in names if holds_samples(self.schema[name], element))

    def single(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that hold single values."""
        return tuple(
            name
            for name in names
            if not is_list(self.schema[name]) and not pa.types.is_null(self.schema[name])
        )

    def lists(self) -> tuple[str, ...]:
        """The columns of lists that make a row several samples; none where it is one record."""
        truths = self.many(self.truths, is_value)
        texts = self.many((*self.texts, *self.own), _is_said)
        answers = self.many(self.answers, is_value)
        told = self.single(self.truths)
        if not truths:
            graded = answers and self.gold and not self.truths
            if not graded and (not texts or (told and self.single(self.confidences))):
                return ()
        if truths or texts:  # beside them it may be the several right answers to one question
            answers = tuple(name for name in answers if name not in self.doubtful)
        return (*truths, *texts, *answers, *self.many(self.confidences, is_value))

    def lone(self, options: ReadOptions) -> tuple[str, ...]:
        """The columns of which one value cannot hold for several samples."""
        several = {*self.lists()}
        found = [] if several & {*self.truths} else list(self.single(self.truths))
        if options.answer is not None:
            found += self.single(self.answers)
        if not several & {*self.texts, *self.own, *self.answers}:
            vague = options.text is None
            found += [n for n in self.single(self.texts) if not (vague and n == VAGUE)]
        return tuple(found)

    def foreign(self, options: ReadOptions) -> tuple[str, ...]:
        """What cannot be of one sample, whatever its name says: a mean, a question, a right answer."""
        asked = {options.answer, options.gold, options.text, *options.by, *dict(options.asked)}
        found = [*self.single(self.answers), *self.doubtful]
        for names in (self.truths, self.texts):
            if {*self.lists()} & {*names}:
                found += self.single(names)
        return tuple(name for name in found if name not in asked)

    def other(self, options: ReadOptions) -> tuple[str, ...]:
        """Further columns of lists that may be samples; several right answers are not."""
        never = {*self.gold, options.gold}
        plain = plain_names(self.schema)
        used = {
            *(column for name, column in plain.items() if name in FURTHER),
            *(options.prompt_id, options.weight, options.model),
            *(*options.by, *options.evidence, *dict(options.asked)),
        }
        return tuple(
            name
            for name, kind in self.schema.items()
            if is_list(kind) and not _is_chat(kind) and name not in never
            if name in used or EVERYTHING in used
        )


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
            f"{self.total:,} samples{left}"
        )


def _is_chat(kind: pa.DataType) -> bool:
    """Whether each row is one chat: a list of messages."""
    if not is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    names = {field.name for field in kind.value_type}
    return "role" in names or "content" in names


def _is_said(kind: pa.DataType) -> bool:
    return is_text(kind) or _is_chat(kind)


def _refuse_words(table: Table, truths: Iterable[str], path: AnyPath) -> None:
    """Lists that are written as text, by CSV or beside single values, are no column of lists."""
    texts = [name for name in truths if is_text(table.schema[name])]
    if not texts:
        return
    first = next(table.batches(texts, PEEK), None)
    for name in () if first is None else texts:
        columns, place = first or ({}, Place(path))
        shown = decoded(columns[name]).to_pylist()
        lists = [_is_written_list(value) for value in shown]
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


def _is_written_list(value: str | None) -> bool:
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
            raise place.error(
                f"{name}: expected a list in every row, as in the first rows, got single values; "
                "write a list of one, or one row for each sample everywhere",
                _first_single(column),
            )
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


def _first_single(column: Any) -> int:
    """The first row that holds no list; mixed rows come as text, where lists are written as JSON."""
    values = column.to_pylist()
    return next(
        (
            i
            for i, value in enumerate(values)
            if value is not None and not (isinstance(value, str) and _is_written_list(value))
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


def _pieces(
    columns: Columns, lists: frozenset[str], size: IntArray, place: Place, most: int
) -> Iterator[tuple[Columns, Place]]:
    """The samples of some rows, at most `most` at a time."""
    row = np.repeat(np.arange(size.size), size)
    sample = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size)
    lines = place.numbers(size.size)[row]
    flat: Columns = {}
    for name, column in columns.items():
        if name in lists and is_list(column.type):
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
