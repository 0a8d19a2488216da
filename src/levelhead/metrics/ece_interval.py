"""An interval for the calibration error that stays honest where the error is near zero.

The plug-in ECE of a calibrated model is never zero, so resampling around it never covers the truth.
Here each candidate error is tried in turn: the bins' gaps are moved where the data resist least
until they add up to the candidate, samples are drawn from that world, and the candidate is kept
when the observed ECE is not extreme among theirs (a hybrid of test inversion and resampling).
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from statistics import NormalDist

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, paired, times_or_none
from levelhead.errors import InvalidInputError
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics._ties import scaled_weights
from levelhead.metrics.resample import Interval, cluster_codes

__all__ = ["check_level", "check_seed", "ece_interval", "effective_rows"]

SMALL_COUNT = 8.0
"""Below this many expected rights or wrongs a bin's noise is drawn as binomial, not as normal."""

PRIOR_CLUSTERS = 10.0
"""Weight, in clusters, of the pooled design effect in that of a bin."""

POWER = 0.16
"""The upper end never falls below that of a calibrated model's sample at this quantile."""

NEGLIGIBLE = 1e-100
"""A bin with less than this share of the weight counts as empty."""

STEPS = 18
"""Halvings of the search for an end: 4e-6 of the starting range."""


def ece_interval(
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
    n_draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval for the binned calibration error of the population, honest near zero.

    theta = sum_b P(b) |E[c - y | b]|; kept are the theta with
    a/2 <= P(T* <= T | delta(theta)) and P(T* < T | delta(theta)) <= 1 - a/2, a = 1 - level

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0.5 counts half.
        n_bins: number of bins of equal width.
        closed: `right` or `left`: the edge that belongs to a bin.
        edges: `decimal` or `float`, as in `bin_index`.
        weights: (N,) >= 0; None = 1.
        counts: (N,) whole numbers >= 0: how many equal samples each row stands for, as in
            `Tally.arrays`; without weights and clusters. None = 1.
        clusters: (N,) labels; rows of a cluster may depend on one another (samples of a prompt).
        level: coverage wanted, in (0, 1).
        n_draws: simulated samples per candidate.
        seed: of the simulated samples.

    Returns:
        The plug-in ECE as `value` and the interval, in units of probability. The value is biased
        upwards, so it need not lie in the middle and may even lie above the interval.

    Raises:
        InvalidInputError: an argument is out of its range.

    Edge cases: the lower end is exactly 0 where a calibrated model could produce the sample. A
        sample better than calibrated models produce gets the upper end of a merely good one, never
        an empty interval. One cluster alone gives [0, NaN].
    Properties: coverage at least nominal up to simulation noise in the cases of
        `benchmarks/interval_coverage.py`; independent of the row order.
    Reference: Chuang & Lai 2000 (hybrid resampling); Cowan et al. 2011 (power-constrained limits).

    Example:
        >>> interval = ece_interval([0.9] * 50, [1] * 45 + [0] * 5)
        >>> interval.low, round(interval.value, 12), 0.05 < interval.high < 0.12
        (0.0, 0.0, True)
    """
    times = times_or_none(counts, weights, clusters)
    c, y, w = paired(confidence, correct, weights if times is None else times)
    w = scaled_weights(w)
    check_level(level)
    check_seed(seed)
    rule = BinRule(n_bins, closed, edges)
    if n_draws < 100:
        raise InvalidInputError(f"n_draws: expected at least 100, got {n_draws}")
    groups = None if clusters is None else cluster_codes("clusters", clusters, c.size)
    bins = BinSummary.of(c, y, w, groups, rule, counted=times is not None)
    low, _, high = invert(bins, level, n_draws, seed)
    return Interval(bins.ece, low, high, level, "test inversion", n_draws)


def check_level(level: float) -> None:
    """Raises InvalidInputError unless this is a level of confidence."""
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a value inside (0, 1), got {level}")
    if 0.5 + level / 2.0 >= 1.0:  # the upper tail has no float of its own left
        raise InvalidInputError(f"level: expected a value further below 1, got {level!r}")


def check_seed(seed: int) -> int:
    """The seed as a whole number; raises InvalidInputError unless it is one, and not negative."""
    try:
        number = operator.index(seed)
    except TypeError as error:
        raise InvalidInputError(f"seed: expected a whole number >= 0, got {seed!r}") from error
    if number < 0:
        raise InvalidInputError(f"seed: expected a whole number >= 0, got {number}")
    return number


def effective_rows(
    index: IntArray, weight: FloatArray, mass: FloatArray, *, counted: bool
) -> FloatArray:
    """Rows of equal weight that carry as much information as those of each bin (Kish).

    (sum w)^2 / sum w^2 from the shares w / sum w, since squares of tiny weights would vanish.
    """
    if counted:
        return mass
    share = weight / np.where(mass > 0, mass, 1.0)[index]
    squared = np.bincount(index, share * share, mass.size)
    return np.divide(1.0, squared, out=np.zeros_like(mass), where=squared > 0)


@dataclasses.dataclass(frozen=True)
class BinSummary:
    """Non-empty bins: shares, gaps, and what the sampling noise of the gaps is made of."""

    share: FloatArray
    gap: FloatArray
    """D_b = share times (mean confidence - accuracy)."""
    confidence: FloatArray
    effective: FloatArray
    """Rows of equal weight that carry the same information (Kish)."""
    design: FloatArray
    """Factor by which clustering inflates the variance of D_b."""
    correlation: FloatArray
    clusters: int
    """0 without clusters."""

    @property
    def ece(self) -> float:
        return float(np.abs(self.gap).sum())

    @staticmethod
    def of(
        c: FloatArray,
        y: FloatArray,
        w: FloatArray | None,
        groups: IntArray | None,
        rule: BinRule,
        *,
        counted: bool = False,
    ) -> BinSummary:
        """The summary of these rows; `counted` says that `w` counts equal rows."""
        index, n_bins = rule.index(c), rule.n_bins
        weight = np.ones(c.size) if w is None else w
        mass = np.bincount(index, weight, n_bins).astype(np.float64)
        total = mass.sum()
        used = mass > NEGLIGIBLE * total
        square = weight if counted else weight * weight
        share = mass[used] / total
        gap = np.bincount(index, weight * (c - y), n_bins)[used] / total
        mean = np.bincount(index, weight * c, n_bins)[used] / mass[used]
        effective = effective_rows(index, weight, mass, counted=counted)[used]
        n_groups = 0
        if groups is None:
            design = np.ones(share.size)
            total_effective = float(total**2 / square.sum())
            deviation = _variance(share, gap, mean - gap / share, effective)
            covariance = -np.outer(gap, gap) / total_effective
            np.fill_diagonal(covariance, deviation)
        else:
            n_groups = int(groups.max()) + 1
            kept = used[index] & (weight > 0)
            position = (np.cumsum(used) - 1)[index[kept]]
            covariance, design = _clustered(
                position, weight[kept], (c - y)[kept], gap, groups[kept], n_groups, total
            )
        scale = np.sqrt(np.diag(covariance))
        scale = np.where(scale > 0, scale, 1.0)
        correlation = covariance / np.outer(scale, scale)
        np.fill_diagonal(correlation, 1.0)
        return BinSummary(share, gap, mean, effective, design, correlation, n_groups)

    def variance(self, gap: FloatArray) -> FloatArray:
        """Of D_b in a world where the gaps are `gap`."""
        right = np.clip(self.confidence - gap / self.share, 0.0, 1.0)
        return _variance(self.share, gap, right, self.effective) * self.design


def _variance(
    share: FloatArray, gap: FloatArray, right: FloatArray, effective: FloatArray
) -> FloatArray:
    # of the outcomes within the bin, and of how many rows fall into it
    return share**2 * (right * (1 - right) + (gap / share) ** 2 * (1 - share)) / effective


def _clustered(
    index: IntArray,
    weight: FloatArray,
    gaps: FloatArray,
    gap: FloatArray,
    groups: IntArray,
    n_groups: int,
    total: float,
) -> tuple[FloatArray, FloatArray]:
    """Covariance of the D_b from the clusters' sums, and the design effect of each bin."""
    k = gap.size
    terms = weight * gaps
    sums = np.bincount(groups * k + index, terms, n_groups * k).reshape(n_groups, k)
    mass = np.bincount(groups, weight, n_groups)
    residual = sums - mass[:, None] * gap
    covariance = residual.T @ residual / total**2
    if n_groups > 1:
        covariance *= n_groups / (n_groups - 1)
    # Sum over rows of (w (x - D))^2 with x = the row's term in its bin and 0 elsewhere.
    rows = (
        np.bincount(index, terms**2, k)
        - 2 * gap * np.bincount(index, weight * terms, k)
        + gap**2 * (weight**2).sum()
    )
    between = (residual**2).sum(axis=0)
    pooled = between.sum() / rows.sum() if rows.sum() > 0 else 1.0
    present = np.unique(groups * k + index) % k
    count = np.bincount(present, minlength=k)
    design = np.divide(between, rows, out=np.full(k, pooled), where=rows > 0)
    design = (count * design + PRIOR_CLUSTERS * pooled) / (count + PRIOR_CLUSTERS)
    return covariance, np.maximum(design, 0.5)


def invert(bins: BinSummary, level: float, n_draws: int, seed: int) -> tuple[float, float, float]:
    """Lower end, median-unbiased estimate and upper end of the population's ECE."""
    if bins.clusters == 1:
        return 0.0, bins.ece, float("nan")
    world = _Worlds(bins, n_draws, seed)
    tail = (1.0 - level) / 2.0
    null = world.statistics(world.calibrated)
    observed = bins.ece
    low = 0.0
    if np.mean(null < observed - 1e-12) > 1.0 - tail:
        low = world.search(observed - 1e-12, 1.0 - tail)
    floor = float(np.quantile(null, POWER))
    high = world.search(max(observed, floor) + 1e-12, tail)
    middle = 0.0
    if np.mean(null <= observed) > 0.5:
        middle = world.search(observed, 0.5)
    return low, min(max(middle, low), high), high


class _Worlds:
    """Candidate worlds on a path: pull > 0 shrinks the gaps towards zero, pull < 0 widens them."""

    def __init__(self, bins: BinSummary, n_draws: int, seed: int) -> None:
        self.bins, self.n_draws = bins, n_draws
        k = bins.share.size
        rng = np.random.default_rng(seed)
        normal = np.tile(_normal_scores(n_draws)[:, None], (1, k))
        normal = rng.permuted(normal, axis=0)
        value, vector = np.linalg.eigh(bins.correlation)
        root = vector * np.sqrt(np.maximum(value, 0.0))
        scale = np.sqrt((root**2).sum(axis=1))
        self.normal = normal @ (root / scale[:, None]).T
        rank = np.argsort(np.argsort(self.normal, axis=0), axis=0)
        self.uniform = (rank + 0.5) / n_draws
        self.stretch = np.ones((n_draws, 1))
        if bins.clusters:  # their variance is estimated: Student's, not normal
            freedom = bins.clusters - 1
            self.stretch[:, 0] = np.sqrt(freedom / rng.chisquare(freedom, n_draws))
        self.count = np.maximum(np.rint(bins.effective / bins.design), 1.0)
        rate = bins.confidence - bins.gap / bins.share
        rate = (rate * bins.effective + 0.5) / (bins.effective + 1.0)
        self.resistance = _variance(bins.share, bins.gap, rate, bins.effective) * bins.design
        feasible_up = bins.share * bins.confidence
        feasible_down = bins.share * (1.0 - bins.confidence)
        sign = np.where(bins.gap > 0, 1.0, -1.0)
        self.sign = np.where((bins.gap == 0) & (feasible_up >= feasible_down), 1.0, sign)
        self.limit = np.where(self.sign > 0, feasible_up, feasible_down)
        size = np.abs(bins.gap)
        # Bins whose gap may be noise give way first. Evenly shrunk, they would keep gaps that hide
        # how far their noise lifts the plug-in, and the lower end would come out too high.
        self.give = self.resistance / np.maximum(size**2 / self.resistance, 1e-3)
        self.calibrated = float((size / self.give).max()) * (1 + 1e-9)
        self.widest = float(((size - self.limit) / self.resistance).min())

    def gaps(self, pull: float) -> FloatArray:
        size = np.abs(self.bins.gap) - pull * (self.give if pull > 0 else self.resistance)
        return self.sign * np.clip(size, 0.0, self.limit)

    def statistics(self, pull: float) -> FloatArray:
        """The plug-in ECE of samples from this world, (n_draws,)."""
        gap = self.gaps(pull)
        deviation = np.sqrt(self.bins.variance(gap))
        rate = np.clip(self.bins.confidence - gap / self.bins.share, 0.0, 1.0)
        noise = self._noise(rate)
        return np.abs(gap + deviation * self.stretch * noise).sum(axis=1)

    def _noise(self, rate: FloatArray) -> FloatArray:
        """Standardized noise of the gaps, skewed as counts of rights and wrongs are."""
        spread = np.sqrt(self.count * rate * (1 - rate))
        skew = self._skewness(rate)
        noise = self.normal + skew / 6.0 * (self.normal**2 - 1.0)
        rare = self.count * np.minimum(rate, 1 - rate) < SMALL_COUNT
        for b in np.flatnonzero(rare & (spread > 0)):
            noise[:, b] = self._binomial(int(b), float(rate[b]))
        return noise

    def _skewness(self, rate: FloatArray) -> FloatArray:
        """Of D_b, from a row's term: c - 1 when right, c when wrong, 0 outside of the bin."""
        share, said = self.bins.share, self.bins.confidence
        values = np.stack([said - 1.0, said, np.zeros_like(said)])
        chance = np.stack([share * rate, share * (1.0 - rate), 1.0 - share])
        off = values - (values * chance).sum(axis=0)
        second, third = (chance * off**2).sum(axis=0), (chance * off**3).sum(axis=0)
        spread = second**1.5 * np.sqrt(self.count / share)
        return np.clip(np.divide(third, spread, out=np.zeros_like(third), where=spread > 0), -1, 1)

    def _binomial(self, b: int, rate: float) -> FloatArray:
        m = int(self.count[b])
        p = min(rate, 1.0 - rate)
        top = min(m, int(SMALL_COUNT + 10 * np.sqrt(SMALL_COUNT)) + 2)
        k = np.arange(1, top + 1)
        ratio = (m - k + 1) / k * (p / (1 - p))
        pmf = (1 - p) ** m * np.cumprod(np.concatenate([[1.0], ratio]))
        # The gap falls when an answer is right: rare rights take the upper tail of the noise down.
        uniform = self.uniform[:, b]
        if p == rate:
            hits = np.searchsorted(np.cumsum(pmf), 1.0 - uniform)
            return (m * p - hits) / np.sqrt(m * p * (1 - p))
        misses = np.searchsorted(np.cumsum(pmf), uniform)
        return (misses - m * p) / np.sqrt(m * p * (1 - p))

    def search(self, observed: float, probability: float) -> float:
        """The error at which P(T* <= observed) falls to `probability`."""
        if np.mean(self.statistics(0.0) <= observed) < probability:
            return self._halve(observed, probability, self.calibrated, 0.0)
        inside, outside = 0.0, self.widest
        # Close in on the answer from the observed gaps: their world is a few deviations away.
        step = 1.0
        scale = np.sqrt(self.resistance.sum()) / self.resistance.sum()
        while step < 64.0:
            pull = -step * scale
            if pull <= outside:
                break
            if np.mean(self.statistics(pull) <= observed) < probability:
                outside = pull
                break
            inside = pull
            step *= 2.0
        if np.mean(self.statistics(outside) <= observed) >= probability:
            return float(np.abs(self.gaps(outside)).sum())
        return self._halve(observed, probability, inside, outside)

    def _halve(self, observed: float, probability: float, inside: float, outside: float) -> float:
        for _ in range(STEPS):
            middle = (inside + outside) / 2.0
            if np.mean(self.statistics(middle) <= observed) >= probability:
                inside = middle
            else:
                outside = middle
        return float(np.abs(self.gaps(inside)).sum())


@functools.cache
def _normal_scores(n: int) -> FloatArray:
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)])
