"""How sure a number is: bootstrap intervals, an honest one for the ECE, and two models compared.

Everything is seeded, and clustered where rows depend on one another. Resampling is exact wherever
confidences take few distinct values, and for any 20,000 rows or fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, paired, times_or_none, vector
from levelhead.errors import InvalidInputError
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics._ties import scaled_weights
from levelhead.metrics.batch import METRICS, MetricSpec, parse_metric
from levelhead.metrics.ece_interval import check_level, check_seed, ece_interval, effective_rows
from levelhead.metrics.paired import PairedDifference, paired_differences
from levelhead.metrics.resample import Interval, Plan, Rows, cluster_codes, percentile

__all__ = [
    "Interval",
    "PairedDifference",
    "bootstrap",
    "ece_interval",
    "metric_names",
    "paired_differences",
    "reliability_intervals",
    "trust_curve_intervals",
]


def metric_names() -> list[str]:
    """Names that `bootstrap` and `paired_differences` know; `name@value` sets a parameter.

    Args:
        none.

    Returns:
        The names, in the order of the table.

    Example:
        >>> metric_names()[:3]
        ['ece', 'over_ece', 'under_ece']
    """
    return list(METRICS)


def bootstrap(
    confidence: ArrayLike,
    correct: ArrayLike,
    metrics: Sequence[str] | Mapping[str, str | Callable[..., float]],
    *,
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    n_bins: int = 10,
    closed: str = "right",
    edges: str = "decimal",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals of many metrics from one set of resamples.

    [q_{a/2}, q_{1-a/2}] of the metric over resamples of rows (or whole clusters), a = 1 - level

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0.5 counts half.
        metrics: names of `metric_names`, `"trust@0.75"` with a parameter; or a mapping from your
            own keys to names or to functions `(confidence, correct, *, weights=None) -> float`.
        weights: (N,) >= 0; a resampled row keeps its weight; None = 1.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels; whole clusters are resampled.
        n_bins: number of bins of equal width, for the binned metrics.
        closed: `right` or `left`: the edge that belongs to a bin.
        edges: `decimal` or `float`, as in `bin_index`.
        n_boot: number of resamples.
        level: coverage wanted, in (0, 1).
        seed: of the resamples.

    Returns:
        One interval per metric, under its name or key.

    Raises:
        InvalidInputError: an argument is out of its range, or a metric is unknown.

    Edge cases: resamples where a metric is undefined (AUROC with one class) are left out; where
        they are more than a tenth, or there is one cluster only, the ends are NaN. More than 20,000
        rows of distinct confidences are resampled in 400 cells of neighbors: see `resample.Plan`.
    Properties: the percentile interval of `ece` does not cover near zero; use `ece_interval`.
    Reference: Efron & Tibshirani 1993, chapter 13; Field & Welsh 2007 (clusters).

    Example:
        >>> interval = bootstrap([0.8] * 100, [1] * 70 + [0] * 30, ["accuracy"])["accuracy"]
        >>> interval.value, 0.55 < interval.low < 0.65, 0.75 < interval.high < 0.85
        (0.7, True, True)
    """
    times = times_or_none(counts, weights, clusters)
    c, y, w = paired(confidence, correct, weights)
    w = scaled_weights(w)
    check_level(level)
    check_seed(seed)
    rule = BinRule(n_bins, closed, edges)
    if times is not None and times.shape != c.shape:
        raise InvalidInputError(f"counts: expected {c.size} values, one per row, got {times.size}")
    if n_boot < 2:
        raise InvalidInputError(f"n_boot: expected at least 2, got {n_boot}")
    if isinstance(metrics, str):
        raise InvalidInputError(f"metrics: expected a list of names, got the text {metrics!r}")
    wanted = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
    if times is not None and not all(isinstance(m, str) for m in wanted.values()):
        raise InvalidInputError("counts: expected metrics by name beside them, got a function")
    table = {key: parse_metric(m) for key, m in wanted.items() if isinstance(m, str)}
    calls = {key: m for key, m in wanted.items() if not isinstance(m, str)}
    groups = None if clusters is None else cluster_codes("clusters", clusters, c.size)
    result: dict[str, Interval] = {}
    if table:
        specs = list(table.values())
        # Clusters of one row each are rows, which there are quicker ways to resample.
        known = None if groups is None or int(groups.max()) + 1 == c.size else groups
        values, replicates = _replicates(c, y, w, known, times, specs, rule, n_boot, seed)
        method = "percentile bootstrap" if groups is None else "cluster bootstrap"
        alone = groups is not None and int(groups.max()) == 0
        for i, key in enumerate(table):
            ends = (math.nan, math.nan) if alone else percentile(replicates[:, i], level)
            result[key] = Interval(float(values[i]), *ends, level, method, n_boot)
    for key, function in calls.items():
        result[key] = _loop(c, y, w, groups, function, n_boot, level, seed)
    return {key: result[key] for key in wanted}


def _replicates(
    c: FloatArray,
    y: FloatArray,
    w: FloatArray | None,
    groups: IntArray | None,
    times: FloatArray | None,
    specs: Sequence[MetricSpec],
    rule: BinRule,
    n_boot: int,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    """Values (k,) and replicates (n_boot, k) of the metrics."""
    rows = Rows.of(c, y, w, groups, 0 if groups is None else int(groups.max()) + 1, times)
    plan = Plan(rows, specs, rule=rule)
    rng = np.random.default_rng(seed)
    blocks = [plan.evaluate(counts) for counts in plan.draw(rng, n_boot)]
    replicates = np.concatenate(blocks)
    values = plan.evaluate(plan.observed)[0]
    if plan.coarse and plan.ranked:
        exact = Plan(rows, specs, rule=rule, exact_rows=rows.size)
        true = exact.evaluate(exact.observed)[0]
        replicates += np.nan_to_num(true - values)
        values = true
    return values, replicates


def _loop(
    c: FloatArray,
    y: FloatArray,
    w: FloatArray | None,
    groups: IntArray | None,
    function: Callable[..., float],
    n_boot: int,
    level: float,
    seed: int,
) -> Interval:
    """The slow way: calls a function on each resample."""
    rng = np.random.default_rng(seed)
    weight = np.ones(c.size) if w is None else w
    draws = np.empty(n_boot)
    for b in range(n_boot):
        if groups is None:
            times = np.bincount(rng.integers(0, c.size, c.size), minlength=c.size)
        else:
            n = int(groups.max()) + 1
            times = np.bincount(rng.integers(0, n, n), minlength=n)[groups]
        keep = times * weight > 0
        draws[b] = (
            function(c[keep], y[keep], weights=(times * weight)[keep]) if keep.any() else math.nan
        )
    value = float(function(c, y) if w is None else function(c, y, weights=w))
    method = "percentile bootstrap" if groups is None else "cluster bootstrap"
    return Interval(value, *percentile(draws, level), level, method, n_boot)


def trust_curve_intervals(
    confidence: ArrayLike,
    correct: ArrayLike,
    t0s: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Pointwise intervals of Trust over a grid of stakes floors.

    The interval of `bootstrap` for `trust@t0`, for each t0

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0.5 counts half.
        t0s: (T,) in [0, 1).
        weights: (N,) >= 0; None = 1.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels; whole clusters are resampled.
        n_boot: number of resamples.
        level: pointwise coverage wanted, in (0, 1).
        seed: of the resamples.

    Returns:
        (T,) intervals in the order of `t0s`.

    Raises:
        InvalidInputError: an argument is out of its range.

    Example:
        >>> curve = trust_curve_intervals([0.95] * 20, [1] * 19 + [0], [0, 0.5])
        >>> [round(point.value, 3) for point in curve]
        [0.8, 0.67]
    """
    names = {str(i): f"trust@{float(t)!r}" for i, t in enumerate(vector("t0s", t0s))}
    result = bootstrap(
        confidence,
        correct,
        names,
        weights=weights,
        counts=counts,
        clusters=clusters,
        n_boot=n_boot,
        level=level,
        seed=seed,
    )
    return list(result.values())


def reliability_intervals(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """Wilson intervals for the accuracy in each non-empty bin of a reliability diagram.

    (p + z^2/2n -/+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), n the effective number of rows

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0.5 counts half.
        n_bins: number of bins of equal width.
        closed: `right` or `left`: the edge that belongs to a bin.
        edges: `decimal` or `float`, as in `bin_index`.
        weights: (N,) >= 0; None = 1.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels; dependence within a cluster lowers the effective number of rows.
        level: coverage wanted, in (0, 1).

    Returns:
        Lower and upper ends, one pair per non-empty bin in order, in [0, 1].

    Raises:
        InvalidInputError: an argument is out of its range.

    Edge cases: a bin that is all right or all wrong still has a width; with clusters its effective
        number of rows is then that of rows which depend wholly on one another.
    Reference: Wilson 1927; Dean & Pagano 2015 (effective sample size in clusters).

    Example:
        >>> low, high = reliability_intervals([0.95] * 10, [1] * 10)
        >>> low.round(4), high
        (array([0.7225]), array([1.]))
    """
    times = times_or_none(counts, weights, clusters)
    c, y, w = paired(confidence, correct, weights if times is None else times)
    w = scaled_weights(w)
    check_level(level)
    rule = BinRule(n_bins, closed, edges)
    weight = np.ones(c.size) if w is None else w
    index = rule.index(c)
    mass = np.bincount(index, weight, n_bins).astype(np.float64)
    used = mass > 0
    rate = np.bincount(index, weight * y, n_bins)[used] / mass[used]
    effective = effective_rows(index, weight, mass, counted=times is not None)[used]
    if clusters is not None:
        groups = cluster_codes("clusters", clusters, c.size)
        kept = weight > 0
        position = (np.cumsum(used) - 1)[index[kept]]
        share = weight[kept] / mass[used][position]  # so that no square vanishes
        residual = y[kept] - rate[position]
        effective /= _design_effect(position, groups[kept], share, residual, rate.size)
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    z2 = z * z / effective
    middle = rate + z2 / 2.0
    half = np.sqrt(rate * (1.0 - rate) * z2 + z2 * z2 / 4.0)
    low, high = (middle - half) / (1.0 + z2), (middle + half) / (1.0 + z2)
    return np.clip(low, 0.0, rate), np.clip(high, rate, 1.0)


def _design_effect(
    index: IntArray, groups: IntArray, weight: FloatArray, residual: FloatArray, k: int
) -> FloatArray:
    """Variance of a bin's accuracy with clusters over that without: from 1 to full dependence."""
    cell = np.unique(groups * k + index, return_inverse=True)
    bin_of_cell = cell[0] % k
    mass = np.bincount(cell[1], weight)
    full = np.bincount(bin_of_cell, mass**2, k) / np.bincount(index, weight**2, k)
    between = np.bincount(bin_of_cell, np.bincount(cell[1], weight * residual) ** 2, k)
    within = np.bincount(index, (weight * residual) ** 2, k)
    count = np.bincount(bin_of_cell, minlength=k)
    small = count / np.maximum(count - 1, 1)  # the usual correction for few clusters
    effect = np.divide(between * small, within, out=full.copy(), where=within > 0)
    return np.clip(effect, 1.0, np.maximum(full, 1.0))
