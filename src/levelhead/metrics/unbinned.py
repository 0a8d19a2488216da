"""Calibration and scores without bins: Brier, log score, smooth ECE, isotonic decomposition, KS."""

from __future__ import annotations

import math

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired
from levelhead.metrics._table import Metric
from levelhead.metrics.isotonic import (
    CorpDecomposition,
    IsotonicFit,
    by_confidence,
    corp_decomposition,
    isotonic_fit,
)
from levelhead.metrics.smooth import SmoothCurve, smooth_curve, smooth_ece
from levelhead.scoring import brier_loss, log_loss

__all__ = [
    "TABLE",
    "CorpDecomposition",
    "IsotonicFit",
    "SmoothCurve",
    "brier",
    "brier_skill",
    "corp_decomposition",
    "isotonic_fit",
    "ks_error",
    "nll",
    "smooth_curve",
    "smooth_ece",
]


def brier(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Brier score: mean squared distance between confidence and correctness.

    sum_i w_i (y_i (1 - c_i)^2 + (1 - y_i) c_i^2) / sum_i w_i

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        weights: (N,) >= 0, or None.

    Returns:
        In [0, 1].

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Properties: lower is better; strictly proper; plug-in.
    Reference: Brier 1950.

    Example:
        >>> round(brier([0.9, 0.9, 0.6], [1, 0, 1]), 6)
        0.326667
    """
    c, y, w = paired(confidence, correct, weights)
    return _mean(brier_loss(c, y), w)


def brier_skill(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Share of the Brier score of a constant that the confidences save.

    1 - Brier / (a (1 - a)), where a is the accuracy

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        weights: (N,) >= 0, or None.

    Returns:
        At most 1; 0 for always stating the accuracy; below 0 for confidences that do harm.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: NaN if all are right or all are wrong.
    Properties: higher is better; plug-in.
    Reference: Murphy 1973.

    Example:
        >>> round(brier_skill([0.9, 0.1, 0.9, 0.1], [1, 0, 1, 0]), 6)
        0.96
    """
    c, y, w = paired(confidence, correct, weights)
    accuracy = _mean(y, w)
    uncertainty = accuracy * (1.0 - accuracy)
    return 1.0 - _mean(brier_loss(c, y), w) / uncertainty if uncertainty > 0.0 else math.nan


def nll(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    eta: float = 0.01,
    weights: ArrayLike | None = None,
) -> float:
    """Negative log-likelihood of the correctness, with confidences clipped to [eta, 1 - eta].

    -sum_i w_i (y_i ln c'_i + (1 - y_i) ln(1 - c'_i)) / sum_i w_i,  c' = min(max(c, eta), 1 - eta)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        eta: in [0, 0.5); 0 does not clip, and a certain error then makes the result infinite.
        weights: (N,) >= 0, or None.

    Returns:
        In [-ln(1 - eta), -ln eta], nats.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Properties: lower is better; strictly proper on [eta, 1 - eta]; plug-in.
    Reference: Good 1952.

    Example:
        >>> round(nll([0.9, 1.0], [1, 0]), 6)
        2.355265
    """
    c, y, w = paired(confidence, correct, weights)
    losses = log_loss(c, y, eta=eta)
    if w is not None and not w.all():
        counts = w > 0.0  # with eta = 0 a loss may be infinite, and 0 * inf is not 0
        losses, w = losses[counts], w[counts]
    return _mean(losses, w)


def ks_error(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Kolmogorov-Smirnov calibration error: the largest gap cumulated from the lowest confidence.

    max_v |sum_{i: c_i <= v} w_i (c_i - y_i)| / sum_i w_i

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        weights: (N,) >= 0, or None.

    Returns:
        In [0, 1].

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: equal confidences are cumulated together, so the order of the samples has no effect.
    Properties: lower is better; plug-in; at least |mean confidence - accuracy|.
    Reference: Gupta et al. 2021 (arXiv:2006.12800).

    Example:
        >>> round(ks_error([0.2, 0.8, 0.8], [0, 1, 0]), 6)
        0.266667
    """
    c, y, w = paired(confidence, correct, weights)
    values, mass, hits = by_confidence(c, y, w)
    return float(np.abs(np.cumsum(mass * values - hits)).max() / mass.sum())


def _mean(values: FloatArray, w: FloatArray | None) -> float:
    return float(values.mean() if w is None else values @ w / w.sum())


TABLE: tuple[Metric, ...] = (
    Metric(
        name="brier",
        function=brier,
        label="Brier score",
        group="scores",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="event",
        reference="Brier 1950",
    ),
    Metric(
        name="brier_skill",
        function=brier_skill,
        label="Brier skill",
        group="scores",
        better="higher",
        low=-math.inf,
        high=1.0,
        event_reading="event",
        reference="Murphy 1973",
    ),
    Metric(
        name="nll",
        function=nll,
        label="Negative log-likelihood",
        group="scores",
        better="lower",
        low=-math.log(0.99),
        high=-math.log(0.01),
        event_reading="event",
        reference="Good 1952",
    ),
    Metric(
        name="smooth_ece",
        function=smooth_ece,
        label="Smooth ECE",
        group="calibration",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="event",
        reference="Blasiok and Nakkiran 2023",
    ),
    Metric(
        name="ks_error",
        function=ks_error,
        label="Kolmogorov-Smirnov error",
        group="calibration",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="event",
        reference="Gupta et al. 2021",
    ),
)
