"""Predictions tallied by confidence: a mergeable table that stands in for the rows in every metric.

Every metric takes weights and is linear in correctness, so the rows at one confidence can be
replaced by two: the weight that was right and the weight that was wrong. While confidences take
few distinct values (percentages do) nothing is lost; a stream with more falls to a fixed grid that
nests in the usual bins.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired, vector
from levelhead.errors import InvalidInputError

__all__ = ["GRID_CELLS", "Tally"]

GRID_CELLS = 61_440
"""Cells of the fallback grid: 60 * 1024, so that they nest in 10, 12, 15, 20, 30 and 60 bins."""

MAX_DISTINCT = 65_536
EDGE_TOLERANCE = 1e-9
"""In bins, as in the binning rule: a decimal on an edge belongs to the bin that it closes."""

PERCENT = 100
BLOCK = 1 << 16
"""Rows handled at once: the temporaries stay small and in the processor's cache."""


class Tally:
    """Weights of right and wrong predictions for each distinct confidence.

    At each distinct confidence v: R(v) = sum_i w_i y_i 1[c_i = v] was right and
    W(v) = sum_i w_i (1 - y_i) 1[c_i = v] was wrong;
    any metric of the rows is that of (v, right) with weight R(v) and (v, wrong) with weight W(v).

    Args:
        max_distinct: with more distinct confidences than this the tally falls to a grid of 61,440
            right-closed cells; None keeps every distinct value.

    Raises:
        InvalidInputError: `max_distinct` is below 1.

    Edge cases: on the grid each cell is represented by its mean confidence, so the sums behind ECE
        with 10, 12, 15, 20, 30 or 60 right-closed bins stay exact to rounding, `brier` stays exact,
        and ranks are known up to ties within a cell (`auroc_bounds`). Left-closed bins and
        thresholds that are not cell edges are exact only while `exact` is true.

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
        self._cells: FloatArray | None = None  # (2, 2, GRID_CELLS): weight, confidence by correct

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
        if self._grid is None:
            values, table = self._exact_table()
            confidence = np.repeat(values, 2)
            weight = table.T.ravel()
        else:
            weight, total = (part.T.ravel() for part in self._grid)
            confidence = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        keep = weight > 0
        if not keep.any():
            raise InvalidInputError(
                "tally: expected at least one prediction of positive weight, got none"
            )
        correct = np.tile([0.0, 1.0], weight.size // 2)[keep]
        return np.minimum(confidence[keep], 1.0), correct, weight[keep]

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
        table = self._exact_table()[1] if self._grid is None else self._grid[0]
        return float(table.sum())

    @property
    def resolution(self) -> float:
        """Width of the cells that confidences were rounded into; 0 while exact."""
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

        AUROC -/+ sum_cells R_cell W_cell / (2 R W) on the grid; both are the AUROC while exact.

        Returns:
            Lower and upper bound in [0, 1]; NaN where only one class is there.

        Example:
            >>> Tally.from_arrays([0.2, 0.9, 0.9], [0, 1, 0]).auroc_bounds()
            (0.75, 0.75)
        """
        wrong, right = self._exact_table()[1] if self._grid is None else self._grid[0]
        pairs = wrong.sum() * right.sum()
        if pairs <= 0:
            return float("nan"), float("nan")
        below = np.cumsum(wrong) - wrong
        middle = float((right * (below + wrong / 2)).sum() / pairs)
        slack = 0.0 if self.exact else float((right * wrong).sum() / (2 * pairs))
        return middle - slack, middle + slack

    @property
    def _grid(self) -> FloatArray | None:
        """The grid once the distinct values are too many, else None: a matter of the data alone."""
        self._fold()
        return self._cells

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
            self._add_to_grid(self._cells, c, y, w)
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
        cell = _cell(values)
        weight = [np.bincount(cell, row, GRID_CELLS) for row in table]
        total = [np.bincount(cell, row * values, GRID_CELLS) for row in table]
        self._cells = np.array([weight, total], dtype=np.float64)
        self._percent = np.zeros_like(self._percent)
        self._values, self._table = np.empty(0), np.empty((2, 0))

    @staticmethod
    def _add_to_grid(cells: FloatArray, c: FloatArray, y: FloatArray, w: FloatArray | None) -> None:
        cell = _cell(c)
        if w is None and np.array_equal(y, y.astype(bool)):
            cell += GRID_CELLS * y.astype(np.int64)
            size = 2 * GRID_CELLS
            cells[0] += np.bincount(cell, minlength=size).reshape(2, -1)
            cells[1] += np.bincount(cell, c, size).reshape(2, -1)
            return
        right = y if w is None else w * y
        wrong = 1.0 - y if w is None else w - right
        for row, mass in enumerate((wrong, right)):
            cells[0, row] += np.bincount(cell, mass, GRID_CELLS)
            cells[1, row] += np.bincount(cell, mass * c, GRID_CELLS)


def _cell(c: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    # The tolerance is that of the coarsest bins that the cells nest in, so that a decimal such as
    # 0.3 (3.0000000000000004 tenths) lands in a cell of the same bin as the binning rule puts it.
    scaled = c * GRID_CELLS
    cell = np.ceil(scaled - EDGE_TOLERANCE * (GRID_CELLS // 10)).astype(np.int64) - 1
    return np.clip(cell, 0, GRID_CELLS - 1)
