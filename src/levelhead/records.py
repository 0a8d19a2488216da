"""Predictions: the one record that every part of levelhead reads and writes.

A `Prediction` is one stated confidence and what became of it. Two kinds exist and are never mixed:

* `answer`: a confidence in one's own answer, with its `correct` in {0, 1};
* `event`: a probability of an event, with its `outcome` in {0, 1}.

`Predictions` holds many of one kind in columns. A record whose confidence is missing or cannot be
parsed stays in: its confidence is NaN, its `status` says why, and the metrics say how it counted.
Nothing here knows a file format other than levelhead's own; other tools' logs are
`levelhead.readers`.
"""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeStubs=false, reportUnknownLambdaType=false

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import FloatArray, IntArray, vector
from levelhead.errors import InvalidInputError

__all__ = [
    "ETA",
    "KINDS",
    "PROVENANCES",
    "SCHEMA_VERSION",
    "STATUSES",
    "Kind",
    "Prediction",
    "Predictions",
    "concat",
]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

SCHEMA_VERSION = "1"
"""Written into every file's metadata; a reader refuses a newer one."""

Kind = Literal["answer", "event"]
KINDS: tuple[Kind, ...] = ("answer", "event")

STATUSES = ("ok", "missing", "unparsable", "out_of_range", "refusal")
"""What became of the confidence. Only `ok` comes with one; `refusal` is an abstention."""

PROVENANCES = ("reported", "parsed", "computed", "fallback", "missing")
"""Where the confidence came from; `fallback` is another tool's stand-in for nothing."""

ETA = 0.01
"""The most extreme confidence that a missing one can assert: 1 - ETA (an unhedged assertion)."""

_NO_ID = ("", "nan", "NaN")
"""What an id reads that is none: an empty cell, and not-a-number as files spell it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction.

    Attributes:
        confidence: stated probability in [0, 1], or None where there is none (see `status`).
        correct: 1.0 or 0.0 for an answer; None for an event or where the truth is unknown.
        outcome: 1.0 or 0.0 for an event; None for an answer or where the truth is unknown.
        status: one of `STATUSES`.
        provenance: one of `PROVENANCES`.
        prompt_id: which prompt this is a sample of; samples of one prompt form a cluster.
        weight: how much it counts; 1 unless stated.
        columns: everything else: slice columns, `answer`, `text`, `probs`, ...
    """

    confidence: float | None
    correct: float | None = None
    outcome: float | None = None
    status: str = "ok"
    provenance: str = "reported"
    prompt_id: str | None = None
    weight: float = 1.0
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Many predictions of one kind and one model, in columns.

    Attributes:
        kind: `answer` or `event`.
        confidence: (N,) float64 in [0, 1]; NaN exactly where `status` is not `ok`.
        label: (N,) float64 in {0, 1}: `correct` for answers, `outcome` for events; NaN = unknown.
        status: (N,) int8, index into `STATUSES`.
        provenance: (N,) int8, index into `PROVENANCES`.
        model: whose predictions these are.
        prompt_id: (N,) strings, null for a row that names no prompt (it is then a prompt of its
            own), or None where no row names one.
        weight: (N,) finite float64 >= 0, or None where every record weighs 1.
        columns: the other columns (slices, `answer`, `text`, `prompt`, `probs`, `location`), N
            rows.

    Raises:
        InvalidInputError: lengths differ, a label is not 0 or 1, or confidence and status disagree.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, None, 0.6], [1, 0, 1], model="base")
        >>> len(p), p.status_counts()["missing"]
        (3, 1)
    """

    kind: Kind
    confidence: FloatArray
    label: FloatArray
    status: npt.NDArray[np.int8]
    provenance: npt.NDArray[np.int8]
    model: str = "model"
    prompt_id: pa.Array | pa.ChunkedArray | None = None
    weight: FloatArray | None = None
    columns: pa.Table = dataclasses.field(default_factory=lambda: pa.table({}))

    def __post_init__(self) -> None:
        n = self.confidence.size
        if self.kind not in KINDS:
            raise InvalidInputError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("label", "status", "provenance", "prompt_id", "weight"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise InvalidInputError(f"{name}: expected {n} values, got {len(column)}")
        if self.columns.num_columns and self.columns.num_rows != n:
            raise InvalidInputError(f"columns: expected {n} rows, got {self.columns.num_rows}")
        self._check_labels()
        self._check_codes()
        inside = (self.confidence >= 0.0) & (self.confidence <= 1.0)
        ok = self.status == 0
        wrong = inside != ok
        if not ok.all():
            wrong |= ~ok & ~np.isnan(self.confidence)
        if wrong.any():
            i = int(wrong.argmax())
            raise InvalidInputError(
                f"confidence: expected a value in [0, 1] where the status is ok and NaN elsewhere, "
                f"got {self.confidence[i]} with status {STATUSES[self.status[i]]!r} in row {i + 1}"
            )
        if self.weight is not None:
            bad = ~(np.isfinite(self.weight) & (self.weight >= 0.0))
            if bad.any():
                i = int(bad.argmax())
                raise InvalidInputError(
                    f"weight: expected finite values >= 0, got {self.weight[i]} in row {i + 1}"
                )

    def _check_labels(self) -> None:
        good = (self.label == 0.0) | (self.label == 1.0)
        if good.all():
            return
        bad = ~good & ~np.isnan(self.label)
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(
                f"{self.label_name}: expected 0 or 1 (or missing), got {self.label[i]} "
                f"in row {i + 1}"
            )

    def _check_codes(self) -> None:
        for name, codes, names in (
            ("status", self.status, STATUSES),
            ("provenance", self.provenance, PROVENANCES),
        ):
            if codes.size and not (codes.min() >= 0 and codes.max() < len(names)):
                i = int(((codes < 0) | (codes >= len(names))).argmax())
                raise InvalidInputError(
                    f"{name}: expected codes 0 to {len(names) - 1}, got {codes[i]} in row {i + 1}"
                )

    @classmethod
    def from_arrays(
        cls,
        kind: Kind,
        confidence: Sequence[float | None] | npt.ArrayLike,
        label: Sequence[float | None] | npt.ArrayLike,
        *,
        model: str = "model",
        status: npt.ArrayLike | None = None,
        provenance: npt.ArrayLike | None = None,
        prompt_id: Iterable[object] | None = None,
        weight: npt.ArrayLike | None = None,
        columns: Mapping[str, Any] | pa.Table | None = None,
    ) -> Predictions:
        """Predictions from plain arrays; a confidence of None or NaN has the status `missing`.

        Args:
            kind: `answer` or `event`.
            confidence: (N,) in [0, 1]; None or NaN where there is none.
            label: (N,) in {0, 1}; None or NaN where the truth is unknown.
            model: whose predictions these are.
            status: (N,) codes into `STATUSES`; derived from the confidence when left out.
            provenance: (N,) codes into `PROVENANCES`; `reported` or `missing` when left out.
            prompt_id: (N,) ids of any kind, turned into strings; an id of None, NaN or blank text
                is none.
            weight: (N,) finite weights >= 0.
            columns: other columns of N rows.

        Returns:
            The validated columns.

        Raises:
            InvalidInputError: lengths differ or values are out of range.
        """
        c = vector("confidence", cast(npt.ArrayLike, confidence)).copy()
        absent = np.isnan(c)
        if status is None:
            codes = np.where(absent, STATUSES.index("missing"), 0).astype(np.int8)
        else:
            codes = np.asarray(status, dtype=np.int8)
        if provenance is None:
            origin = np.where(absent, PROVENANCES.index("missing"), 0).astype(np.int8)
        else:
            origin = np.asarray(provenance, dtype=np.int8)
        if columns is not None and not isinstance(columns, pa.Table):
            columns = pa.table(dict(columns))
        ids = None
        if prompt_id is not None:
            ids = (
                prompt_id if isinstance(prompt_id, pa.Array | pa.ChunkedArray) else list(prompt_id)
            )
            ids = as_ids(ids)
            ids = None if len(ids) and ids.null_count == len(ids) else ids
        return cls(
            kind=kind,
            confidence=c,
            label=vector("label", cast(npt.ArrayLike, label)),
            status=codes,
            provenance=origin,
            model=model,
            prompt_id=ids,
            weight=None if weight is None else vector("weight", weight),
            columns=pa.table({}) if columns is None else columns,
        )

    def __len__(self) -> int:
        return self.confidence.size

    def __repr__(self) -> str:
        return f"Predictions(kind={self.kind!r}, n={len(self)}, model={self.model!r})"

    @property
    def label_name(self) -> str:
        """`correct` for answers, `outcome` for events."""
        return "correct" if self.kind == "answer" else "outcome"

    @property
    def n_without_prompt(self) -> int:
        """How many rows name no prompt although others do; 0 where no row names one."""
        return 0 if self.prompt_id is None else self.prompt_id.null_count

    @cached_property
    def clusters(self) -> IntArray | None:
        """(N,) codes of the prompts, or None where no prompt has two samples or none are named."""
        if self.prompt_id is None:
            return None
        ids = self.prompt_id
        ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        encoded = ids.dictionary_encode()
        unnamed = encoded.null_count
        names = len(encoded.dictionary)
        if names + unnamed == len(self):
            return None
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if unnamed:  # a row that names no prompt is a cluster of its own
            codes[codes < 0] = names + np.arange(unnamed)
        return codes

    def status_counts(self) -> dict[str, int]:
        """How many records have each status; statuses that do not occur are left out."""
        return _counts(self.status, STATUSES)

    def provenance_counts(self) -> dict[str, int]:
        """How many confidences have each provenance; those that do not occur are left out."""
        return _counts(self.provenance, PROVENANCES)

    def take(self, keep: npt.NDArray[np.bool_] | IntArray) -> Predictions:
        """The rows that a mask or an index array names, in that order."""
        rows = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        return dataclasses.replace(
            self,
            confidence=self.confidence[rows],
            label=self.label[rows],
            status=self.status[rows],
            provenance=self.provenance[rows],
            prompt_id=None if self.prompt_id is None else self.prompt_id.take(pa.array(rows)),
            weight=None if self.weight is None else self.weight[rows],
            columns=self.columns.take(pa.array(rows)) if self.columns.num_columns else self.columns,
        )

    def to_table(self) -> pa.Table:
        """One Arrow table with canonical names; `levelhead.readers.write` puts it in a file."""
        data: dict[str, Any] = {
            "confidence": pa.array(self.confidence, from_pandas=True),
            self.label_name: pa.array(self.label, from_pandas=True),
            "status": pa.array(np.array(STATUSES, dtype=object)[self.status]),
            "provenance": pa.array(np.array(PROVENANCES, dtype=object)[self.provenance]),
        }
        if self.prompt_id is not None:
            data["prompt_id"] = self.prompt_id
        if self.weight is not None:
            data["weight"] = pa.array(self.weight)
        data["model"] = pa.array([self.model] * len(self), pa.string())
        for name in self.columns.column_names:
            if name not in data:
                data[name] = self.columns[name]
        table = pa.table(data)
        return table.replace_schema_metadata(
            {"levelhead.schema_version": SCHEMA_VERSION, "levelhead.kind": self.kind}
        )

    def row(self, i: int) -> Prediction:
        """Row `i` as a `Prediction`."""
        known = None if np.isnan(self.label[i]) else float(self.label[i])
        return Prediction(
            confidence=None if self.status[i] else float(self.confidence[i]),
            correct=known if self.kind == "answer" else None,
            outcome=known if self.kind == "event" else None,
            status=STATUSES[self.status[i]],
            provenance=PROVENANCES[self.provenance[i]],
            prompt_id=None if self.prompt_id is None else self.prompt_id[i].as_py(),
            weight=1.0 if self.weight is None else float(self.weight[i]),
            columns={name: self.columns[name][i].as_py() for name in self.columns.column_names},
        )


def concat(blocks: Sequence[Predictions]) -> Predictions:
    """Blocks of one model and one kind as one; columns that some lack are filled with null.

    The rows of a block without prompt ids beside blocks with them get null ids: each is a prompt of
    its own, and `Predictions.n_without_prompt` counts them.

    Args:
        blocks: at least one block.

    Returns:
        All rows, in order.

    Raises:
        InvalidInputError: no blocks, or answers and events together.
    """
    if not blocks:
        raise InvalidInputError("blocks: expected at least one block of predictions, got none")
    kinds = {block.kind for block in blocks}
    if len(kinds) > 1:
        raise InvalidInputError(
            "predictions: expected one kind, got answers and events together; audit them separately"
        )
    first = blocks[0]
    if len(blocks) == 1:
        return first
    named = any(b.prompt_id is not None for b in blocks)
    weighted = any(b.weight is not None for b in blocks)
    tables = [_with_rows(b) for b in blocks]
    return Predictions(
        kind=first.kind,
        confidence=np.concatenate([b.confidence for b in blocks]),
        label=np.concatenate([b.label for b in blocks]),
        status=np.concatenate([b.status for b in blocks]),
        provenance=np.concatenate([b.provenance for b in blocks]),
        model=first.model,
        prompt_id=pa.chunked_array(
            [chunk for block in blocks for chunk in _id_chunks(block)], type=pa.string()
        )
        if named
        else None,
        weight=np.concatenate([np.ones(len(b)) if b.weight is None else b.weight for b in blocks])
        if weighted
        else None,
        columns=_drop_rows(_joined(tables)),
    )


def as_strings(values: Any) -> pa.Array | pa.ChunkedArray:
    """Values of any kind as an Arrow string array; nulls stay null.

    Args:
        values: an Arrow array, or a sequence (strings, integers, anything with `str`).

    Returns:
        (N,) strings.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        kind = values.type
        if pa.types.is_dictionary(kind):
            values = values.cast(kind.value_type)
            kind = values.type
        if pa.types.is_string(kind):
            return values
        if not pa.types.is_nested(kind):
            return values.cast(pa.string())
        values = values.to_pylist()
    return pa.array(
        [
            None if v is None else os.fspath(v) if isinstance(v, os.PathLike) else str(v)
            for v in values
        ],
        pa.string(),
    )


def as_ids(values: Any) -> pa.Array | pa.ChunkedArray:
    """Prompt ids of any kind as an Arrow string array; what names nothing is null.

    Args:
        values: an Arrow array, or a sequence of ids, as `id_text` takes them.

    Returns:
        (N,) strings; null for None, NaN and blank text. Raw bytes are hexadecimal.
    """
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([as_ids(chunk) for chunk in values.chunks], pa.string())
    if not isinstance(values, pa.Array):
        return pa.array([id_text(value) for value in values], pa.string())
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if "binary" in str(values.type) or pa.types.is_nested(values.type):
        return as_ids(values.to_pylist())
    texts = as_strings(values)
    blank = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=pa.array(_NO_ID))
    return (
        pc.if_else(blank, pa.scalar(None, pa.string()), texts) if pc.any(blank).as_py() else texts
    )


def id_text(value: object) -> str | None:
    """One prompt id as text; None where it names nothing.

    Bytes are text where they are printable UTF-8, as older writers of Parquet leave strings, and
    hexadecimal otherwise, as digests and UUIDs are written.

    Args:
        value: a string, a number, bytes, a path, or anything with `str`.

    Returns:
        The text, or None for None, NaN and blank text.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            return value.hex()
        text = text if text.isprintable() else value.hex()
    else:
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    return None if text.strip() in _NO_ID else text


def _id_chunks(block: Predictions) -> list[pa.Array]:
    ids = pa.nulls(len(block), pa.string()) if block.prompt_id is None else block.prompt_id
    return ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]


def _with_rows(block: Predictions) -> pa.Table:
    """The block's columns plus one that keeps the row count when there are none."""
    return (
        block.columns.append_column("__rows__", pa.nulls(len(block)))
        if (block.columns.num_columns)
        else pa.table({"__rows__": pa.nulls(len(block))})
    )


def _joined(tables: list[pa.Table]) -> pa.Table:
    """The tables below one another; a column whose types cannot be united becomes strings."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        clashing = {
            name
            for name in {n for t in tables for n in t.column_names}
            if len({t.schema.field(name).type for t in tables if name in t.column_names}) > 1
        }
        for i, table in enumerate(tables):
            for name in clashing & set(table.column_names):
                at = table.column_names.index(name)
                tables[i] = table = table.set_column(at, name, as_strings(table[name]))
        return pa.concat_tables(tables, promote_options="permissive")


def _drop_rows(table: pa.Table) -> pa.Table:
    return table.drop_columns(["__rows__"])


def _counts(codes: npt.NDArray[np.int8], names: Sequence[str]) -> dict[str, int]:
    found = np.bincount(codes, minlength=len(names))
    return {name: int(k) for name, k in zip(names, found, strict=True) if k}
