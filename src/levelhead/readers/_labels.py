"""Correctness from a file of its own, for logs that hold answers but not whether they are right."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog, ReadOptions
from levelhead.readers._columns import as_label, grade
from levelhead.readers._files import reading, show
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._logs import prompt_key
from levelhead.readers._remote import AnyPath, arrow_source
from levelhead.records import Predictions, id_text

__all__ = ["attach_labels", "needs_labels"]

ID_COLUMNS = (
    "prompt_id", "custom_id", "id", "doc_id", "question_id", "example_id", "sample_id", "item_id",
    "uid",
)  # fmt: skip
PROMPT_COLUMNS = ("prompt", "question", "input", "prompts")
CORRECT_COLUMNS = ("correct", "is_correct", "correctness", "label", "grade", "acc", "accuracy")
GOLD_COLUMNS = ("gold", "answer", "target", "ground_truth", "reference", "expected")


@dataclasses.dataclass
class _Labels:
    """The rows of a labels file: where each came from, its keys, and what it says."""

    path: AnyPath
    lines: list[int]
    ids: list[str] | None
    prompts: list[str] | None
    correct: list[float | None] | None
    gold: list[Any] | None
    key_columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def index(self, keys: list[str], name: str) -> dict[str, int]:
        """Row by key.

        Raises:
            RecordError: a key occurs twice.
        """
        rows: dict[str, int] = {}
        for i, key in enumerate(keys):
            if key in rows:
                raise RecordError(
                    f"{name}: expected each id once, got {key!r} again (first on line "
                    f"{self.lines[rows[key]]})",
                    show(self.path),
                    self.lines[i],
                )
            rows[key] = i
        return rows


def needs_labels(path: AnyPath, options: ReadOptions, what: str) -> None:
    """Refuses a log without correctness when the user gave no labels.

    Args:
        path: the log.
        options: what the user said.
        what: the format, as a user would call it.

    Raises:
        RecordError: there is no labels file.
    """
    if options.labels is None:
        raise RecordError(
            f"{what} do not say which answers are right; pass --labels with a Parquet or JSON "
            "Lines file that has 'correct' (0 or 1) or 'gold' (the right answer) for each prompt",
            show(path),
        )


def attach_labels(
    blocks: Iterable[Predictions],
    path: AnyPath,
    options: ReadOptions,
    log: ReadLog,
    *,
    ids: bool = True,
) -> Iterator[Predictions]:
    """Predictions with the correctness that `options.labels` holds for them.

    Rows are joined by id where both sides have ids, else by the text of the prompt where both have
    it, else, where the labels file has neither ids nor prompts, by order if both have the same
    number of rows; which one it was is said aloud. A row without a partner gets an unknown label
    and is counted in a warning.

    Args:
        blocks: predictions of one log.
        path: the log.
        options: what the user said; without `labels` the blocks pass through.
        log: where decisions and oddities go.
        ids: whether the log's prompt ids are ids that a labels file may know.

    Yields:
        The same blocks with labels.

    Raises:
        RecordError: the labels file cannot be read, names an id twice, or cannot be joined.
    """
    if options.labels is None:
        yield from blocks
        return
    labels = _load(options.labels, options, log)
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        return
    stream = chain([first], stream)
    shown = options.labels.name
    if ids and labels.ids is not None and first.prompt_id is not None:
        log.note(f"labels of {shown} are joined by id")
        yield from _by_key(stream, labels, labels.ids, "id", path, log)
    elif labels.prompts is not None and "prompt" in first.columns.column_names:
        log.note(f"labels of {shown} are joined by the text of the prompt")
        yield from _by_key(stream, labels, labels.prompts, "prompt", path, log)
    elif labels.key_columns:
        raise RecordError(
            f"labels: {' and '.join(map(repr, labels.key_columns))} cannot be matched: {path.name} "
            "has nothing of the kind; leave the column out if the rows are in the same order",
            show(labels.path),
        )
    else:
        yield from _by_order(list(stream), labels, path, log)


def _by_key(
    blocks: Iterable[Predictions],
    labels: _Labels,
    keys: list[str],
    name: str,
    path: AnyPath,
    log: ReadLog,
) -> Iterator[Predictions]:
    rows = labels.index(keys, name)
    used: set[tuple[str, str]] = set()
    total = unmatched = 0
    for block in blocks:
        own = block.columns["prompt"] if name != "id" else block.prompt_id
        if own is None:
            own = pa.nulls(len(block))
        own_keys = [None if k is None else k if name == "id" else prompt_key(k)
                    for k in own.to_pylist()]  # fmt: skip
        partner = [-1 if k is None else rows.get(k, -1) for k in own_keys]
        if labels.correct is not None:
            for key in own_keys:
                if key is not None and (block.model, key) in used and key in rows:
                    raise RecordError(
                        f"labels: {key!r} has several answers in {path.name}, so 'correct' cannot "
                        "tell which is right; give 'gold' instead",
                        show(labels.path),
                    )
                used.add((block.model, key or ""))
        total += len(block)
        unmatched += partner.count(-1)
        yield _labelled(block, labels, partner)
    if total and unmatched == total:
        raise RecordError(
            f"labels: none of the {total} records has its {name} among the {len(labels)} of this "
            f"file (for example {keys[0]!r}); leave the column out to join by order",
            show(labels.path),
        )
    if unmatched:
        log.warn(
            f"{path.name}: {unmatched} of {total} records have no label in {labels.path.name}; "
            "their correctness is unknown"
        )


def _by_order(
    blocks: list[Predictions], labels: _Labels, path: AnyPath, log: ReadLog
) -> Iterator[Predictions]:
    total = sum(map(len, blocks))
    if total != len(labels):
        raise RecordError(
            f"labels: expected ids or prompts that match those of {path.name}, or one row for each "
            f"of its {total} records in the same order, got {len(labels)} rows",
            show(labels.path),
        )
    models = {block.model for block in blocks}
    if len(models) > 1:
        raise RecordError(
            f"labels: {path.name} holds {len(models)} models, so rows cannot be joined by order; "
            "give ids",
            show(labels.path),
        )
    log.note(f"{path.name}: labels of {labels.path.name} are joined by order ({total} rows)")
    at = 0
    for block in blocks:
        yield _labelled(block, labels, list(range(at, at + len(block))))
        at += len(block)


def _labelled(block: Predictions, labels: _Labels, partner: list[int]) -> Predictions:
    """The block with the labels of the rows that `partner` names; -1 names none."""
    if labels.correct is not None:
        found = [None if j < 0 else labels.correct[j] for j in partner]
    else:
        gold = labels.gold or []
        # Nothing at all is a request that failed, not a wrong answer.
        found = [
            None if j < 0 or answer is None else grade(answer, gold[j])
            for answer, j in zip(_answers(block), partner, strict=True)
        ]
    values = np.array([math.nan if v is None else v for v in found], dtype=np.float64)
    return dataclasses.replace(block, label=values)


def _answers(block: Predictions) -> list[str | None]:
    """What each row answered: the parsed answer, else the whole text."""
    columns: list[list[Any]] = [
        block.columns[name].to_pylist()
        for name in ("answer", "text")
        if name in block.columns.column_names
    ]
    if not columns:
        return [None] * len(block)
    if len(columns) == 1:
        return columns[0]
    return [a if a is not None else b for a, b in zip(*columns, strict=True)]


def _load(path: AnyPath, options: ReadOptions, log: ReadLog) -> _Labels:
    lines: list[int] = []
    records: list[Mapping[str, Any]] = []
    for line, record in _records(path):
        lines.append(line)
        records.append(record)
    if not records:
        raise RecordError("expected at least one label, got none", show(path))
    fields = list(dict.fromkeys(name for record in records for name in record))
    correct_name = _column(options.correct, CORRECT_COLUMNS, fields, path)
    gold_name = None if correct_name else _column(options.gold, GOLD_COLUMNS, fields, path)
    if correct_name is None and gold_name is None:
        raise RecordError(
            "labels: expected a column 'correct' (0 or 1) or 'gold' (the right answer), got "
            + ", ".join(fields),
            show(path),
        )
    log.note(f"{path.name}: labels are read from {correct_name or gold_name!r}")
    id_name = _column(options.prompt_id, ID_COLUMNS, fields, path, strict=False)
    prompt_name = _column(None, PROMPT_COLUMNS, fields, path)
    return _Labels(
        path=path,
        lines=lines,
        ids=None if id_name is None else _keys(records, lines, id_name, path),
        prompts=None
        if prompt_name is None
        else [prompt_key(k) or "" for k in _keys(records, lines, prompt_name, path)],
        correct=None
        if correct_name is None
        else [
            as_label(record.get(correct_name), name=correct_name, path=show(path), line=line)
            for line, record in zip(lines, records, strict=True)
        ],
        gold=None if gold_name is None else [record.get(gold_name) for record in records],
        key_columns=tuple(name for name in (id_name, prompt_name) if name is not None),
    )


def _keys(
    records: list[Mapping[str, Any]], lines: list[int], name: str, path: AnyPath
) -> list[str]:
    keys: list[str] = []
    for line, record in zip(lines, records, strict=True):
        value = record.get(name)
        key = id_text(value)
        if key is None:
            raise RecordError(f"{name}: expected an id, got none", show(path), line)
        whole = isinstance(value, Mapping | list)
        keys.append(json.dumps(value, sort_keys=True, default=str) if whole else key)
    return keys


def _column(
    asked: str | None,
    synonyms: tuple[str, ...],
    fields: list[str],
    path: AnyPath,
    *,
    strict: bool = True,
) -> str | None:
    if asked is not None and (asked in fields or strict):
        if asked in fields:
            return asked
        raise RecordError(
            f"labels: expected a column {asked!r}, got {', '.join(fields)}", show(path)
        )
    return next((name for name in synonyms if name in fields), None)


def _records(path: AnyPath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, record) of a Parquet, JSON Lines or JSON file."""
    with reading(path), path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PAR1"):
        with reading(path):
            rows: list[Mapping[str, Any]] = pq.read_table(arrow_source(path)).to_pylist()
        yield from enumerate(rows, start=1)
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        rows = json_object(path)
        for i, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise RecordError("labels: expected an array of objects", show(path), i)
            yield i, row
    else:
        yield from json_lines(path)
