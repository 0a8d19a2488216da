"""Calibration of class probabilities: of the top label, and class by class."""

from __future__ import annotations

import numpy as np

from levelhead._arrays import (
    SUM_TOLERANCE,
    ArrayLike,
    FloatArray,
    IntArray,
    class_probabilities,
    integers,
)
from levelhead.metrics._accumulate import BinRule, binned_gaps, gap_norm, gap_sums, inside

__all__ = ["classwise_ece", "top_label_ece"]

_CHUNK = 131_072  # probabilities: a transposed piece stays in the second level cache


def top_label_ece(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    norm: str = "l1",
    weights: ArrayLike | None = None,
) -> float:
    """ECE of the most probable class: its probability against whether it is the label.

    c_i = max_k p_ik,  y_i = [label_i in argmax_k p_ik] / |argmax_k p_ik|,  ECE as in `ece`

    Args:
        probs: (N, K) class probabilities, rows summing to 1.
        labels: (N,) class indices 0..K-1.
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        norm: `l1`, `l2` or `max`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1].

    Raises:
        InvalidInputError: a wrong shape, a row that does not sum to 1, an index out of range.

    Edge cases: m classes that tie for the maximum are right for 1/m each, so the result does not
        depend on the order of the classes.
    Properties: independent of the order of rows and classes.
    Reference: Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> top_label_ece([[0.75, 0.25], [0.25, 0.75]], [0, 0])
        0.25
    """
    confidence, correct = _top_label(probs, labels)
    return _ece(confidence, correct, BinRule(n_bins, closed, edges), bins, norm, weights)


def classwise_ece(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    norm: str = "l1",
    weights: ArrayLike | None = None,
) -> float:
    """Classwise ECE: the mean over classes of the ECE of that class's probability.

    (1/K) sum_k ECE(p_k, [label = k])

    Args:
        probs: (N, K) class probabilities, rows summing to 1.
        labels: (N,) class indices 0..K-1.
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        norm: `l1`, `l2` or `max`, of each class.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1].

    Raises:
        InvalidInputError: a wrong shape, a row that does not sum to 1, an index out of range.

    Edge cases: classes without a label count like all others.
    Properties: independent of the order of rows and classes.
    Reference: Kull et al. 2019 (arXiv:1910.12656).

    Example:
        >>> classwise_ece([[0.75, 0.25], [0.25, 0.75]], [0, 0])
        0.5
    """
    p = class_probabilities("probs", probs)
    y = integers("labels", labels, p.shape[0], p.shape[1])
    rule = BinRule(n_bins, closed, edges)
    errors = [
        _ece(np.ascontiguousarray(p[:, k]), (y == k).astype(np.float64), rule, bins, norm, weights)
        for k in range(p.shape[1])
    ]
    return float(np.mean(errors))


def _ece(
    confidence: FloatArray,
    correct: FloatArray,
    rule: BinRule,
    bins: str,
    norm: str,
    weights: ArrayLike | None,
) -> float:
    if norm == "l1" and bins == "width":
        gap, total = gap_sums(confidence, correct, weights, rule)
        return float(np.abs(gap).sum() / total)
    return gap_norm(*binned_gaps(confidence, correct, weights, rule, bins), norm)


def _top_label(probs: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The highest probability of each row, and the share of it that goes to the label."""
    p = np.asarray(probs)
    if p.ndim != 2 or p.shape[0] == 0 or p.shape[1] < 2 or p.dtype != np.float64:
        p = class_probabilities("probs", probs)
    n, k = p.shape
    y: IntArray = integers("labels", labels, n, k)
    confidence, correct = np.empty(n), np.empty(n)
    rows = max(1, _CHUNK // k)
    buffer = np.empty((k, min(rows, n)))
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        piece = buffer[:, : stop - start]
        # Maxima along a short last axis are slow; of the transposed piece they are vectorized.
        np.copyto(piece, p[start:stop].T)
        total = piece.sum(axis=0)
        if not (inside(piece) and float(np.abs(total - 1.0).max()) <= SUM_TOLERANCE):
            class_probabilities("probs", probs)
        top = np.maximum.reduce(piece, axis=0, out=confidence[start:stop])
        right = np.take_along_axis(piece, y[None, start:stop], axis=0)[0] == top
        tied = piece == top
        correct[start:stop] = right
        if np.count_nonzero(tied) > stop - start:
            correct[start:stop] /= tied.sum(axis=0)
    return confidence, correct
