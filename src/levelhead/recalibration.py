"""Calibrators on predictions: which rows one is fitted on, and the same predictions through it.

`levelhead.calibrators` works on arrays. Here is what the arrays are for a file: the stated confidence
and whether it was right, the probability of an event and whether it happened, or the scores of all
classes and the right one. Rows without a confidence or without a truth are not fitted on; they stay
in the output as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa

from levelhead._arrays import FloatArray, IntArray
from levelhead._sketch import Sketch
from levelhead.calibrators import Calibrator, cross_fitted
from levelhead.calibrators.documents import About
from levelhead.errors import InvalidInputError, RecordError
from levelhead.records import PROVENANCES, Predictions, as_strings

__all__ = [
    "FitRows",
    "Overlap",
    "calibrated",
    "cross_calibrated",
    "fit_rows",
    "fit_sketch",
    "overlap",
]

LOGITS, PROBS, TARGET = "logits", "probs", "target_index"
"""Columns of class scores and of the right class, as the readers name them."""

STATED = "stated_confidence"
"""Column in which calibrated predictions keep the confidence that was stated."""

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


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How much of some predictions a calibrator was fitted on.

    Attributes:
        rows: share of the rows that were among the fit rows; NaN where that cannot be told.
        prompts: share of the prompts that were; NaN where that cannot be told.
    """

    rows: float
    prompts: float


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
    name = _scores_column(predictions)
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
    x: FloatArray = _scores(kept, cast(str, name)) if classes else kept.confidence
    y: FloatArray | IntArray = _targets(kept, x.shape[1]) if classes else kept.label
    groups = kept.clusters if split_by is None else _column_codes(kept, split_by)
    return FitRows("classes" if classes else "confidence", x, y, kept.weight, groups, rows)


def calibrated(predictions: Predictions, calibrator: Calibrator, about: About) -> Predictions:
    """The predictions with calibrated confidences; the stated ones stay in `stated_confidence`.

    A row without a usable confidence stays as it is. Class scores become calibrated probabilities,
    and with them the confidence, the answer and whether it is right.

    Args:
        predictions: one model's, of the kind that the calibrator was fitted on.
        calibrator: a fitted calibrator.
        about: what it was fitted on.

    Returns:
        As many rows in the same order.

    Raises:
        InvalidInputError: another kind of predictions, no class scores where it needs them, or
            another number of classes.

    Example:
        >>> from levelhead.calibrators import PlattScaling
        >>> p = Predictions.from_arrays("answer", [0.9] * 4, [1, 0, 1, 0])
        >>> calibrator = PlattScaling().fit(p.confidence, p.label)
        >>> calibrated(p, calibrator, About(kind="answer", n=4)).confidence.round(3)
        array([0.5, 0.5, 0.5, 0.5])
    """
    if about.kind == "classes":
        name = _scores_column(predictions)
        if name is None:
            raise InvalidInputError(
                f"predictions of {predictions.model!r}: expected class scores (a list column logits "
                "or probs), because the calibrator was fitted on them, got none"
            )
        present = np.flatnonzero(predictions.columns[name].is_valid().to_numpy())
        if not present.size:
            return predictions
        scores = _scores(predictions.take(present), name)
        _check_classes(predictions, calibrator, scores)
        return _with_scores(predictions, present, calibrator.predict(scores), name)
    if about.kind != predictions.kind:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected {about.kind} predictions, because the "
            f"calibrator was fitted on them, got {predictions.kind} predictions"
        )
    rows = np.flatnonzero(predictions.status == 0)
    values = calibrator.predict(predictions.confidence[rows]) if rows.size else np.empty(0)
    return _with_confidence(predictions, rows, values)


def cross_calibrated(
    predictions: Predictions,
    method: str,
    *,
    input: Literal["auto", "confidence", "classes"] = "auto",
    split_by: str | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> Predictions:
    """The predictions, each calibrated by a calibrator that was fitted without its prompt.

    Args:
        predictions: one model's.
        method: name of a calibrator in `levelhead.calibrators.TABLE`, `temperature`, or `auto`.
        input: see `fit_rows`.
        split_by: column whose values stay together; prompts unless given.
        n_folds: how many parts, each left out once.
        seed: of the folds.

    Returns:
        As many rows in the same order; rows without a truth or a confidence stay as they are.

    Raises:
        InvalidInputError: nothing to fit on, an unknown method, or too few prompts for the folds.

    Properties: honest for reporting: no row is calibrated by a fit that saw it.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9] * 100, [1, 0] * 50)
        >>> float(cross_calibrated(p, "platt").confidence.mean().round(2))
        0.5
    """
    data = fit_rows(predictions, input, split_by=split_by)
    values = cross_fitted(
        method,
        data.X,
        data.y,
        sample_weight=data.weights,
        groups=data.groups,
        n_folds=n_folds,
        seed=seed,
    )
    if data.input == "classes":
        name = cast(str, _scores_column(predictions))
        return _with_scores(predictions, data.rows, values, name)
    return _with_confidence(predictions, data.rows, values)


def fit_sketch(predictions: Predictions, rows: IntArray) -> Sketch:
    """What a file is recognized by later: its rows and its prompts, as a sketch.

    Args:
        predictions: what something was fitted on.
        rows: the rows that it was.

    Returns:
        A sketch of at most a few thousand hashes.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, 0.6], [1, 0], prompt_id=["a", "b"])
        >>> overlap(p, fit_sketch(p, np.array([0]))).prompts
        0.5
    """
    kept = predictions.take(rows)
    return Sketch.of([*_row_keys(kept), *_prompt_keys(kept)])


def overlap(predictions: Predictions, sketch: Sketch | None) -> Overlap:
    """How much of the predictions is in the sketch of a fit.

    Args:
        predictions: what is to be judged.
        sketch: of what was fitted on; None where it is not known.

    Returns:
        The shares of rows and of prompts.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, 0.6], [1, 0])
        >>> overlap(p, fit_sketch(p, np.array([0, 1]))).rows
        1.0
    """
    if sketch is None:
        return Overlap(float("nan"), float("nan"))
    prompts = _prompt_keys(predictions)
    return Overlap(
        rows=sketch.seen(_row_keys(predictions)),
        prompts=sketch.seen(prompts) if prompts else float("nan"),
    )


def _row_keys(predictions: Predictions) -> list[str]:
    """A key per row; where nothing tells rows apart, one key for all of them together."""
    name = _scores_column(predictions)
    if name is not None:
        return [f"row:{scores}" for scores in predictions.columns[name].to_pylist()]
    confidence, label = predictions.confidence, predictions.label
    if predictions.prompt_id is None:
        digest = hashlib.blake2b(confidence.tobytes() + label.tobytes(), digest_size=16)
        return [f"rows:{digest.hexdigest()}"]
    ids = predictions.prompt_id.to_pylist()
    triples = zip(ids, confidence.tolist(), label.tolist(), strict=True)
    return [f"row:{i}:{c!r}:{y!r}" for i, c, y in triples]


def _prompt_keys(predictions: Predictions) -> list[str]:
    if predictions.prompt_id is None:
        return []
    return [f"prompt:{i}" for i in set(predictions.prompt_id.to_pylist()) if i is not None]


def _scores_column(predictions: Predictions) -> str | None:
    names = set(predictions.columns.column_names)
    return LOGITS if LOGITS in names else PROBS if PROBS in names else None


def _scores(predictions: Predictions, name: str) -> FloatArray:
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


def _check_classes(predictions: Predictions, calibrator: Calibrator, scores: FloatArray) -> None:
    k = getattr(calibrator, "n_features_in_", scores.shape[1])
    if scores.shape[1] != k:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected {k} classes, as the calibrator was "
            f"fitted on, got {scores.shape[1]}"
        )


def _column_codes(predictions: Predictions, name: str) -> IntArray:
    if name not in predictions.columns.column_names:
        raise InvalidInputError(
            f"split_by: expected a column of the predictions, got {name!r}; they have "
            f"{', '.join(predictions.columns.column_names) or 'none'}"
        )
    texts = as_strings(predictions.columns[name]).fill_null("").to_pylist()
    codes = {text: code for code, text in enumerate(sorted(set(texts)))}
    return np.array([codes[text] for text in texts], np.int64)


def _with_confidence(predictions: Predictions, rows: IntArray, values: FloatArray) -> Predictions:
    confidence, provenance = predictions.confidence.copy(), predictions.provenance.copy()
    confidence[rows] = values
    provenance[rows] = PROVENANCES.index("computed")
    return dataclasses.replace(
        predictions,
        confidence=confidence,
        provenance=provenance,
        columns=_keep_stated(predictions),
    )


def _keep_stated(predictions: Predictions) -> pa.Table:
    stated = pa.array(predictions.confidence, from_pandas=True)
    columns = predictions.columns
    if not columns.num_columns:
        return pa.table({STATED: stated})
    if STATED in columns.column_names:
        return columns
    return columns.append_column(STATED, stated)


def _with_scores(
    predictions: Predictions, rows: IntArray, probs: FloatArray, name: str
) -> Predictions:
    """The rows with these class probabilities instead of their scores."""
    target = np.full(len(rows), np.nan)
    if TARGET in predictions.columns.column_names:
        target = predictions.columns[TARGET].cast(pa.float64()).to_numpy(zero_copy_only=False)[rows]
    known = ~np.isnan(target)
    confidence, label = predictions.confidence.copy(), predictions.label.copy()
    best = probs.argmax(axis=1)
    confidence[rows] = np.minimum(probs.max(axis=1), 1.0)
    label[rows[known]] = (best[known] == target[known]).astype(np.float64)
    lists: list[list[float] | None] = [None] * len(predictions)
    for i, row in zip(rows.tolist(), probs.tolist(), strict=True):
        lists[i] = row
    columns = _keep_stated(predictions)
    at = columns.column_names.index(name)
    columns = columns.set_column(at, PROBS, pa.array(lists, pa.list_(pa.float64())))
    provenance = predictions.provenance.copy()
    provenance[rows] = PROVENANCES.index("computed")
    return dataclasses.replace(
        predictions, confidence=confidence, label=label, provenance=provenance, columns=columns
    )
