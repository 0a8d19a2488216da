"""Two models on the same items: differences with intervals and permutation p-values.

Items that both models answered are resampled together, so what is hard for both cancels. One set of
resamples and one of permutations serve all metrics.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes, paired
from levelhead.errors import InvalidInputError
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics._ties import scaled_weights
from levelhead.metrics.batch import MetricSpec, parse_metric
from levelhead.metrics.ece_interval import BinSummary, check_level, check_seed, invert
from levelhead.metrics.resample import (
    CellSums,
    NumberArray,
    Plan,
    Rows,
    Scatter,
    block_size,
    label_list,
    percentile,
)

__all__ = ["PairedDifference", "paired_differences"]

DRAWS = 2000
"""Simulated samples per candidate in the honest ECE interval of each model."""

EXACT_ROWS = 4_000
"""With more distinct rows than this in both models, ranks are taken in cells of neighbors."""

NEAR_ZERO = 3.0
"""An estimate beyond this many times its lower end is near zero for the noise it has."""

ROUNDING = 1e-12
"""Differences of permuted samples that are equal but for rounding count as equal."""


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A metric under two models on the same items.

    Attributes:
        value_a: the metric of the first model on the common items.
        value_b: the metric of the second model on the common items.
        difference: value_a - value_b.
        low: lower end of the difference's interval; NaN where unknown.
        high: upper end; NaN where unknown.
        p_value: two-sided, from swapping the models of whole items; NaN where undefined.
        n_clusters: number of common items.
        level: coverage wanted.
        method: how the ends were found.
    """

    value_a: float  # on the common items
    value_b: float  # on the common items
    difference: float  # value_a - value_b
    low: float  # lower end for the difference
    high: float  # upper end for the difference
    p_value: float  # of no difference, two-sided
    n_clusters: int  # common items
    level: float  # of the interval, in (0, 1)
    method: str  # how the interval was made, in words


Checked = tuple[FloatArray, FloatArray, FloatArray | None]


@dataclasses.dataclass(frozen=True)
class _Sample:
    """One model's rows on the common items."""

    c: FloatArray
    y: FloatArray
    w: FloatArray | None
    item: IntArray

    @staticmethod
    def of(checked: Checked, item: IntArray) -> _Sample:
        c, y, w = checked
        return _Sample(c, y, scaled_weights(w), item)

    def take(self, keep: np.ndarray, item: IntArray) -> _Sample:
        w = None if self.w is None else self.w[keep]
        return _Sample(self.c[keep], self.y[keep], w, item[keep])


def paired_differences(
    confidence_a: ArrayLike,
    correct_a: ArrayLike,
    confidence_b: ArrayLike,
    correct_b: ArrayLike,
    metrics: Sequence[str] | Mapping[str, str],
    *,
    clusters_a: ArrayLike | None = None,
    clusters_b: ArrayLike | None = None,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
    n_bins: int = 10,
    closed: str = "right",
    edges: str = "decimal",
    n_boot: int = 1000,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Differences a - b of metrics between two models on the same items.

    p = (1 + #{|d*| >= |d|}) / (1 + n_permutations), d* with the models of random items swapped

    Args:
        confidence_a: (N_a,) in [0, 1], the first model.
        correct_a: (N_a,) in [0, 1].
        confidence_b: (N_b,) in [0, 1], the second model.
        correct_b: (N_b,) in [0, 1].
        metrics: names of `metric_names`, `"trust@0.75"` with a parameter; or a mapping from your
            own keys to such names.
        clusters_a: (N_a,) labels of the items; the models may have several rows per item, and not
            equally many. None: row i of both models is item i.
        clusters_b: (N_b,) labels of the items.
        weights_a: (N_a,) >= 0; None = 1.
        weights_b: (N_b,) >= 0; None = 1.
        n_bins: number of bins of equal width, for the binned metrics.
        closed: `right` or `left`: the edge that belongs to a bin.
        edges: `decimal` or `float`, as in `bin_index`.
        n_boot: number of joint resamples of the items.
        n_permutations: number of random swaps.
        level: coverage wanted, in (0, 1).
        seed: of resamples and swaps.

    Returns:
        One difference per metric, under its name or key. Values are those on the common items.

    Raises:
        InvalidInputError: an argument is out of its range, only one model has labels, or the models
            have no item in common.

    Edge cases: items that only one model has are left out. Where a metric is undefined for a model
        the difference is NaN; so are the ends with a single item. `ece` combines the honest
        intervals of the two models with the correlation of their resamples (MOVER), so that two
        calibrated models do not differ by their noise; the others have percentile intervals.
    Properties: swapping a and b mirrors difference and interval, up to simulation noise.
    Reference: Zou & Donner 2008 (MOVER); Phipson & Smyth 2010 (the + 1 of the p-value).

    Example:
        >>> said, right = [0.9] * 200, [1, 0] * 100
        >>> d = paired_differences(said, right, [0.6] * 200, right, ["ece", "accuracy"])
        >>> round(d["ece"].difference, 6), d["ece"].low > 0, d["accuracy"].p_value
        (0.3, True, 1.0)
    """
    check_level(level)
    check_seed(seed)
    rule = BinRule(n_bins, closed, edges)
    for name, number in (("n_boot", n_boot), ("n_permutations", n_permutations)):
        if number < 2:
            raise InvalidInputError(f"{name}: expected at least 2, got {number}")
    if isinstance(metrics, str):
        raise InvalidInputError(f"metrics: expected a list of names, got the text {metrics!r}")
    wanted = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
    specs = [parse_metric(name) for name in wanted.values()]
    a = paired(confidence_a, correct_a, weights_a, names=("confidence_a", "correct_a"))
    b = paired(confidence_b, correct_b, weights_b, names=("confidence_b", "correct_b"))
    first, second, n = _common(a, b, clusters_a, clusters_b)
    pair = _Pair(first, second, n, specs, rule)
    rng = np.random.default_rng(seed)
    values = pair.values()
    boots = np.concatenate(list(pair.bootstrap(rng, n_boot)), axis=1)
    boots += np.nan_to_num(values - pair.observed())[:, None]
    swaps = np.concatenate(list(pair.permute(rng, n_permutations)))
    result: dict[str, PairedDifference] = {}
    for i, (key, spec) in enumerate(zip(wanted, specs, strict=True)):
        value_a, value_b = values[:, i]
        low, high, method = math.nan, math.nan, "cluster bootstrap"
        if n > 1 and spec.name == "ece":
            low, high = _mover(first, second, boots[:, :, i], rule, level, seed)
            method = "MOVER of test inversions"
        elif n > 1:
            low, high = percentile(boots[0, :, i] - boots[1, :, i], level)
        difference = float(value_a - value_b)
        if spec.name == "ece":  # the test inversions correct a bias that the shown values have
            low, high = min(low, difference), max(high, difference)
        p = _p_value(difference, swaps[:, i])
        result[key] = PairedDifference(
            float(value_a), float(value_b), difference, low, high, p, n, level, method
        )
    return result


def _p_value(difference: float, swapped: FloatArray) -> float:
    known = swapped[~np.isnan(swapped)]
    if math.isnan(difference) or known.size < 0.9 * swapped.size:
        return math.nan
    extreme = int(np.count_nonzero(np.abs(known) >= abs(difference) - ROUNDING))
    return (1 + extreme) / (1 + known.size)


def _common(
    a: Checked, b: Checked, clusters_a: ArrayLike | None, clusters_b: ArrayLike | None
) -> tuple[_Sample, _Sample, int]:
    """Both models' rows on their common items, numbered alike, and the number of these."""
    if (clusters_a is None) != (clusters_b is None):
        raise InvalidInputError("clusters_a and clusters_b: expected both or neither, got one")
    if clusters_a is None or clusters_b is None:
        n = a[0].size
        if b[0].size != n:
            raise InvalidInputError(
                f"confidence_b: expected {n} values, one for each of confidence_a, got "
                f"{b[0].size}; pass clusters_a and clusters_b to pair by item"
            )
        rows = np.arange(n)
        return _Sample.of(a, rows), _Sample.of(b, rows), n
    labels_a, labels_b = label_list(clusters_a), label_list(clusters_b)
    for name, labels, size in (
        ("clusters_a", labels_a, a[0].size),
        ("clusters_b", labels_b, b[0].size),
    ):
        if len(labels) != size:
            raise InvalidInputError(
                f"{name}: expected shape ({size},), one label per sample, got ({len(labels)},)"
            )
    number = {x: i for i, x in enumerate(sorted(set(labels_a) & set(labels_b), key=str))}
    if not number:
        raise InvalidInputError("clusters_b: expected labels shared with clusters_a, got none")
    samples: list[_Sample] = []
    for checked, labels in ((a, labels_a), (b, labels_b)):
        item = np.fromiter((number.get(x, -1) for x in labels), np.int64, len(labels))
        samples.append(_Sample.of(checked, item).take(item >= 0, item))
    return samples[0], samples[1], len(number)


class _Pair:
    """Both models' rows in one plan, where item k of the second model is unit n + k."""

    def __init__(
        self,
        a: _Sample,
        b: _Sample,
        n: int,
        specs: Sequence[MetricSpec],
        rule: BinRule,
    ) -> None:
        self.n = n
        self.each: FloatArray = np.repeat(np.eye(2), n, axis=1)
        weights = None
        if a.w is not None or b.w is not None:
            parts = [np.ones(s.c.size) if s.w is None else s.w for s in (a, b)]
            weights = np.concatenate(parts)
        c, y = np.concatenate([a.c, b.c]), np.concatenate([a.y, b.y])
        item = np.concatenate([a.item, b.item + n])
        rows = Rows.of(c, y, weights, item, 2 * n)
        self.plan = Plan(rows, specs, rule=rule, exact_rows=EXACT_ROWS)
        self.exact = self.plan
        if self.plan.coarse:
            self.exact = Plan(rows, specs, rule=rule, exact_rows=rows.size)
        self.cells: CellSums | None = None
        if self.plan.cells is not None:
            mine = self.plan.unit < n
            both = np.concatenate([self.plan.cells.columns * keep for keep in (mine, ~mine)])
            self.cells = CellSums(self.plan.unit % n, both, self.plan.cells.starts)
            self.cell_total = self.cells(np.ones((1, n)))

    def values(self) -> FloatArray:
        """The metrics of both models, (2, number of metrics)."""
        return self.exact.evaluate(self.each)

    def observed(self) -> FloatArray:
        """The same as the resamples see them: not exact where ranks are taken in cells."""
        return self.plan.evaluate(self.each)

    def bootstrap(self, rng: np.random.Generator, n_boot: int) -> Iterator[FloatArray]:
        """The metrics of both models in joint resamples of the items, blocks of (2, B, metrics)."""
        scatter = Scatter(self.n)
        for b in self._blocks(n_boot):
            yield np.stack(self._evaluate(scatter.draw(rng, b), swapped=False))

    def permute(self, rng: np.random.Generator, n_permutations: int) -> Iterator[FloatArray]:
        """Differences with random items swapped between the models, blocks of (B, metrics)."""
        for b in self._blocks(n_permutations):
            bits = np.asarray(rng.bit_generator.random_raw((b * self.n + 63) // 64)).view(np.uint8)
            swap = np.unpackbits(bits)[: b * self.n].reshape(b, self.n)
            a, other = self._evaluate(swap, swapped=True)
            yield a - other

    def _blocks(self, total: int) -> Iterator[int]:
        block = max(1, (1 << 20) // max(self.plan.rows.size, 2 * self.n))
        if self.cells is not None:
            block = max(block, block_size(self.n))
        for start in range(0, total, block):
            yield min(block, total - start)

    def _evaluate(self, counts: NumberArray, *, swapped: bool) -> tuple[FloatArray, FloatArray]:
        """Metrics of both models where items count so often, or are swapped where `counts` is 1."""
        plan, n = self.plan, self.n
        times = counts.astype(np.float64, copy=False)
        if plan.ranked and plan.dense is None and self.cells is None:
            own, rest = (1.0 - times, times) if swapped else (times, np.zeros_like(times))
            a = plan.evaluate(np.concatenate([own, rest], axis=1))
            return a, plan.evaluate(np.concatenate([rest, own], axis=1))
        sums: list[list[FloatArray]] = [[], []]
        for table in [plan.linear] if plan.dense is None else [plan.linear, plan.dense]:
            first, second = table[:n], table[n:]
            if swapped:  # what one model loses in a swap the other gains
                total = first.sum(axis=0) + second.sum(axis=0)
                moved = first.sum(axis=0) + times @ (second - first)
                parts = (moved, total - moved)
            else:
                parts = (times @ first, times @ second)
            for side, part in zip(sums, parts, strict=True):
                side.append(part)
        if self.cells is None:
            return self._finish(sums[0]), self._finish(sums[1])
        cells = self.cells(counts)
        if swapped:
            cells = self.cell_total - cells + np.concatenate([cells[2:], cells[:2]])
        mass = np.cumsum(cells, axis=2)
        a = plan.finish(sums[0][0], mass[0], mass[1])
        return a, plan.finish(sums[1][0], mass[2], mass[3])

    def _finish(self, sums: list[FloatArray]) -> FloatArray:
        empty = np.empty((len(sums[0]), 0))
        if self.plan.dense is None:
            return self.plan.finish(sums[0], empty, empty)
        mass = np.cumsum(sums[1].reshape(len(sums[1]), 2, -1), axis=2)
        return self.plan.finish(sums[0], mass[:, 0], mass[:, 1])


def _mover(
    a: _Sample,
    b: _Sample,
    boots: FloatArray,
    rule: BinRule,
    level: float,
    seed: int,
) -> tuple[float, float]:
    """Interval of a difference from the two intervals and the correlation of the estimates."""
    ends: list[tuple[float, float, float]] = []
    for sample in (a, b):
        item = codes("clusters", sample.item, sample.item.size)
        groups = None if item.size == item.max() + 1 else item
        bins = BinSummary.of(sample.c, sample.y, sample.w, groups, rule)
        ends.append(invert(bins, level, DRAWS, seed))
    spread = boots.std(axis=1)
    off = boots - boots.mean(axis=1, keepdims=True)
    scale = float(spread[0] * spread[1])
    r = float(off[0] @ off[1]) / off.shape[1] / scale if scale > 0 else 0.0
    (low_a, mid_a, high_a), (low_b, mid_b, high_b) = ends
    near_a, near_b = _center(low_a, mid_a, r), _center(low_b, mid_b, r)
    low = near_a - mid_b - _combine(near_a - low_a, high_b - mid_b, r)
    return low, mid_a - near_b + _combine(high_a - mid_a, near_b - low_b, r)


def _center(low: float, middle: float, r: float) -> float:
    """The estimate to measure the lower side of an interval from.

    Near zero an error can only be overestimated, which does not average out against the other
    model's noise: there the lower end itself takes the place of the estimate, unless the two models
    are so alike that their noise cancels.
    """
    alike = max(r, 0.0)
    return alike * middle + (1.0 - alike) * min(middle, NEAR_ZERO * low)


def _combine(one: float, two: float, r: float) -> float:
    return math.sqrt(max(one * one + two * two - 2.0 * r * one * two, 0.0))
