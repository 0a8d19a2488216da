"""The arrays that a file gives to a calibrator: confidences or class scores, truths, weights, groups."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa

from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import InvalidInputError, RecordError
from levelhead.records import Predictions, as_strings

__all__ = [
    "PROBS",
    "TARGET",
    "FitRows",
    "Input",
    "fit_rows",
    "class_scores",
    "class_scores_column",
    "groups_of",
]

LOGITS, PROBS, TARGET = "logits", "probs", "target_index"
"""Columns of class scores and of the right class, as the readers name them."""

FLOOR = 1e-12
"""The least class probability whose logarithm is taken."""

Input = Literal["confidence", "classes"]


@dataclasses.dataclass(frozen=True)
class FitRows:
    """What a calibrator is fitted on.

    Attributes:
        input: `confidence` or `classes`.
        X: (N,) confidences in [0, 1], or (N, K) logits.
        y: (N,) correctness in {0, 1}, or class indices.
        weights: (N,) >= 0, or None.
        groups: (N,) codes of what cross-validation must not split, or None.
        rows: (N,) which rows of the predictions these are.
    """

    input: Input
    X: FloatArray
    y: FloatArray | IntArray
    weights: FloatArray | None
    groups: IntArray | None
    rows: IntArray


def fit_rows(
    predictions: Predictions,
    input: Literal["auto", "confidence", "classes"] = "auto",
    *,
    split_by: str | None = None,
) -> FitRows:
    """The arrays that a calibrator is fitted on.

    Args:
        predictions: one model's.
        input: `confidence`, `classes` (its class scores), or `auto`: classes where the predictions
            carry scores and the index of the right class.
        split_by: column whose values cross-validation must not split; prompts unless given.

    Returns:
        The rows with a truth and a usable confidence, or with all class scores.

    Raises:
        InvalidInputError: there are no such rows, no such columns, or scores that are no numbers.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, None, 0.6], [1, 0, 1])
        >>> fit_rows(p).X
        array([0.9, 0.6])
    """
    name = class_scores_column(predictions)
    if TARGET not in predictions.columns.column_names:
        name = None
    if input == "classes" and name is None:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected class scores (a list column logits or "
            "probs) and the index of the right class, got "
            f"{', '.join(predictions.columns.column_names) or 'neither'}; calibrate the confidence "
            "with --input confidence"
        )
    classes = name is not None and input != "confidence"
    usable = ~np.isnan(predictions.label)
    if not classes:
        usable &= predictions.status == 0
    rows = np.flatnonzero(usable)
    if classes:
        present = predictions.columns[name].is_valid().to_numpy()
        rows = rows[present[rows]]
    if not rows.size:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected rows with a confidence and a truth to "
            f"fit on, got none among {len(predictions)}"
        )
    kept = predictions if rows.size == len(predictions) else predictions.take(rows)
    x: FloatArray = class_scores(kept, cast(str, name)) if classes else kept.confidence
    y: FloatArray | IntArray = _targets(kept, x.shape[1]) if classes else kept.label
    groups = groups_of(kept, split_by)
    return FitRows("classes" if classes else "confidence", x, y, kept.weight, groups, rows)


def class_scores_column(predictions: Predictions) -> str | None:
    names = set(predictions.columns.column_names)
    return LOGITS if LOGITS in names else PROBS if PROBS in names else None


def class_scores(predictions: Predictions, name: str) -> FloatArray:
    """(N, K) logits of the rows, which all have them."""
    column: Any = predictions.columns[name].combine_chunks()
    sizes = np.diff(column.offsets.to_numpy()) if pa.types.is_list(column.type) else None
    if sizes is None:
        sizes = np.array([len(row) for row in column.to_pylist()])
    if sizes.min() != sizes.max():
        i = int((sizes != sizes[0]).argmax())
        raise _row_error(
            predictions, name, i, f"expected {sizes[0]} classes as in the first row, got {sizes[i]}"
        )
    flat = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    scores = flat.reshape(len(sizes), int(sizes[0])).astype(np.float64)
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        i = int(bad.argmax())
        value = scores[i][~np.isfinite(scores[i])][0]
        raise _row_error(
            predictions,
            name,
            i,
            f"expected finite numbers, got {value}; correct or leave out the row",
        )
    return np.log(np.maximum(scores, FLOOR)) if name == PROBS else scores


def _row_error(predictions: Predictions, name: str, i: int, what: str) -> RecordError:
    where = f"row {i + 1}"
    if "location" in predictions.columns.column_names:
        where = f"{predictions.columns['location'][i].as_py()}"
    return RecordError(f"{name}: {what} ({where} of {predictions.model!r})")


def _targets(predictions: Predictions, k: int) -> IntArray:
    targets = predictions.columns[TARGET].cast(pa.int64()).to_numpy(zero_copy_only=False)
    bad = (targets < 0) | (targets >= k)
    if bad.any():
        i = int(bad.argmax())
        raise _row_error(predictions, TARGET, i, f"expected an index below {k}, got {targets[i]}")
    return targets.astype(np.int64)


def groups_of(predictions: Predictions, split_by: str | None) -> IntArray | None:
    """Codes of what cross-validation must not split: values of a column, or prompts where they repeat."""
    return _prompt_codes(predictions) if split_by is None else _column_codes(predictions, split_by)


def _prompt_codes(predictions: Predictions) -> IntArray | None:
    """Codes of the prompts in the order of their ids, so that the order of the rows changes nothing."""
    if predictions.clusters is None or predictions.prompt_id is None:
        return None
    ids = predictions.prompt_id.to_pylist()
    codes = {text: code for code, text in enumerate(sorted({i for i in ids if i is not None}))}
    unnamed = iter(range(len(codes), len(codes) + len(ids)))
    return np.array([next(unnamed) if i is None else codes[i] for i in ids], np.int64)


def _column_codes(predictions: Predictions, name: str) -> IntArray:
    if name not in predictions.columns.column_names:
        raise InvalidInputError(
            f"split_by: expected a column of the predictions, got {name!r}; they have "
            f"{', '.join(predictions.columns.column_names) or 'none'}"
        )
    texts = as_strings(predictions.columns[name]).fill_null("").to_pylist()
    codes = {text: code for code, text in enumerate(sorted(set(texts)))}
    return np.array([codes[text] for text in texts], np.int64)
