"""Overconfidence: by how much stated confidence exceeds accuracy, and how sure the errors are."""

from __future__ import annotations

import functools

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, paired, probabilities
from levelhead.metrics._table import Metric

__all__ = [
    "TABLE",
    "accuracy",
    "confidence_on_errors",
    "confident_error_rate",
    "errors_at_least",
    "mean_confidence",
    "overconfidence",
    "top_label",
]

THRESHOLD_TOLERANCE = 1e-9
"""0.3 * 3 is 0.8999999999999999 in floating point; whoever states it has stated 0.9."""

COMPLEMENT_DECIMALS = 15
"""1 - 0.07 is 0.9299999999999999; rounded here it ties with a stated 0.93, as it should."""


def top_label(confidence: ArrayLike, outcome: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Turn probabilities of an event into confidences in the likelier outcome, and whether it came.

    (max(p, 1 - p), outcome) where p > 1/2; (max(p, 1 - p), 1 - outcome) where p < 1/2.

    Args:
        confidence: (N,) probability p of the event, in [0, 1].
        outcome: (N,) 1 where the event happened, 0 where it did not, in [0, 1].

    Returns:
        Two (N,) float64 arrays: confidence in [0.5, 1] and correctness in [0, 1].

    Raises:
        InvalidInputError: a value is outside [0, 1], the lengths differ, or there are none.

    Edge cases: p = 0.5 (to 1e-9) takes no side and counts half: correctness 0.5 whatever happened.
        1 - p is rounded to 15 decimals, so that p = 0.07 and p = 0.93 tie exactly.

    Example:
        >>> top_label([0.93, 0.07, 0.5], [1, 1, 1])
        (array([0.93, 0.93, 0.5 ]), array([1. , 0. , 0.5]))
    """
    p, happened, _ = paired(confidence, outcome, names=("confidence", "outcome"))
    sure = np.where(p >= 0.5, p, np.round(1.0 - p, COMPLEMENT_DECIMALS))
    right = np.where(p > 0.5, happened, 1.0 - happened)
    right[np.abs(p - 0.5) <= THRESHOLD_TOLERANCE] = 0.5
    return sure, right


def mean_confidence(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Mean stated confidence.

    sum_i w_i c_i / sum_i w_i

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; checked, not used.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The mean in [0, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Properties: plug-in; neither end is better.
    Reference: Murphy 1973 (bias in the large).

    Example:
        >>> mean_confidence([1.0, 0.5], [1, 0])
        0.75
    """
    c, _, w = paired(confidence, correct, weights)
    return float(np.average(c, weights=w))


def accuracy(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Share of right answers.

    sum_i w_i y_i / sum_i w_i

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; checked, not used.
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The share in [0, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Properties: plug-in, higher is better; blind to confidence.
    Reference: definition.

    Example:
        >>> accuracy([1.0, 0.5, 0.9, 0.9], [1, 0.5, 0, 1])
        0.625
    """
    _, y, w = paired(confidence, correct, weights)
    return float(np.average(y, weights=w))


def overconfidence(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Mean confidence minus accuracy: above 0 overconfident on average, below 0 underconfident.

    sum_i w_i (c_i - y_i) / sum_i w_i

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The signed difference in [-1, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: 0 also where over- and underconfidence cancel; its size never exceeds the L1 ECE.
    Properties: plug-in, signed: neither end is better.
    Reference: Lichtenstein, Fischhoff & Phillips 1982 (over/underconfidence).

    Example:
        >>> overconfidence([1.0, 0.5], [1, 0])
        0.25
    """
    c, y, w = paired(confidence, correct, weights)
    return float(np.average(c - y, weights=w))


def confidence_on_errors(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Mean confidence with which the wrong answers were stated.

    sum_i w_i (1 - y_i) c_i / sum_i w_i (1 - y_i)

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The mean in [0, 1]; NaN where nothing is wrong.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Properties: plug-in, lower is better.
    Reference: definition.

    Example:
        >>> confidence_on_errors([0.75, 0.25, 1.0], [0, 0, 1])
        0.5
    """
    c, y, w = paired(confidence, correct, weights)
    return _share(c, _wrong(y, w))


def errors_at_least(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    threshold: float = 0.9,
    weights: ArrayLike | None = None,
) -> float:
    """Share of the errors that were stated with at least this confidence.

    sum_i w_i (1 - y_i) 1[c_i >= threshold] / sum_i w_i (1 - y_i)

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        threshold: in [0, 1], inclusive.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The share in [0, 1]; NaN where nothing is wrong.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: a confidence less than 1e-9 below the threshold reaches it (0.3 * 3 is 0.9).
    Properties: plug-in, lower is better.
    Reference: definition.

    Example:
        >>> errors_at_least([0.95, 0.6, 0.9, 1.0], [0, 0, 0, 1], threshold=0.95)
        0.3333333333333333
    """
    c, y, w = paired(confidence, correct, weights)
    return _share(_reaches(c, threshold).astype(np.float64), _wrong(y, w))


def confident_error_rate(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    threshold: float = 0.9,
    weights: ArrayLike | None = None,
) -> float:
    """Share of all predictions that are errors stated with at least this confidence.

    sum_i w_i (1 - y_i) 1[c_i >= threshold] / sum_i w_i

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        threshold: in [0, 1], inclusive.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The share in [0, 1]; 0 where nothing is wrong.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: a confidence less than 1e-9 below the threshold reaches it (0.3 * 3 is 0.9).
    Properties: plug-in, lower is better; `errors_at_least` times the error rate.
    Reference: definition.

    Example:
        >>> confident_error_rate([0.95, 0.6, 0.9, 1.0], [0, 0, 0, 1], threshold=0.95)
        0.25
    """
    c, y, w = paired(confidence, correct, weights)
    return float(np.average((1.0 - y) * _reaches(c, threshold), weights=w))


def _wrong(y: FloatArray, w: FloatArray | None) -> FloatArray:
    return 1.0 - y if w is None else w * (1.0 - y)


def _share(values: FloatArray, mass: FloatArray) -> float:
    """Mean of the values under the mass; NaN where there is no mass."""
    total = mass.sum()
    return float((values * mass).sum() / total) if total > 0 else float("nan")


def _reaches(c: FloatArray, threshold: float) -> BoolArray:
    level = probabilities("threshold", [threshold])[0]
    return c >= level - THRESHOLD_TOLERANCE


TABLE = (
    Metric(
        name="mean_confidence",
        function=mean_confidence,
        label="Mean confidence",
        group="overconfidence",
        better=None,
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
    Metric(
        name="accuracy",
        function=accuracy,
        label="Accuracy",
        group="overconfidence",
        better="higher",
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
    Metric(
        name="overconfidence",
        function=overconfidence,
        label="Overconfidence (mean confidence - accuracy)",
        group="overconfidence",
        better=None,
        low=-1.0,
        high=1.0,
        event_reading="top-label",
        reference="Lichtenstein, Fischhoff & Phillips 1982",
    ),
    Metric(
        name="confidence_on_errors",
        function=confidence_on_errors,
        label="Mean confidence on wrong answers",
        group="overconfidence",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
    Metric(
        name="errors_at_90",
        function=functools.partial(errors_at_least, threshold=0.9),
        label="Errors stated at 90% or more",
        group="overconfidence",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
    Metric(
        name="errors_at_99",
        function=functools.partial(errors_at_least, threshold=0.99),
        label="Errors stated at 99% or more",
        group="overconfidence",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
    Metric(
        name="confident_error_rate",
        function=confident_error_rate,
        label="Predictions that are errors stated at 90% or more",
        group="overconfidence",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
    ),
)
