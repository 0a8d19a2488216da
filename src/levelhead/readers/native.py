"""levelhead's own files: what `write` puts down comes back exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levelhead.errors import RecordError
from levelhead.readers._base import BATCH_ROWS, Head, Reader, ReadLog, ReadOptions
from levelhead.readers._files import show
from levelhead.readers._remote import AnyPath
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import TEXT_BATCH_ROWS, open_table
from levelhead.readers._values import Place, decoded, is_text, labels, weights
from levelhead.readers.columns import by_model, check_by
from levelhead.records import (
    KINDS,
    PROVENANCES,
    SCHEMA_VERSION,
    STATUSES,
    Kind,
    Predictions,
    as_ids,
)

__all__ = ["KIND_KEY", "READER", "VERSION_KEY"]

VERSION_KEY, KIND_KEY = "levelhead.schema_version", "levelhead.kind"

_ALWAYS = frozenset({"confidence", "status", "provenance"})
_OWN = _ALWAYS | {"correct", "outcome", "prompt_id", "weight", "model", VERSION_KEY, KIND_KEY}


def _recognizes(head: Head) -> bool:
    columns = set(head.columns)
    return (
        head.container in ("parquet", "arrow", "jsonl", "json")
        and columns >= _ALWAYS
        and len(columns & {"correct", "outcome"}) == 1
    )


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    table = open_table(path, container_of(path))
    names = list(table.schema)
    _check_version(table.metadata.get(VERSION_KEY), path)
    check_by(options, table, path)
    kind: Kind = "answer" if "correct" in names else "event"
    if table.metadata.get(KIND_KEY, kind) != kind:
        raise RecordError(
            f"expected a column 'outcome' for events or 'correct' for answers, got "
            f"{table.metadata[KIND_KEY]!r} predictions without it; write the file again",
            show(path),
        )
    texts = {"text", "prompt", "answer"} & set(names)
    located = bool({"location", "row"} & set(names))
    models: set[Any] = set()
    empty = True
    for columns, place in table.batches(names, TEXT_BATCH_ROWS if texts else BATCH_ROWS):
        if VERSION_KEY in columns:
            _check_version(columns[VERSION_KEY][0].as_py(), path)
        empty = False
        block = _block(columns, kind, place)
        if "model" in columns:
            models.update(columns["model"].unique().to_pylist())
            if len(models) > 1 and not located:  # the rows of a model are not those of the file
                row = {"row": pa.array(place.numbers(len(block)))}
                kept = {name: block.columns[name] for name in block.columns.column_names}
                block = dataclasses.replace(block, columns=pa.table(kept | row))
            yield from by_model(block, columns["model"])
        else:
            yield block
    if empty:
        raise RecordError("expected at least one record, got a file of 0 rows", show(path))


def _check_version(version: Any, path: AnyPath) -> None:
    if version is None:
        return
    plain = str(version)
    if not plain.isdecimal() or int(plain) > int(SCHEMA_VERSION):
        raise RecordError(
            f"expected schema version {SCHEMA_VERSION} or older, got {plain}; update levelhead",
            show(path),
        )


def _block(columns: dict[str, Any], kind: Kind, place: Place) -> Predictions:
    label = KINDS.index(kind)
    name = ("correct", "outcome")[label]
    status = _codes(columns["status"], STATUSES, "status", place)
    column = decoded(columns["confidence"])
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
            or pa.types.is_null(column.type)):  # fmt: skip
        raise place.error(f"confidence: expected numbers, got a column of type {column.type}")
    if pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    confidence = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    wrong = np.where(status == 0, ~((confidence >= 0) & (confidence <= 1)), ~np.isnan(confidence))
    if wrong.any():
        i = int(wrong.argmax())
        raise place.error(
            "confidence: expected a value in [0, 1] where the status is ok and none elsewhere, got "
            f"{confidence[i]:g} with status {STATUSES[status[i]]!r}; correct the record",
            i,
        )
    weight = columns.get("weight")
    ids = columns.get("prompt_id")
    return Predictions(
        kind=kind,
        confidence=confidence,
        label=labels(columns[name], name, place),
        status=status,
        provenance=_codes(columns["provenance"], PROVENANCES, "provenance", place),
        model=place.path.stem,
        prompt_id=None if ids is None else as_ids(ids),
        weight=None if weight is None else weights(weight, "weight", place),
        columns=pa.table({n: c for n, c in columns.items() if n not in _OWN}),
    )


def _codes(column: Any, names: Sequence[str], role: str, place: Place) -> npt.NDArray[np.int8]:
    """Words as their index in `names`."""
    column = decoded(column)
    if not is_text(column.type):
        raise place.error(f"{role}: expected words, got a column of type {column.type}; correct it")
    encoded = column.dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known = np.array([names.index(w) if w in names else -1 for w in words] + [-1], dtype=np.int8)
    found = known[codes]
    if (found < 0).any():
        i = int((found < 0).argmax())
        word = None if codes[i] < 0 else words[codes[i]]
        raise place.error(
            f"{role}: expected one of {', '.join(names)}, got {word!r}; correct it", i
        )
    return found


READER = Reader(
    name="levelhead",
    description="levelhead's own Parquet or JSON Lines, with statuses and provenances",
    recognizes=_recognizes,
    read=_read,
)
