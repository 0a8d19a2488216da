"""The one binning rule, and per-bin sums in cache-sized chunks: what binned metrics are made of.

A bin index is `trunc(c * M + shift)`, where the shift of 1e-9 makes the rule decimal-safe: 0.3 lies
on the edge 3/10, although `0.3` and `linspace(0, 1, 11)[3]` are different floats. The sums need no
more memory than one chunk, so they serve arrays and streams alike.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, paired, weights_or_none
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "NORMS",
    "BinRule",
    "BinSums",
    "BinnedAccumulator",
    "ReliabilityCurve",
    "bin_sums",
    "binned_gaps",
    "chunks",
    "gap_norm",
    "gap_sums",
    "inside",
    "mass_index",
    "per_bin",
    "placed",
]

TOLERANCE = 1e-9
"""How far, in bin widths, a confidence may lie from an edge and still count as lying on it."""

MAX_BINS = 1_000_000
"""Above this, rounding in `confidence * n_bins` comes near the tolerance."""

NORMS = ("l1", "l2", "max")

_CHUNK = 65_536  # float64 values: the buffers of a chunk stay in the second and third level cache
_LANES = 16  # copies of the bins that samples take turns to add into, so that no sum waits
_LANES_UP_TO = 1_024  # bins; beyond this the copies cost more than the waiting
_ONE = np.float64(1.0).view(np.uint64)


@dataclasses.dataclass(frozen=True)
class BinRule:
    """Equal-width bins: how many, which edge belongs to a bin, and what counts as lying on an edge.

    Samples are first put into M + 1 cells; the cell of the lone end point (0 where bins are closed
    on the right, 1 where on the left) is then merged into its neighbor, which gives M bins.
    """

    n_bins: int = 10
    closed: str = "right"
    edges: str = "decimal"

    def __post_init__(self) -> None:
        try:
            n = operator.index(self.n_bins)
        except TypeError as error:
            raise InvalidInputError(
                f"n_bins: expected a whole number, got {self.n_bins!r}"
            ) from error
        if not 1 <= n <= MAX_BINS:
            raise InvalidInputError(f"n_bins: expected 1 to {MAX_BINS}, got {n}")
        object.__setattr__(self, "n_bins", n)
        if self.closed not in ("right", "left"):
            raise unknown_name("closed", self.closed, ("right", "left"))
        if self.edges not in ("decimal", "float"):
            raise unknown_name("edges", self.edges, ("decimal", "float"))

    @property
    def shift(self) -> float:
        """What is added to `c * n_bins` before it is truncated to a cell."""
        return 1.0 - TOLERANCE if self.closed == "right" else TOLERANCE

    @cached_property
    def grid(self) -> FloatArray:
        """(M + 1,) bin edges, 0 and 1 included, as `numpy.linspace` rounds them."""
        return np.linspace(0.0, 1.0, self.n_bins + 1)

    def cells(self, confidence: FloatArray) -> IntArray:
        """(N,) cell of each confidence, 0..M."""
        if self.edges == "float":
            side = "left" if self.closed == "right" else "right"
            return np.searchsorted(self.grid, confidence, side) - (self.closed == "left")
        return (confidence * self.n_bins + self.shift).astype(np.int64)

    def index(self, confidence: FloatArray) -> IntArray:
        """(N,) bin of each confidence, 0..M-1."""
        cells = self.cells(confidence)
        if self.closed == "right":
            return np.maximum(cells - 1, 0)
        return np.minimum(cells, self.n_bins - 1)

    def fold(self, sums: FloatArray) -> FloatArray:
        """Sums over the M + 1 cells as sums over the M bins."""
        if self.closed == "right":
            bins = sums[1:].copy()
            bins[0] += sums[0]
        else:
            bins = sums[:-1].copy()
            bins[-1] += sums[-1]
        return bins


def mass_index(confidence: FloatArray, weights: FloatArray | None, n_bins: int) -> IntArray:
    """(N,) equal-mass bin of each confidence: a value goes whole into the bin of its mid-rank.

    With W the total weight, and A and B the weight below and up to a value, its mid-rank is
    (A + B) / 2 and its bin is number ceil(M (A + B) / (2 W)). Ties are therefore never split, rows
    may come in any order, and integer weights equal repetition.
    """
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    block = np.cumsum(starts) - 1
    mass = np.bincount(block, None if weights is None else weights[order]).astype(np.float64)
    upto = np.cumsum(mass)
    rank = np.ceil((upto - mass / 2.0) * (n_bins / upto[-1]) - TOLERANCE).astype(np.int64) - 1
    index = np.empty(confidence.size, dtype=np.int64)
    index[order] = np.clip(rank, 0, n_bins - 1)[block]
    return index


@dataclasses.dataclass(frozen=True)
class BinSums:
    """Per bin: the total weight, and the weighted sums of confidence and correctness; each (M,)."""

    weight: FloatArray
    confidence: FloatArray
    correct: FloatArray

    def __add__(self, other: BinSums) -> BinSums:
        return BinSums(
            self.weight + other.weight,
            self.confidence + other.confidence,
            self.correct + other.correct,
        )


def gap_norm(gap: FloatArray, weight: FloatArray, norm: str, min_weight: float = 0.0) -> float:
    """The norm of the per-bin gaps, from their weighted sums and the bins' weights.

    l1: sum_b |gap_b| / W; l2: sqrt(sum_b gap_b^2 / (w_b W)); max: max_b |gap_b| / w_b over the bins
    with a positive weight of at least `min_weight` (NaN where there is none).
    """
    if norm == "l1":
        return float(np.abs(gap).sum() / weight.sum())
    filled = weight > 0.0
    if norm == "l2":
        return float(np.sqrt((gap[filled] ** 2 / weight[filled]).sum() / weight.sum()))
    if norm == "max":
        filled &= weight >= min_weight
        return float((np.abs(gap[filled]) / weight[filled]).max()) if filled.any() else float("nan")
    raise unknown_name("norm", norm, NORMS)


def _as_given(values: ArrayLike) -> FloatArray | None:
    """The array itself, of any real dtype, or None where only `_arrays` can say what it is."""
    if not hasattr(values, "__array__"):
        return None
    array = np.asarray(values)
    return array if array.ndim == 1 and array.size and array.dtype.kind in "fiub" else None


def chunks(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray | None]]:
    """Validated float64 pieces of the three arrays, each valid until the next one is drawn.

    Same checks as `_arrays.paired`, made while a piece is in the cache instead of in passes of
    their own over the memory, which would double the cost of an ECE.
    """
    c, y = _as_given(confidence), _as_given(correct)
    if c is None or y is None or c.size != y.size:
        c, y, w = paired(confidence, correct, weights)
    else:
        w = weights_or_none(weights, c.size)
    size = min(_CHUNK, c.size)
    buffers = (np.empty(size), np.empty(size))
    for start in range(0, c.size, _CHUNK):
        stop = min(start + _CHUNK, c.size)
        c_piece = _float64(c[start:stop], buffers[0])
        y_piece = _float64(y[start:stop], buffers[1])
        if not (inside(c_piece) and inside(y_piece)):
            paired(confidence, correct, weights)
        yield c_piece, y_piece, None if w is None else w[start:stop]


def _float64(piece: FloatArray, buffer: FloatArray) -> FloatArray:
    if piece.dtype == np.float64 and piece.dtype.isnative:
        return piece
    out = buffer[: piece.size]
    np.copyto(out, piece, casting="unsafe")
    return out


def inside(piece: FloatArray) -> bool:
    """Whether all values are in [0, 1]."""
    # As unsigned integers the floats 0..1 are ordered and lie below every NaN, infinity and
    # negative number, so one maximum checks both ends; only -0.0 is a false alarm.
    if np.maximum.reduce(piece.view(np.uint64), axis=None) <= _ONE:
        return True
    return bool(piece.min() >= 0.0 and piece.max() <= 1.0)


class _Scatter:
    """Buffers that turn pieces of confidences into cell numbers and add weights up by cell."""

    def __init__(self, rule: BinRule) -> None:
        self.rule = rule
        self.lanes = _LANES if rule.n_bins <= _LANES_UP_TO and rule.edges == "decimal" else 1
        self.length = self.lanes * (rule.n_bins + 1)
        self.offset = (np.arange(_CHUNK) % self.lanes) * (rule.n_bins + 1) + rule.shift
        self.scaled = np.empty(_CHUNK)
        self.narrow = np.empty(_CHUNK, dtype=np.int32)
        self.wide = np.empty(_CHUNK, dtype=np.intp)

    def place(self, confidence: FloatArray) -> IntArray:
        """The (cell, lane) number of each confidence; valid until the next call."""
        if self.rule.edges == "float":
            return self.rule.cells(confidence)
        n = confidence.size
        scaled, narrow, wide = self.scaled[:n], self.narrow[:n], self.wide[:n]
        np.multiply(confidence, float(self.rule.n_bins), out=scaled)
        np.add(scaled, self.offset[:n], out=scaled)
        # Through int32: processors convert float64 to it many at a time, but to int64 one by one.
        np.copyto(narrow, scaled, casting="unsafe")
        np.copyto(wide, narrow)
        return wide

    def add(self, total: FloatArray, place: IntArray, weights: FloatArray | None) -> None:
        """Add weights (1 each if None) to the totals of their places."""
        np.add(total, np.bincount(place, weights, self.length), out=total)

    def bins(self, total: FloatArray) -> FloatArray:
        """Totals by place as totals by bin."""
        return self.rule.fold(total.reshape(self.lanes, -1).sum(axis=0))


def gap_sums(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None, rule: BinRule
) -> tuple[FloatArray, float]:
    """Per bin the weighted sum of confidence minus correctness, and the total weight."""
    scatter = _Scatter(rule)
    total, mass = np.zeros(scatter.length), 0.0
    buffer = scatter.scaled
    for c, y, w in chunks(confidence, correct, weights):
        place = scatter.place(c)
        gap = np.subtract(c, y, out=buffer[: c.size])
        if w is not None:
            np.multiply(gap, w, out=gap)
        scatter.add(total, place, gap)
        mass += c.size if w is None else float(w.sum())
    return scatter.bins(total), mass


def bin_sums(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None, rule: BinRule
) -> BinSums:
    """Per bin the total weight and the weighted sums of confidence and correctness."""
    scatter = _Scatter(rule)
    weight, conf, corr = (np.zeros(scatter.length) for _ in range(3))
    for c, y, w in chunks(confidence, correct, weights):
        place = scatter.place(c)
        scatter.add(weight, place, w)
        scatter.add(conf, place, c if w is None else w * c)
        scatter.add(corr, place, y if w is None else w * y)
    return BinSums(scatter.bins(weight), scatter.bins(conf), scatter.bins(corr))


def binned_gaps(
    confidence: ArrayLike,
    correct: ArrayLike,
    weights: ArrayLike | None,
    rule: BinRule,
    bins: str,
) -> tuple[FloatArray, FloatArray]:
    """Per equal-width or equal-mass bin the weighted sum of c - y, and the weight."""
    if bins == "width":
        sums = bin_sums(confidence, correct, weights, rule)
        return sums.confidence - sums.correct, sums.weight
    c, y, w, index = placed(confidence, correct, weights, rule, bins)
    gap = per_bin(index, c - y if w is None else w * (c - y), rule.n_bins)
    return gap, per_bin(index, w, rule.n_bins)


def per_bin(index: IntArray, values: FloatArray | None, n_bins: int) -> FloatArray:
    """(n_bins,) sum of the values (1 each if None) in each bin."""
    return np.bincount(index, values, n_bins).astype(np.float64, copy=False)


def placed(
    confidence: ArrayLike,
    correct: ArrayLike,
    weights: ArrayLike | None,
    rule: BinRule,
    bins: str,
) -> tuple[FloatArray, FloatArray, FloatArray | None, IntArray]:
    """The validated arrays and the (N,) bin of each sample, for what needs more than sums."""
    if bins not in ("width", "mass"):
        raise unknown_name("bins", bins, ("width", "mass"))
    c, y, w = paired(confidence, correct, weights)
    return c, y, w, rule.index(c) if bins == "width" else mass_index(c, w, rule.n_bins)


@dataclasses.dataclass(frozen=True)
class ReliabilityCurve:
    """The points of a reliability diagram: one entry per non-empty bin, in order of confidence.

    Attributes:
        low: (B,) lower edge of the bin; for equal-mass bins the smallest confidence in it.
        high: (B,) upper edge of the bin; for equal-mass bins the largest confidence in it.
        weight: (B,) total weight in the bin: the number of samples where no weights are given.
        confidence: (B,) mean confidence in the bin.
        accuracy: (B,) mean correctness in the bin.
    """

    low: FloatArray
    high: FloatArray
    weight: FloatArray
    confidence: FloatArray
    accuracy: FloatArray

    @classmethod
    def from_sums(cls, sums: BinSums, low: FloatArray, high: FloatArray) -> ReliabilityCurve:
        """The curve of all bins with a positive weight."""
        filled = sums.weight > 0.0
        weight = sums.weight[filled]
        return cls(
            low[filled],
            high[filled],
            weight,
            sums.confidence[filled] / weight,
            sums.correct[filled] / weight,
        )


class BinnedAccumulator:
    """Equal-width binned metrics of a stream, in memory that depends on the number of bins only.

    ECE = sum_b |sum_{i in b} w_i (c_i - y_i)| / sum_i w_i, from sums that add up over pieces.

    Args:
        n_bins: number of bins, 1 to 1,000,000.
        closed: `right` for bins ((k-1)/M, k/M], `left` for [(k-1)/M, k/M).
        edges: `decimal` or `float`, see `bin_index`.

    Raises:
        InvalidInputError: an argument is none of these.

    Edge cases: an empty piece changes nothing; a metric of no predictions at all raises.
    Properties: the order of pieces and merges does not matter; equal to the one-shot functions.

    Example:
        >>> accumulator = BinnedAccumulator()
        >>> accumulator.update([0.75, 0.75], [1, 0]).update([0.5], [1]).ece()
        0.3333333333333333
    """

    def __init__(self, n_bins: int = 10, *, closed: str = "right", edges: str = "decimal") -> None:
        self.rule = BinRule(n_bins, closed, edges)
        m = self.rule.n_bins
        self.sums = BinSums(np.zeros(m), np.zeros(m), np.zeros(m))

    @property
    def weight(self) -> float:
        """Total weight so far: the number of samples where no weights were given."""
        return float(self.sums.weight.sum())

    def update(
        self, confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None
    ) -> BinnedAccumulator:
        """Count one more piece: (N,) confidences and correctnesses in [0, 1], weights >= 0."""
        if np.size(confidence) == 0 and np.size(correct) == 0:
            return self
        if weights is not None and np.size(weights) and not np.any(weights):
            paired(confidence, correct)
            return self  # a piece may weigh nothing; only the whole may not
        self.sums += bin_sums(confidence, correct, weights, self.rule)
        return self

    def merge(self, other: BinnedAccumulator) -> BinnedAccumulator:
        """Count everything that `other` has counted; it must use the same bins."""
        if other.rule != self.rule:
            raise InvalidInputError(
                f"other: expected an accumulator with the same bins {self.rule}, got {other.rule}"
            )
        self.sums += other.sums
        return self

    def ece(self, *, norm: str = "l1") -> float:
        """Expected calibration error so far; `norm` as in `ece`."""
        return gap_norm(self._gap(), self.sums.weight, norm)

    def mce(self, *, min_weight: float = 0.0) -> float:
        """Largest gap of a bin so far."""
        return gap_norm(self._gap(), self.sums.weight, "max", min_weight)

    def over_ece(self) -> float:
        """Overconfident part of the ECE so far."""
        return float(np.maximum(self._gap(), 0.0).sum() / self.weight)

    def under_ece(self) -> float:
        """Underconfident part of the ECE so far."""
        return float(np.maximum(-self._gap(), 0.0).sum() / self.weight)

    def reliability_curve(self) -> ReliabilityCurve:
        """Points of the reliability diagram so far."""
        self._gap()
        return ReliabilityCurve.from_sums(self.sums, self.rule.grid[:-1], self.rule.grid[1:])

    def _gap(self) -> FloatArray:
        if not self.sums.weight.any():
            raise InvalidInputError("accumulator: expected at least one prediction, got none")
        return self.sums.confidence - self.sums.correct
