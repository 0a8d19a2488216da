"""Predictions through a calibrator: fitted on other rows, or across folds."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import FloatArray, IntArray
from levelhead.calibrators import Calibrator, cross_fitted
from levelhead.calibrators._missing import missing_rate, missing_rates_out_of_fold
from levelhead.calibrators.documents import About
from levelhead.errors import InvalidInputError
from levelhead.recalibration.rows import (
    PROBS,
    TARGET,
    class_scores,
    class_scores_column,
    fit_rows,
    groups_of,
)
from levelhead.records import PROVENANCES, STATUSES, Predictions

__all__ = ["STATED", "calibrated", "cross_calibrated", "missing_share"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

_REFUSAL = STATUSES.index("refusal")

STATED = "stated_confidence"
"""Column in which calibrated predictions keep the confidence that was stated."""


def calibrated(predictions: Predictions, calibrator: Calibrator, about: About) -> Predictions:
    """The predictions with calibrated confidences; the stated ones stay in `stated_confidence`.

    A row without a usable confidence gets `about.missing`, the share of such rows that were right where
    the calibrator was fitted, with the provenance `fallback` and no stated confidence; where that is not
    known it stays as it is, and so does a refusal. Class scores become calibrated probabilities,
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
        name = class_scores_column(predictions)
        if name is None:
            raise InvalidInputError(
                f"predictions of {predictions.model!r}: expected class scores (a list column logits "
                "or probs), because the calibrator was fitted on them, got none"
            )
        present = np.flatnonzero(predictions.columns[name].is_valid().to_numpy())
        result = predictions
        if present.size:
            scores = class_scores(predictions.take(present), name)
            _check_classes(predictions, calibrator, scores)
            result = _with_scores(predictions, present, calibrator.predict(scores), name)
        return _with_missing(result, about.missing)
    if about.kind != predictions.kind:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected {about.kind} predictions, because the "
            f"calibrator was fitted on them, got {predictions.kind} predictions"
        )
    rows = np.flatnonzero(predictions.status == 0)
    values = calibrator.predict(predictions.confidence[rows]) if rows.size else np.empty(0)
    return _with_missing(_with_confidence(predictions, rows, values), about.missing)


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
        As many rows in the same order. A row without a usable confidence gets the share of the other
        such rows that were right, those of its fold left out; other rows that were not fitted on stay
        as they are.

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
        name = cast(str, class_scores_column(predictions))
        result = _with_scores(predictions, data.rows, values, name)
    else:
        result = _with_confidence(predictions, data.rows, values)
    found = groups_of(predictions, split_by)
    units = np.arange(len(predictions)) if found is None else found
    rates = missing_rates_out_of_fold(
        *_missing_counts(predictions), units, _unstated(predictions), n_folds, seed
    )
    return _with_missing(result, rates)


def missing_share(predictions: Predictions) -> float | None:
    """How often a row without a usable confidence is right, or its event comes true.

    (hits + 1) / (n + 2)

    over the n rows (weights, where there are some) whose confidence is missing, cannot be parsed or is
    out of range, and whose truth is known. Refusals claim nothing and do not count.

    Args:
        predictions: one model's.

    Returns:
        A share in (0, 1), or None where there are no such rows.

    Example:
        >>> missing_share(Predictions.from_arrays("answer", [0.9, None, None], [1, 0, 1]))
        0.5
    """
    return missing_rate(*_missing_counts(predictions))


def _check_classes(predictions: Predictions, calibrator: Calibrator, scores: FloatArray) -> None:
    k = getattr(calibrator, "n_features_in_", scores.shape[1])
    if scores.shape[1] != k:
        raise InvalidInputError(
            f"predictions of {predictions.model!r}: expected {k} classes, as the calibrator was "
            f"fitted on, got {scores.shape[1]}"
        )


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


def _unstated(predictions: Predictions) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) whether a row has no usable confidence and is no refusal."""
    return (predictions.status != 0) & (predictions.status != _REFUSAL)


def _missing_counts(predictions: Predictions) -> tuple[FloatArray, FloatArray]:
    """(N,) how much each row counts as right, and counts, among the rows without a confidence."""
    counted = _unstated(predictions) & ~np.isnan(predictions.label)
    weight = np.ones(len(predictions)) if predictions.weight is None else predictions.weight
    total = np.where(counted, weight, 0.0)
    return total * np.where(counted, predictions.label, 0.0), total


def _with_missing(predictions: Predictions, value: FloatArray | float | None) -> Predictions:
    """The rows without a usable confidence with this one: (N,) values, or one for all of them."""
    unstated = _unstated(predictions)
    if value is None or not unstated.any():
        return predictions
    provenance = np.where(unstated, PROVENANCES.index("fallback"), predictions.provenance)
    return dataclasses.replace(
        predictions,
        confidence=np.where(unstated, value, predictions.confidence),
        status=np.where(unstated, 0, predictions.status).astype(np.int8),
        provenance=provenance.astype(np.int8),
        columns=_keep_stated(predictions),
    )


def _with_scores(
    predictions: Predictions, rows: IntArray, probs: FloatArray, name: str
) -> Predictions:
    """The rows with these class probabilities instead of their scores; a refusal stays one.

    An answer in words is of the class that was most likely before, so it is null where that changed.
    """
    claims = predictions.status[rows] != _REFUSAL
    rows, probs = rows[claims], probs[claims]
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
    before = class_scores(predictions.take(rows), name).argmax(axis=1)
    if "answer" in columns.column_names:
        changed = np.zeros(len(predictions), dtype=np.bool_)
        changed[rows] = before != best
        answer = pc.if_else(pa.array(changed), None, columns["answer"])
        columns = columns.set_column(columns.column_names.index("answer"), "answer", answer)
    at = columns.column_names.index(name)
    columns = columns.set_column(at, PROBS, pa.array(lists, pa.list_(pa.float64())))
    provenance, status = predictions.provenance.copy(), predictions.status.copy()
    provenance[rows], status[rows] = PROVENANCES.index("computed"), 0
    return dataclasses.replace(
        predictions,
        confidence=confidence,
        label=label,
        status=status,
        provenance=provenance,
        columns=columns,
    )
