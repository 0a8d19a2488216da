"""What ECE a perfectly calibrated model with the same confidences would show, by chance alone.

Under the null every sample is right with probability equal to its confidence. Only the per-bin sums
of confidence minus correctness matter, so large groups of samples are drawn as one binomial.
"""

from __future__ import annotations

import dataclasses
import math
import operator

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes, times_or_none
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.metrics._accumulate import NORMS, BinRule, gap_norm, per_bin, placed
from levelhead.metrics._ties import scaled_weights

__all__ = ["EceExcess", "EceNull", "ece_excess_test", "ece_null"]

_EXACT_UP_TO = 10_000_000  # samples times draws: below this every single outcome is drawn
_BLOCK = 1_000_000  # outcomes drawn at once, so that memory stays small
_CELLS = (
    1_000  # cells of equal confidence where samples are grouped; percentages each have their own
)
_STREAM = 0x6E756C6C
_SAME = 1e-12  # an ECE this close to a draw equals it


@dataclasses.dataclass(frozen=True)
class EceNull:
    """The ECE of a perfectly calibrated model with given confidences.

    Attributes:
        expected: its mean over the draws.
        sd: its standard deviation.
        quantile_95: what it exceeds once in twenty times.
        draws: (n_draws,) the simulated ECEs.
    """

    expected: float
    sd: float
    quantile_95: float
    draws: FloatArray


@dataclasses.dataclass(frozen=True)
class EceExcess:
    """An ECE against its null.

    Attributes:
        ece: the observed ECE.
        expected: the mean ECE of a calibrated model with the same confidences.
        quantile_95: what such a model exceeds once in twenty times.
        excess: ece - expected; negative values are possible and mean nothing.
        p_value: (1 + #{draws >= ece}) / (1 + n_draws).
    """

    ece: float
    expected: float
    quantile_95: float
    excess: float
    p_value: float


def ece_null(
    confidence: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    norm: str = "l1",
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    n_draws: int = 1000,
    seed: int = 0,
) -> EceNull:
    """Distribution of the ECE of a perfectly calibrated model that states these confidences.

    ECE(c, y*) with y*_i ~ Bernoulli(c_i), n_draws times

    Args:
        confidence: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        norm: `l1`, `l2` or `max`, see `ece`.
        weights: (N,) >= 0; None counts every sample once.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels, e.g. prompt ids. The samples of a cluster then share one uniform
            number U, y*_i = [U < c_i]: as dependent as calibration allows. `ece_excess_test`
            estimates the dependence instead. None draws every sample on its own.
        n_draws: how many models to simulate, at least 1.
        seed: of the random numbers, >= 0; the same seed gives the same draws.

    Returns:
        An `EceNull`.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: up to N * n_draws = 10 million every outcome is drawn, or one binomial for each
        distinct confidence. Above, independent samples are grouped by bin and by thousandth of
        confidence and drawn as one binomial per group, scaled to the exact variance (exact
        altogether where a group holds one confidence, as percentages do), and the gaps of clustered
        samples are drawn from the normal distribution with the covariance of simulated calibrated
        clusters, which needs many of them.
    Properties: mean 0 and the exact variance for the gap of every bin; independent of order in
        distribution.
    Reference: Broecker and Smith 2007 (consistency resampling); Vaicenavicius et al. 2019.

    Example:
        >>> null = ece_null([0.5] * 100, n_draws=2000)
        >>> 0.035 < null.expected < 0.045  # sqrt(2 / pi) * 0.05 = 0.0399
        True
    """
    rule = BinRule(n_bins, closed, edges)
    times = times_or_none(counts, weights, clusters)
    given = weights if times is None else times
    c, _, w, index = placed(confidence, confidence, given, rule, bins)
    w = scaled_weights(w)
    groups = _groups(clusters, c.size)
    draws = _null_draws(
        c, w, index, rule.n_bins, norm, groups, 1.0, n_draws, seed, counted=times is not None
    )
    return EceNull(float(draws.mean()), float(draws.std()), float(np.quantile(draws, 0.95)), draws)


def ece_excess_test(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    norm: str = "l1",
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    n_draws: int = 1000,
    seed: int = 0,
) -> EceExcess:
    """Test whether an ECE is larger than that of a calibrated model with the same confidences.

    p = (1 + #{ECE(c, y*) >= ECE(c, y)}) / (1 + n_draws),  y*_i ~ Bernoulli(c_i)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        norm: `l1`, `l2` or `max`, see `ece`.
        weights: (N,) >= 0; None counts every sample once.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels, e.g. prompt ids. Samples of a cluster are then drawn with the
            correlation that the data show: each takes the uniform number of its cluster with
            probability sqrt(rho) and one of its own otherwise, where rho in [0, 1] is the
            within-cluster correlation of correctness around the accuracy of the bin. None treats
            samples as independent, which makes p too small where several answer one prompt.
        n_draws: how many models to simulate, at least 1.
        seed: of the random numbers, >= 0; the same seed gives the same p-value.

    Returns:
        An `EceExcess`.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: fractional correctness is compared with 0/1 draws: the test is then conservative;
        outcomes are simulated as in `ece_null`.
    Properties: exact for independent samples at any N: a calibrated model gets p <= a with
        probability at most a.
    Reference: Broecker and Smith 2007; Vaicenavicius et al. 2019 (arXiv:1902.06977).

    Example:
        >>> test = ece_excess_test([0.9] * 100, [1] * 67 + [0] * 33)
        >>> round(test.ece, 6), test.p_value < 0.01
        (0.23, True)
    """
    rule = BinRule(n_bins, closed, edges)
    times = times_or_none(counts, weights, clusters)
    given = weights if times is None else times
    c, y, w, index = placed(confidence, correct, given, rule, bins)
    w = scaled_weights(w)
    groups = _groups(clusters, c.size)
    rho = 0.0 if groups is None else _within_cluster_correlation(y, w, index, groups)
    draws = _null_draws(
        c, w, index, rule.n_bins, norm, groups, rho, n_draws, seed, counted=times is not None
    )
    gap = per_bin(index, c - y if w is None else w * (c - y), rule.n_bins)
    weight = per_bin(index, w, rule.n_bins)
    observed = gap_norm(gap, weight, norm)
    as_large = int(np.count_nonzero(draws >= observed - _SAME))
    expected = float(draws.mean())
    return EceExcess(
        ece=observed,
        expected=expected,
        quantile_95=float(np.quantile(draws, 0.95)),
        excess=observed - expected,
        p_value=(1 + as_large) / (1 + draws.size),
    )


def _groups(clusters: ArrayLike | None, size: int) -> IntArray | None:
    """Cluster codes, or None where no two samples share a cluster."""
    if clusters is None:
        return None
    groups = codes("clusters", clusters, size)
    return None if int(groups.max()) + 1 == size else groups


def _within_cluster_correlation(
    y: FloatArray, w: FloatArray | None, index: IntArray, groups: IntArray
) -> float:
    """Correlation of correctness of two samples of a cluster, around the accuracy of their bins.

    The sum over pairs of the products of residuals, over what it would be if all were one draw; 1
    where the data cannot tell.
    """
    weight = np.bincount(index, w)
    accuracy = np.bincount(index, y if w is None else w * y) / np.where(weight > 0.0, weight, 1.0)
    residual = y - accuracy[index]
    spread = np.sqrt(np.maximum(accuracy * (1.0 - accuracy), 0.0))[index]
    if w is not None:
        residual, spread = w * residual, w * spread

    def pairs(values: FloatArray) -> float:
        return float((np.bincount(groups, values) ** 2).sum() - (values**2).sum())

    scale = pairs(spread)
    return min(1.0, max(0.0, pairs(residual) / scale)) if scale > 0.0 else 1.0


def _null_draws(
    c: FloatArray,
    w: FloatArray | None,
    index: IntArray,
    n_bins: int,
    norm: str,
    groups: IntArray | None,
    rho: float,
    n_draws: int,
    seed: int,
    *,
    counted: bool,
) -> FloatArray:
    """(n_draws,) ECEs of calibrated models; `counted` says that `w` counts equal samples."""
    if norm not in NORMS:
        raise unknown_name("norm", norm, NORMS)
    n = _whole("n_draws", n_draws, 1)
    used, index = np.unique(index, return_inverse=True)  # empty bins need no columns
    weight = per_bin(index, w, used.size)
    # A stream of its own: data made with the same small seed must not share their numbers with it.
    rng = np.random.default_rng([_whole("seed", seed, 0), _STREAM])
    small = c.size * n <= _EXACT_UP_TO
    if counted:
        gaps = _binomial(c, w, index, used.size, _cell(c), n, rng, counted=True)
    elif groups is not None and rho > 0.0:
        draw = _clustered_outcomes if small else _clustered_normal
        gaps = draw(c, w, index, used.size, groups, rho, n, rng)
    else:
        cells = _distinct(c, w) if small else _cell(c)
        if small and 2 * (int(cells.max()) + 1) > c.size:
            gaps = _clustered_outcomes(c, w, index, used.size, np.arange(c.size), 1.0, n, rng)
        else:
            gaps = _binomial(c, w, index, used.size, cells, n, rng)
    return _norms(gaps, weight, norm)


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InvalidInputError(f"{name}: expected a whole number, got {value!r}") from error
    if number < least:
        kind = "a whole number >= 0" if least == 0 else f"at least {least}"
        raise InvalidInputError(f"{name}: expected {kind}, got {number}")
    return number


def _norms(gaps: FloatArray, weight: FloatArray, norm: str) -> FloatArray:
    """`gap_norm` of every row of (n_draws, B) gaps."""
    filled = weight > 0.0
    gaps, weight = np.abs(gaps[:, filled]), weight[filled]
    if norm == "l1":
        return gaps.sum(axis=1) / weight.sum()
    if norm == "l2":
        return np.sqrt((gaps**2 / weight).sum(axis=1) / weight.sum())
    return (gaps / weight).max(axis=1)


def _distinct(c: FloatArray, w: FloatArray | None) -> IntArray:
    """A code for each distinct pair of confidence and weight."""
    code = np.unique(c, return_inverse=True)[1]
    if w is not None:
        values, weight = np.unique(w, return_inverse=True)
        code = np.unique(code * values.size + weight, return_inverse=True)[1]
    return code


def _cell(c: FloatArray) -> IntArray:
    """The thousandth that a confidence lies in, so that equal decimals share one."""
    return BinRule(_CELLS).cells(c)


def _binomial(
    c: FloatArray,
    w: FloatArray | None,
    index: IntArray,
    n_bins: int,
    cells: IntArray,
    n_draws: int,
    rng: np.random.Generator,
    *,
    counted: bool = False,
) -> FloatArray:
    """(n_draws, B) gaps, a binomial per cell of a bin, scaled to the variance of its samples."""
    one = np.ones_like(c) if w is None else w
    key = cells * n_bins + index
    count = np.bincount(key, one if counted else None)
    square = one if counted else one * one
    mass, mean, variance = (np.bincount(key, v) for v in (one, one * c, square * c * (1.0 - c)))
    gaps = np.zeros((n_draws, n_bins))
    for k in np.flatnonzero(variance > 0.0).tolist():
        size, p = int(count[k]), min(1.0, float(mean[k] / mass[k]))
        spread = size * p * (1.0 - p)
        if spread > 0.0:
            scale = math.sqrt(float(variance[k]) / spread)
            gaps[:, k % n_bins] += scale * (size * p - rng.binomial(size, p, n_draws))
    return gaps


def _clustered_outcomes(
    c: FloatArray,
    w: FloatArray | None,
    index: IntArray,
    n_bins: int,
    groups: IntArray,
    rho: float,
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """(n_draws, B) gaps, every outcome drawn by itself: [U_i < c_i], U_i shared as `rho` says."""
    one = np.ones_like(c) if w is None else w
    place = np.zeros((c.size, n_bins))
    place[np.arange(c.size), index] = one
    total = np.bincount(index, one * c, n_bins)
    gaps = np.empty((n_draws, n_bins))
    step = max(1, _BLOCK // c.size)
    for start in range(0, n_draws, step):
        rows = min(step, n_draws - start)
        outcome = (_uniform(groups, rho, rows, rng) < c).astype(np.float64)
        gaps[start : start + rows] = total - outcome @ place
    return gaps


def _uniform(groups: IntArray, rho: float, rows: int, rng: np.random.Generator) -> FloatArray:
    """(rows, N) uniform numbers: that of the cluster with probability sqrt(rho), else one's own."""
    n_groups = int(groups.max()) + 1
    shared = rng.random((rows, n_groups))
    if n_groups < groups.size:
        shared = shared[:, groups]
    if rho >= 1.0:
        return shared
    own = rng.random(shared.shape)
    return np.where(rng.random(shared.shape) < math.sqrt(rho), shared, own)


def _clustered_normal(
    c: FloatArray,
    w: FloatArray | None,
    index: IntArray,
    n_bins: int,
    groups: IntArray,
    rho: float,
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """(n_draws, B) normal gaps with the covariance of simulated calibrated clusters."""
    one = np.ones_like(c) if w is None else w
    order = np.argsort(groups, kind="stable")
    groups, c, one, index = groups[order], c[order], one[order], index[order]
    n_groups = int(groups[-1]) + 1
    step = max(1, _BLOCK // n_bins)
    firsts = np.arange(0, n_groups, step)
    starts = np.append(np.searchsorted(groups, firsts), groups.size)
    covariance = np.zeros((n_bins, n_bins))
    repeats = max(1, _BLOCK // c.size)
    for _ in range(repeats):
        gap = one * (c - (_uniform(groups, rho, 1, rng)[0] < c))
        for first, start, stop in zip(firsts, starts[:-1], starts[1:], strict=True):
            rows = min(step, n_groups - int(first))
            key = (groups[start:stop] - first) * n_bins + index[start:stop]
            sums = np.bincount(key, gap[start:stop], rows * n_bins).reshape(rows, n_bins)
            covariance += sums.T @ sums / repeats
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return rng.standard_normal((n_draws, n_bins)) @ root.T
