"""Isotonic calibration curve, and the decomposition of the Brier score that it gives."""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, paired

__all__ = ["CorpDecomposition", "IsotonicFit", "corp_decomposition", "isotonic_fit"]

# A vectorized pass that merges less than this share of the blocks costs more than it saves.
WORTHWHILE = 0.1


@dataclasses.dataclass(frozen=True)
class IsotonicFit:
    """A nondecreasing step function of the confidence, one entry per step, in order.

    Attributes:
        low: (B,) smallest confidence in the step.
        high: (B,) largest confidence in the step.
        weight: (B,) total weight of the samples in the step.
        confidence: (B,) mean confidence in the step.
        accuracy: (B,) mean correctness in the step, which is the fitted value; strictly increasing.
    """

    low: FloatArray
    high: FloatArray
    weight: FloatArray
    confidence: FloatArray
    accuracy: FloatArray


@dataclasses.dataclass(frozen=True)
class CorpDecomposition:
    """The Brier score as miscalibration - discrimination + uncertainty, each at least 0.

    Attributes:
        miscalibration: what the score loses to its isotonic recalibration.
        discrimination: what the recalibrated confidences gain over the constant accuracy.
        uncertainty: the score of the constant accuracy, accuracy * (1 - accuracy) for 0/1 outcomes.
        score: the Brier score.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float
    score: float


def isotonic_fit(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> IsotonicFit:
    """Nondecreasing function of the confidence that is nearest to the correctness.

    minimize sum_i w_i (m(c_i) - y_i)^2 over nondecreasing m

    Equal confidences get one value. The steps are the bins that the data choose for a reliability
    diagram: adjacent confidences are pooled as long as their accuracies are out of order.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        weights: (N,) >= 0, or None. A sample of weight 0 does not count.

    Returns:
        The steps, with their range, weight, mean confidence and accuracy.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: one distinct confidence, or accuracies that only fall, give one step.
    Properties: the weighted mean of the fit is the accuracy; it depends on the confidences through
        their order alone; fitting the fit again changes nothing.
    Reference: Ayer et al. 1955; Dimitriadis, Gneiting and Jordan 2021 (PNAS 118).

    Example:
        >>> isotonic_fit([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1]).accuracy
        array([0. , 0.5, 1. ])
    """
    c, y, w = paired(confidence, correct, weights)
    values, mass, hits = by_confidence(c, y, w)
    starts = _pool(mass, hits)
    weight = np.add.reduceat(mass, starts)
    return IsotonicFit(
        low=values[starts],
        high=values[np.append(starts[1:], values.size) - 1],
        weight=weight,
        confidence=np.add.reduceat(mass * values, starts) / weight,
        accuracy=np.add.reduceat(hits, starts) / weight,
    )


def corp_decomposition(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> CorpDecomposition:
    """Brier score split by the isotonic fit into miscalibration, discrimination and uncertainty.

    MCB = S(c) - S(m(c)),  DSC = S(mean y) - S(m(c)),  UNC = S(mean y),  S(c) = MCB - DSC + UNC

    S is the mean Brier loss and m the isotonic fit, so no bins are chosen.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        weights: (N,) >= 0, or None.

    Returns:
        The three parts, each in [0, 1], and the score, in squared probability.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: with one class, uncertainty and discrimination are 0; one distinct confidence has
        discrimination 0.
    Properties: exact; MCB is 0 if and only if the fit is the confidence itself; DSC depends on the
        order of the confidences alone.
    Reference: Dimitriadis, Gneiting and Jordan 2021 (PNAS 118), "CORP".

    Example:
        >>> parts = corp_decomposition([0.5, 0.5, 1.0, 1.0], [0, 1, 1, 1])
        >>> parts.miscalibration, parts.discrimination, parts.uncertainty
        (0.0, 0.0625, 0.1875)
    """
    c, y, w = paired(confidence, correct, weights)
    fit = isotonic_fit(c, y, weights=w)
    share = fit.weight / fit.weight.sum()
    accuracy = float(share @ fit.accuracy)
    losses = (c - y) ** 2 + y * (1.0 - y)
    score = float(losses.mean() if w is None else losses @ (w / w.sum()))
    recalibrated = float(share @ (fit.accuracy * (1.0 - fit.accuracy)))
    return CorpDecomposition(
        miscalibration=max(score - recalibrated, 0.0),
        discrimination=float(share @ (fit.accuracy - accuracy) ** 2),
        uncertainty=accuracy * (1.0 - accuracy),
        score=score,
    )


def by_confidence(
    c: FloatArray, y: FloatArray, w: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct confidences in order, the weight at each, and the weight that is correct."""
    if w is not None and not w.all():
        counts = w > 0.0
        c, y, w = c[counts], y[counts], w[counts]
    order = np.argsort(c)
    c = c[order]
    starts = np.flatnonzero(np.append(True, c[1:] != c[:-1]))
    if w is None:
        mass = np.diff(np.append(starts, c.size)).astype(np.float64)
        hits = np.add.reduceat(y[order], starts)
    else:
        mass = np.add.reduceat(w[order], starts)
        hits = np.add.reduceat((w * y)[order], starts)
    return c[starts], mass, hits


def _pool(mass: FloatArray, hits: FloatArray) -> IntArray:
    """First index of each block of the isotonic fit, by pooling adjacent violators.

    Neighbors out of order always share a block, so whole runs of them can be merged at once, a pass
    at a time; what is left when passes stop paying is merged one by one on a stack.
    """
    starts = np.arange(mass.size)
    while True:
        rises = hits[1:] * mass[:-1] > hits[:-1] * mass[1:]
        if rises.all():
            return starts
        heads = np.append(0, np.flatnonzero(rises) + 1)
        merged = mass.size - heads.size
        starts, mass, hits = (
            starts[heads],
            np.add.reduceat(mass, heads),
            np.add.reduceat(hits, heads),
        )
        if merged < WORTHWHILE * (heads.size + merged):
            return _pool_one_by_one(starts, mass, hits)


def _pool_one_by_one(starts: IntArray, mass: FloatArray, hits: FloatArray) -> IntArray:
    blocks: list[int] = []
    masses: list[float] = []
    totals: list[float] = []
    for start, weight, total in zip(starts.tolist(), mass.tolist(), hits.tolist(), strict=True):
        while masses and total * masses[-1] <= totals[-1] * weight:
            start = blocks.pop()
            weight += masses.pop()
            total += totals.pop()
        blocks.append(start)
        masses.append(weight)
        totals.append(total)
    return np.array(blocks, dtype=np.int64)
