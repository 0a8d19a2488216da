"""Calibration error by bins: ECE and its relatives, and the reliability diagram.

All of them use the one binning rule of `bin_index`. Equal-width bins are summed in one pass over
the memory, in float64; equal-mass bins never split equal confidences.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, IntArray, probabilities
from levelhead.metrics._accumulate import (
    BinnedAccumulator,
    BinRule,
    BinSums,
    ReliabilityCurve,
    bin_sums,
    binned_gaps,
    gap_norm,
    gap_sums,
    per_bin,
    placed,
)
from levelhead.metrics._table import Metric
from levelhead.metrics.multiclass import classwise_ece, top_label_ece
from levelhead.metrics.murphy import MurphyDecomposition, murphy_decomposition
from levelhead.metrics.nulls import EceExcess, EceNull, ece_excess_test, ece_null

__all__ = [
    "BinnedAccumulator",
    "EceExcess",
    "EceNull",
    "MurphyDecomposition",
    "ReliabilityCurve",
    "TABLE",
    "bin_index",
    "classwise_ece",
    "ece",
    "ece_excess_test",
    "ece_l2_debiased",
    "ece_null",
    "mce",
    "murphy_decomposition",
    "over_ece",
    "reliability_curve",
    "top_label_ece",
    "under_ece",
]


def bin_index(
    confidence: ArrayLike, n_bins: int = 10, *, closed: str = "right", edges: str = "decimal"
) -> IntArray:
    """Equal-width bin of each confidence: the rule that every binned metric here uses.

    right: ceil(c M - 1e-9) - 1, at least 0;  left: floor(c M + 1e-9), at most M - 1

    Args:
        confidence: (N,) in [0, 1].
        n_bins: number of bins M, 1 to 1,000,000.
        closed: `right` for bins ((k-1)/M, k/M] with 0 in the first (the default), `left` for
            [(k-1)/M, k/M) with 1 in the last.
        edges: `decimal` lets a confidence within 1e-9 bin widths of an edge lie on it, so that 0.3
            lies on 3/10 however it was computed; `float` compares with
            `numpy.linspace(0, 1, M + 1)` to the last bit, as code built on `numpy.digitize` or
            `pandas.cut` does.

    Returns:
        (N,) integers in 0..M-1.

    Raises:
        InvalidInputError: a confidence is outside [0, 1], or an argument is none of these.

    Edge cases: linspace(0, 1, 11) holds 0.30000000000000004, 0.6000000000000001 and
        0.7000000000000001, so with `edges="float", closed="left"` the values 0.3, 0.6 and 0.7 fall
        into the bin below the edge that they name. With `closed="right"` both readings agree on all
        k/100 at 10 bins.
    Reference: Guo et al. 2017 (arXiv:1706.04599) for equal-width, right-closed bins.

    Example:
        >>> bin_index([0.0, 0.1, 0.3, 0.30001, 1.0])
        array([0, 0, 2, 3, 9])
        >>> bin_index([0.0, 0.1, 0.3, 0.30001, 1.0], closed="left")
        array([0, 1, 3, 3, 9])
    """
    return BinRule(n_bins, closed, edges).index(probabilities("confidence", confidence))


def ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    norm: str = "l1",
    weights: ArrayLike | None = None,
) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, bin by bin.

    ECE = sum_b w_b |conf_b - acc_b|, w_b the share of the weight in bin b
    (l2: sqrt(sum_b w_b (conf_b - acc_b)^2); max: max_b |conf_b - acc_b|)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0 or 1, a fraction counts in part.
        n_bins: number of bins.
        bins: `width` for equal width; `mass` for equal total weight, where each distinct confidence
            goes whole into the bin of its mid-rank.
        closed: which edge belongs to an equal-width bin, `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        norm: `l1`, `l2` or `max`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1].

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: empty bins count nothing. A calibrated model scores above 0 too: see `ece_null`.
    Properties: independent of order; integer weights equal repetition; l1 <= l2 <= max.
    Reference: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> ece([0.75, 0.75, 0.5], [1, 0, 1])
        0.3333333333333333
    """
    rule = BinRule(n_bins, closed, edges)
    if norm == "l1" and bins == "width":
        gap, total = gap_sums(confidence, correct, weights, rule)
        return float(np.abs(gap).sum() / total)
    gap, weight = binned_gaps(confidence, correct, weights, rule, bins)
    return gap_norm(gap, weight, norm)


def mce(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    min_weight: float = 0.0,
    weights: ArrayLike | None = None,
) -> float:
    """Maximum calibration error: the largest gap between confidence and accuracy of any bin.

    MCE = max_b |conf_b - acc_b| over the bins that are not empty

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        min_weight: leave out bins with less weight than this, e.g. below 10 samples.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1]; NaN where no bin has `min_weight`.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: a bin with one sample counts as much as any other unless `min_weight` bars it.
    Properties: independent of order; integer weights equal repetition where `min_weight` is 0.
    Reference: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> mce([0.9, 0.9, 0.55], [1, 1, 0])
        0.55
    """
    gap, weight = binned_gaps(confidence, correct, weights, BinRule(n_bins, closed, edges), bins)
    return gap_norm(gap, weight, "max", min_weight)


def ece_l2_debiased(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
) -> float:
    """L2 calibration error with the part that chance alone adds to its square taken off.

    sqrt(max(0, sum_b w_b [(conf_b - acc_b)^2 - acc_b (1 - acc_b) / (n_b - 1)]))

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        weights: (N,) >= 0 importance weights; n_b is then (sum w)^2 / sum w^2, the effective size.

    Returns:
        A float in [0, 1]. The square is nearly unbiased before a negative one is set to 0.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: a bin with an effective size of 1 says nothing about its variance; it counts 0.
    Properties: independent of order; not a plug-in metric (repeating the data changes it).
    Reference: Kumar et al. 2019 (arXiv:1909.10155).

    Example:
        >>> ece_l2_debiased([0.75] * 8, [1, 1, 1, 1, 0, 0, 0, 0], n_bins=1)
        0.1636634176769943
    """
    rule = BinRule(n_bins, closed, edges)
    c, y, w, index = placed(confidence, correct, weights, rule, bins)
    ones = np.ones_like(c) if w is None else w
    weight, squares, gap, hits = (
        per_bin(index, v, rule.n_bins) for v in (ones, ones * ones, ones * (c - y), ones * y)
    )
    size = np.divide(weight**2, squares, out=np.zeros_like(weight), where=squares > 0.0)
    known = size > 1.0 + 1e-9
    share, accuracy = weight[known] / weight.sum(), hits[known] / weight[known]
    chance = accuracy * (1.0 - accuracy) / (size[known] - 1.0)
    square = (share * ((gap[known] / weight[known]) ** 2 - chance)).sum()
    return float(np.sqrt(max(0.0, square)))


def over_ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
) -> float:
    """Overconfident part of the ECE: what the bins contribute where confidence exceeds accuracy.

    sum_b w_b max(0, conf_b - acc_b)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1].

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: 0 where no bin is overconfident.
    Properties: over_ece + under_ece = ece; over_ece - under_ece = mean confidence - accuracy.
    Reference: the positive part of the ECE of Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> over_ece([1.0, 1.0, 0.5, 0.5], [1, 0, 1, 1])
        0.25
    """
    gap, weight = binned_gaps(confidence, correct, weights, BinRule(n_bins, closed, edges), bins)
    return float(np.maximum(gap, 0.0).sum() / weight.sum())


def under_ece(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
) -> float:
    """Underconfident part of the ECE: what the bins contribute where confidence is below accuracy.

    sum_b w_b max(0, acc_b - conf_b)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A float in [0, 1].

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: 0 where no bin is underconfident.
    Properties: over_ece + under_ece = ece; over_ece - under_ece = mean confidence - accuracy.
    Reference: the negative part of the ECE of Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> under_ece([1.0, 1.0, 0.5, 0.5], [1, 0, 1, 1])
        0.25
    """
    gap, weight = binned_gaps(confidence, correct, weights, BinRule(n_bins, closed, edges), bins)
    return float(np.maximum(-gap, 0.0).sum() / weight.sum())


def reliability_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
) -> ReliabilityCurve:
    """Points of the reliability diagram: mean confidence and accuracy of every non-empty bin.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A `ReliabilityCurve` of (B,) arrays, B the number of bins with a positive weight.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: equal-mass bins have the smallest and largest confidence inside as edges; there are
        fewer than `n_bins` of them where there are fewer distinct confidences.
    Properties: the weighted mean of |confidence - accuracy| over the points is the ECE.
    Reference: Murphy and Winkler 1977; Niculescu-Mizil and Caruana 2005.

    Example:
        >>> curve = reliability_curve([0.9, 0.9, 0.55], [1, 0, 1])
        >>> curve.confidence, curve.accuracy, curve.weight
        (array([0.55, 0.9 ]), array([1. , 0.5]), array([1., 2.]))
    """
    rule = BinRule(n_bins, closed, edges)
    if bins == "width":
        sums = bin_sums(confidence, correct, weights, rule)
        return ReliabilityCurve.from_sums(sums, rule.grid[:-1], rule.grid[1:])
    c, y, w, index = placed(confidence, correct, weights, rule, bins)
    one = np.ones_like(c) if w is None else w
    sums = BinSums(*(per_bin(index, v, rule.n_bins) for v in (one, one * c, one * y)))
    low, high = np.full(rule.n_bins, np.inf), np.full(rule.n_bins, -np.inf)
    weighed = one > 0.0
    np.minimum.at(low, index[weighed], c[weighed])
    np.maximum.at(high, index[weighed], c[weighed])
    return ReliabilityCurve.from_sums(sums, low, high)


TABLE = (
    Metric(
        "ece",
        ece,
        "Expected calibration error",
        "calibration",
        "lower",
        0.0,
        1.0,
        "event",
        reference="Naeini et al. 2015; Guo et al. 2017",
    ),
    Metric(
        "mce",
        mce,
        "Maximum calibration error",
        "calibration",
        "lower",
        0.0,
        1.0,
        "event",
        reference="Naeini et al. 2015; Guo et al. 2017",
    ),
    Metric(
        "ece_l2_debiased",
        ece_l2_debiased,
        "Calibration error, L2 debiased",
        "calibration",
        "lower",
        0.0,
        1.0,
        "event",
        plug_in=False,
        reference="Kumar et al. 2019",
    ),
    Metric(
        "over_ece",
        over_ece,
        "Overconfident part of the ECE",
        "overconfidence",
        "lower",
        0.0,
        1.0,
        "top-label",
        reference="positive part of the ECE",
    ),
    Metric(
        "under_ece",
        under_ece,
        "Underconfident part of the ECE",
        "overconfidence",
        "lower",
        0.0,
        1.0,
        "top-label",
        reference="negative part of the ECE",
    ),
)
