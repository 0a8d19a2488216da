"""Predictions tallied by confidence: a mergeable table that stands in for the rows in every metric.

Every metric takes weights and is linear in correctness, so the rows at one confidence can be
replaced by two: the weight that was right and the weight that was wrong. While confidences take
few distinct values (percentages do) nothing is lost; a stream with more falls to a fixed grid that
nests in the usual bins.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, paired, vector
from levelhead.errors import InvalidInputError

__all__ = ["GRID_CELLS", "Tally"]

GRID_CELLS = 61_200
"""Even cells of the fallback grid: 300 * 204, so that they nest in 10 to 100 bins, see `Tally`."""

MAX_DISTINCT = 65_536
EDGE_TOLERANCE = 1e-10
"""That of the binning rule in ten bins: a decimal on an edge belongs to the bin that it closes."""

PERCENT = 100
SAME_DECIMAL = 1e-9
"""A confidence this near to a hundredth is that hundredth: 1 - 0.1 is 0.9 in thresholds too."""

END = 8
"""Within 2^-8 of 0 or 1 the cells are fractions of an octave of the distance to that end."""

DEEPEST_LOW, DEEPEST_HIGH = 64, 53
"""Octaves: below 2^-64 confidences share a cell; 1 - 2^-53 is the last float below 1."""

OCTAVE_BITS = 7
"""An octave has 2^7 cells, about as fine at 2^-8 as the even ones."""

N_LOW, N_HIGH = ((deepest - END) << OCTAVE_BITS for deepest in (DEEPEST_LOW, DEEPEST_HIGH))
ALL_CELLS = N_LOW + GRID_CELLS + N_HIGH

BLOCK = 1 << 16
"""Rows handled at once: the temporaries stay small and in the processor's cache."""


class Tally:
    """Weights of right and wrong predictions for each distinct confidence.

    At each distinct confidence v: R(v) = sum_i w_i y_i 1[c_i = v] was right and
    W(v) = sum_i w_i (1 - y_i) 1[c_i = v] was wrong;
    any metric of the rows is that of (v, right) with weight R(v) and (v, wrong) with weight W(v).

    Args:
        max_distinct: with more distinct confidences than this the tally falls to a grid; None keeps
            every distinct value.

    Raises:
        InvalidInputError: `max_distinct` is below 1.

    Edge cases: the grid has a point for each k/100, which takes what lies within 1e-9 of it (only 0
        and 1 themselves at the ends), and between them 61,200 right-closed cells; within 1/256 of 0
        or 1 these give way to 128 for each halving of the distance to that end. All that fell into
        a cell, right or wrong, is represented by its one mean confidence. Exact then, to rounding
        (1e-9 where rows are near but not on a hundredth): the sums behind ECE in 10, 12, 15, 20,
        25, 30, 50, 60, 75 or 100 right-closed bins, those in 10, 20, 25, 50 or 100 left-closed
        ones, mean confidence, accuracy, everything with a threshold at a hundredth such as
        `errors_at_least` at 0.9 and 0.99, and `brier` of this class. Ranks are known up to ties
        within a cell, see `auroc_bounds`; Brier and log score of the compressed rows are off by the
        variance within a cell, below 1e-10, and by its effect on the logarithm, below 1e-5.

    Example:
        >>> tally = Tally.from_arrays([0.9, 0.9, 0.2], [1, 0, 0])
        >>> tally.arrays()
        (array([0.2, 0.9, 0.9]), array([0., 0., 1.]), array([1., 1., 1.]))
    """

    def __init__(self, *, max_distinct: int | None = MAX_DISTINCT) -> None:
        if max_distinct is not None and max_distinct < 1:
            raise InvalidInputError(
                f"max_distinct: expected at least 1 or None, got {max_distinct}"
            )
        self._max_distinct = max_distinct
        self._n = 0
        self._sum_squares = 0.0  # of the Brier loss, kept apart so that it is exact on the grid
        self._percent = np.zeros((2, PERCENT + 1))  # weight wrong, weight right, of k/100
        self._values: FloatArray = np.empty(0)
        self._table: FloatArray = np.empty((2, 0))  # weight wrong, weight right
        self._pending: list[tuple[FloatArray, FloatArray]] = []  # tables not yet folded in
        self._pending_size = 0
        self._cells: FloatArray | None = None  # (3, ALL_CELLS): wrong, right, weighted position
        self._mixed = np.zeros(PERCENT + 1, dtype=bool)  # points that took more than one value

    @classmethod
    def from_arrays(
        cls,
        confidence: ArrayLike,
        correct: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        max_distinct: int | None = MAX_DISTINCT,
    ) -> Tally:
        """The tally of these predictions.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) in [0, 1]; 0.5 counts half.
            weights: (N,) >= 0; None = 1.
            max_distinct: see the class.

        Returns:
            The tally.

        Raises:
            InvalidInputError: the lengths differ, a value is out of range, or there are none.

        Example:
            >>> Tally.from_arrays([0.3, 0.3, 0.7], [0, 1, 1]).n
            3
        """
        c, y, w = paired(confidence, correct, weights)
        tally = cls(max_distinct=max_distinct)
        tally._add(c, y, w)
        return tally

    def update(
        self, confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
    ) -> Tally:
        """Adds a block of predictions; an empty block changes nothing.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) in [0, 1]; 0.5 counts half.
            weights: (N,) >= 0; None = 1. A block whose weights all vanish counts its rows only.

        Returns:
            This tally.

        Raises:
            InvalidInputError: an array has another length or a value out of range.

        Example:
            >>> Tally().update([0.5], [1]).update([], []).update([0.5], [0]).arrays()
            (array([0.5, 0.5]), array([0., 1.]), array([1., 1.]))
        """
        c = vector("confidence", confidence)
        if c.size == 0 and vector("correct", correct).size == 0:
            return self
        w = None if weights is None else vector("weights", weights)
        if w is not None and w.size == c.size and not w.any():
            paired(c, correct)
            self._n += c.size
            return self
        self._add(*paired(c, correct, w))
        return self

    def merge(self, other: Tally) -> Tally:
        """Adds everything that another tally holds; the result is on the grid if either is.

        Args:
            other: a tally; it is left as it is.

        Returns:
            This tally.

        Example:
            >>> Tally.from_arrays([0.1], [0]).merge(Tally.from_arrays([0.2], [1])).n
            2
        """
        n, squares = self._n + other._n, self._sum_squares + other._sum_squares
        if other._grid is not None:
            self._to_grid()
        if self._cells is not None and other._cells is not None:
            self._cells += other._cells
            self._percent += other._percent
            self._mixed |= other._mixed
        else:
            values, table = other._exact_table()
            for y in (0, 1):
                self._add(values, np.full(values.size, float(y)), table[y])
        self._n, self._sum_squares = n, squares
        return self

    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Compressed rows: `metric(confidence, correct, weights=weights)` is that of all rows.

        Returns:
            confidence (M,) ascending, correct (M,) 0 or 1, weights (M,) > 0.

        Raises:
            InvalidInputError: nothing of positive weight has been added.

        Example:
            >>> c, y, w = Tally.from_arrays([0.8] * 10, [1] * 7 + [0] * 3).arrays()
            >>> w
            array([3., 7.])
        """
        values, table, _ = self._by_value()
        weight = table.T.ravel()
        keep = weight > 0
        if not keep.any():
            raise InvalidInputError(
                "tally: expected at least one prediction of positive weight, got none"
            )
        correct = np.tile([0.0, 1.0], values.size)
        return np.repeat(values, 2)[keep], correct[keep], weight[keep]

    @property
    def exact(self) -> bool:
        """Whether every distinct confidence is kept, so that every metric is exact."""
        return self._grid is None

    @property
    def n(self) -> int:
        """Rows added, whatever their weight."""
        return self._n

    @property
    def weight(self) -> float:
        """Total weight added; the number of rows where none was weighted."""
        return float(self._by_value()[1].sum())

    @property
    def resolution(self) -> float:
        """Width of the widest cells that confidences were rounded into; 0 while exact."""
        return 0.0 if self.exact else 1.0 / GRID_CELLS

    def brier(self) -> float:
        """Mean squared error of the confidences, exact in both modes.

        sum_i w_i (y_i (1 - c_i)^2 + (1 - y_i) c_i^2) / sum_i w_i

        Returns:
            The Brier score in [0, 1]; NaN where nothing has been added.

        Example:
            >>> Tally.from_arrays([0.5, 1.0], [1, 1]).brier()
            0.125
        """
        weight = self.weight
        return self._sum_squares / weight if weight > 0 else float("nan")

    def auroc_bounds(self) -> tuple[float, float]:
        """Bounds of the rows' AUROC: pairs within a cell all ranked wrongly, or all rightly.

        AUROC -/+ sum_cells R_cell W_cell / (2 R W) on the grid; both are the AUROC while exact, and
        a point of the grid that took nothing but its hundredth is known exactly.

        Returns:
            Lower and upper bound in [0, 1]; NaN where only one class is there.

        Example:
            >>> Tally.from_arrays([0.2, 0.9, 0.9], [0, 1, 0]).auroc_bounds()
            (0.75, 0.75)
        """
        _, (wrong, right), rounded = self._by_value()
        pairs = wrong.sum() * right.sum()
        if pairs <= 0:
            return float("nan"), float("nan")
        below = np.cumsum(wrong) - wrong
        middle = float((right * (below + wrong / 2)).sum() / pairs)
        slack = float((right * wrong)[rounded].sum() / (2 * pairs))
        return middle - slack, middle + slack

    @property
    def _grid(self) -> FloatArray | None:
        """The grid once the distinct values are too many, else None: a matter of the data alone."""
        self._fold()
        return self._cells

    def _by_value(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Confidences ascending, weights (wrong, right), and where these stand for a range."""
        cells = self._grid
        if cells is None:
            values, table = self._exact_table()
            return values, table, np.zeros(values.size, dtype=bool)
        used = np.flatnonzero(cells[:2].any(axis=0))
        points = np.flatnonzero(self._percent.any(axis=0))
        values = np.concatenate([_confidence(used, cells[:, used]), points / PERCENT])
        table = np.concatenate([cells[:2, used], self._percent[:, points]], axis=1)
        rounded = np.concatenate([np.ones(used.size, dtype=bool), self._mixed[points]])
        order = np.argsort(values, kind="stable")
        return values[order], table[:, order], rounded[order]

    def _add(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> None:
        self._n += c.size
        for start in range(0, c.size, BLOCK):
            part = slice(start, start + BLOCK)
            self._add_block(c[part], y[part], None if w is None else w[part])

    def _add_block(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> None:
        right = y if w is None else w * y
        wrong = 1.0 - y if w is None else w - right
        # w (y (1-c)^2 + (1-y) c^2) = w c^2 + w y (1 - 2c)
        squares = np.dot(c, c) if w is None else np.dot(w, c * c)
        self._sum_squares += float(squares + right.sum() - 2.0 * np.dot(right, c))
        if self._cells is not None:
            self._add_to_grid(self._cells, c, wrong, right)
            return
        if self._max_distinct is None or self._max_distinct > PERCENT:
            index = np.rint(c * PERCENT).astype(np.int64)
            if np.array_equal(index / PERCENT, c):
                self._percent[0] += np.bincount(index, wrong, PERCENT + 1)
                self._percent[1] += np.bincount(index, right, PERCENT + 1)
                return
        values, index = np.unique(c, return_inverse=True)
        sums = [np.bincount(index, mass, values.size) for mass in (wrong, right)]
        table: FloatArray = np.stack(sums).astype(np.float64)
        self._pending.append((values, table))
        self._pending_size += values.size
        # Folding only when the pending tables have grown to the size of the table keeps it linear.
        if self._pending_size > max(BLOCK, self._values.size):
            self._fold()

    def _fold(self) -> None:
        """Joins the pending tables into one; falls to the grid where that has too many values."""
        if not self._pending:
            return
        used = np.flatnonzero(self._percent.any(axis=0))
        parts = [(self._values, self._table), (used / PERCENT, self._percent[:, used])]
        joined = parts + self._pending
        self._values, index = np.unique(np.concatenate([v for v, _ in joined]), return_inverse=True)
        table = np.concatenate([t for _, t in joined], axis=1)
        sums = [np.bincount(index, row, self._values.size) for row in table]
        self._table = np.stack(sums).astype(np.float64)
        self._percent = np.zeros_like(self._percent)
        self._pending, self._pending_size = [], 0
        if self._max_distinct is not None and self._values.size > self._max_distinct:
            self._to_grid()

    def _exact_table(self) -> tuple[FloatArray, FloatArray]:
        """Distinct values ascending and their weights (wrong, right)."""
        self._fold()
        if not self._values.size:
            used = np.flatnonzero(self._percent.any(axis=0))
            return used / PERCENT, self._percent[:, used]
        if not self._percent.any():
            return self._values, self._table
        self._pending.append((np.empty(0), np.empty((2, 0))))  # makes it fold the percentages in
        return self._exact_table()

    def _to_grid(self) -> None:
        if self._cells is not None:
            return
        values, table = self._exact_table()
        if self._cells is not None:
            return
        self._percent = np.zeros_like(self._percent)
        self._values, self._table = np.empty(0), np.empty((2, 0))
        self._cells = np.zeros((3, ALL_CELLS))
        self._add_to_grid(self._cells, values, table[0], table[1])

    def _add_to_grid(
        self, cells: FloatArray, c: FloatArray, wrong: FloatArray, right: FloatArray
    ) -> None:
        off = c * PERCENT
        nearest = np.rint(off)
        off -= nearest
        near = np.flatnonzero(np.abs(off, out=off) <= SAME_DECIMAL * PERCENT)
        if near.size:
            point = nearest[near].astype(np.int64)
            other = point / PERCENT != c[near]
            mine = ~other | ((point > 0) & (point < PERCENT))
            near, point, other = near[mine], point[mine], other[mine]
            self._mixed[point[other]] = True
            self._percent[0] += np.bincount(point, wrong[near], PERCENT + 1)
            self._percent[1] += np.bincount(point, right[near], PERCENT + 1)
            rest = np.ones(c.size, dtype=bool)
            rest[near] = False
            c, wrong, right = c[rest], wrong[rest], right[rest]
        cell, position = _place(c)
        cells[0] += np.bincount(cell, wrong, ALL_CELLS)
        cells[1] += np.bincount(cell, right, ALL_CELLS)
        cells[2] += np.bincount(cell, (wrong + right) * position, ALL_CELLS)


def _place(c: FloatArray) -> tuple[IntArray, FloatArray]:
    """Cell of each confidence, and the confidence, or its distance from 1 in the cells next to 1.

    The distance, because sums of numbers close to 1 would not keep the order of such cells.
    """
    cell = (c * GRID_CELLS + (1.0 - EDGE_TOLERANCE * GRID_CELLS)).astype(np.int64)
    cell += N_LOW - 1
    below = 1.0 - c
    width = 2.0**-END
    low, high = np.flatnonzero(c < width), np.flatnonzero(below < width)
    cell[low] = _octave_part(c[low], DEEPEST_LOW)
    if not high.size:
        return cell, c
    cell[high] = ALL_CELLS - 1 - _octave_part(below[high], DEEPEST_HIGH)
    position = c.copy()
    position[high] = below[high]
    return cell, position


def _octave_part(distance: FloatArray, deepest: int) -> IntArray:
    # The leading bits of a float are its octave, then the part of the octave.
    first = (1023 - deepest) << OCTAVE_BITS
    return np.maximum((distance.view(np.int64) >> (52 - OCTAVE_BITS)) - first, 0)


def _octave_edge(part: IntArray, deepest: int) -> FloatArray:
    """Lower edge of a part of an octave."""
    bits = (part + ((1023 - deepest) << OCTAVE_BITS)) << (52 - OCTAVE_BITS)
    return np.where(part > 0, bits.view(np.float64), 0.0)


def _confidence(cell: IntArray, sums: FloatArray) -> FloatArray:
    """Mean confidence of each cell; rounding takes it across no edge of the cell."""
    mean = sums[2] / (sums[0] + sums[1])
    even = cell - N_LOW
    low = even / GRID_CELLS + EDGE_TOLERANCE
    high = (even + 1) / GRID_CELLS + EDGE_TOLERANCE
    first, last = cell < N_LOW, even >= GRID_CELLS
    for end, part, deepest in (
        (first, cell[first], DEEPEST_LOW),
        (last, ALL_CELLS - 1 - cell[last], DEEPEST_HIGH),
    ):
        low[end], high[end] = _octave_edge(part, deepest), _octave_edge(part + 1, deepest)
    mean = np.clip(mean, low, high)
    mean[last] = 1.0 - mean[last]
    return mean
