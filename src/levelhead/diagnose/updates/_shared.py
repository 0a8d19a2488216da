"""What two runs share beyond the sizes of the weights and the rows and columns that move most.

Some rows and columns of a matrix move more than others, in any run: words that occur often, features
that are large. Two independent runs then change the same weights more often than those sizes say. Here
each run's chance to change a weight is fitted with a size of its own for every row and column; what is
left must not go together.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.diagnose.updates._bits import Bits, Format
from levelhead.diagnose.updates._tensors import Files
from levelhead.diagnose.updates._tensors_pairs import Pair, Pairs

__all__ = ["SHARED", "Shared", "residuals", "shared_changes"]

SHARED = 0.02
"""Correlation from which on two runs are said to share something: below, it would move no conclusion."""

MATRICES, SIDE, LEAST = 24, 192, 16
"""Matrices that are drawn, rows and columns that are drawn of each, and how many it must have."""

READ = 1 << 18
"""Weights that are read at a time."""

ROUNDS = 6
"""Times that rows, columns and sizes are fitted in turn; by then their sums are as they were seen."""

NARROW, WIDE = -7.0, 2.0
"""Logarithms of half a gap over the step, beyond which a change is certain either way."""

GRID = 1024
"""Points per unit of it: the chance is looked up, which is faster than to compute it."""


@dataclasses.dataclass
class Shared:
    """Sums of what is left of two runs' changes after sizes, rows and columns.

    Attributes:
        matrices: how many were looked at.
        n: weights of these.
        product: sum of first times second.
        products: sum of its squares.
        first: sum of the first's squares.
        second: sum of the second's squares.
    """

    matrices: int = 0
    n: int = 0
    product: float = 0.0
    products: float = 0.0
    first: float = 0.0
    second: float = 0.0

    def add(self, one: FloatArray, two: FloatArray) -> None:
        """Take the residuals of a matrix in."""
        both = one * two
        self.matrices += 1
        self.n += one.size
        self.product += float(both.sum())
        self.products += float((both * both).sum())
        self.first += float((one * one).sum())
        self.second += float((two * two).sum())

    @property
    def correlation(self) -> float | None:
        """Of what is left; None where nothing is."""
        size = math.sqrt(self.first * self.second)
        return self.product / size if size > 0 else None

    @property
    def z(self) -> float | None:
        """Standard deviations of the sum of products above 0; None where nothing is left."""
        return self.product / math.sqrt(self.products) if self.products > 0 else None


def shared_changes(
    first: Pairs, second: Pairs, names: Collection[str], files: Files, rng: np.random.Generator
) -> Shared:
    """Correlation of the changes of two runs, in matrices that both changed.

    Args:
        first: BASE with one run.
        second: BASE with the other.
        names: of the tensors that may be drawn.
        files: reads them.
        rng: draws the matrices, rows and columns.
    """
    names = [name for name in names if name in second.pairs and _is_wide(first.pairs[name])]
    found = Shared()
    for i in rng.permutation(len(names)):
        if found.matrices == MATRICES:
            break
        one, two = first.pairs[names[i]], second.pairs[names[i]]
        bits, changed, theirs = _drawn(one, two, files, rng)
        if changed.any() and theirs.any():
            stratum = spacings(bits, one.form)
            found.add(residuals(changed, stratum), residuals(theirs, stratum))
    return found


def _is_wide(pair: Pair) -> bool:
    return pair.is_matrix and min(pair.shape) >= LEAST


def _drawn(
    one: Pair, two: Pair, files: Files, rng: np.random.Generator
) -> tuple[Bits, BoolArray, BoolArray]:
    """Rows in succession and columns at random: the weights before, and which each run changed."""
    rows, columns = one.shape
    tall = min(rows, max(SIDE, SIDE * SIDE // columns))
    wide = min(columns, max(SIDE, SIDE * SIDE // tall))
    place = np.sort(rng.permutation(columns)[:wide])
    start = int(rng.integers(rows - tall + 1))

    def blocks() -> Iterator[tuple[Bits, BoolArray, BoolArray]]:
        step = max(1, READ // columns)
        for low in range(start, start + tall, step):
            span = low * columns, min(low + step, start + tall) * columns
            old, new = one.bits(files, *span)
            their_old, their_new = two.bits(files, *span)
            flat = old, old != new, their_old != their_new
            yield tuple(x.reshape(-1, columns)[:, place] for x in flat)  # type: ignore[misc]
            for pair in (one, two):
                pair.drop(files, *span)

    bits, changed, theirs = (np.concatenate(part) for part in zip(*blocks(), strict=True))
    return bits, changed, theirs


def spacings(bits: Bits, form: Format) -> IntArray:
    """Weights with like distances to their neighbors: one power of two, itself apart; as 0, 1, 2, ..."""
    size = bits & bits.dtype.type(form.sign - 1)
    digits = form.digits - 1
    power = (size & bits.dtype.type((1 << digits) - 1)) == 0
    code = ((size >> bits.dtype.type(digits)).astype(np.int64) << 1) + power
    used = np.bincount(code.reshape(-1)) > 0
    return (np.cumsum(used) - 1)[code]


def residuals(changed: BoolArray, stratum: IntArray) -> FloatArray:
    """Changes less the chance of each, by rows, columns and the spacing of the stored numbers.

    The chance is that of a Gaussian step: p = 2 Q(exp(a_k + b_i + c_j)) for a weight of stratum k in
    row i and column j. Each of a, b and c is fitted in turn so that its sums of p are those of the
    changes. Where two runs are independent, the products of their residuals are 0 on average as soon as
    either fit is right.

    Args:
        changed: (R, C) which weights changed.
        stratum: (R, C) numbers from 0 on.
    """
    size = int(stratum.max()) + 1
    flat, seen = stratum.reshape(-1), changed.astype(np.float64)
    count, hits = np.bincount(flat, minlength=size), _sums(flat, seen, size)
    gap = np.log(-ndtri((hits + 0.5) / (count + 1) / 2))
    chance, slope = _chances()
    row, column = np.zeros((seen.shape[0], 1)), np.zeros((1, seen.shape[1]))

    def fitted() -> tuple[FloatArray, FloatArray]:
        """The chance less what was seen, and how fast it falls."""
        place = gap.take(stratum)
        place += row
        place += column
        place -= NARROW
        place *= GRID
        near = np.clip(place, 0, chance.size - 1, out=place).astype(np.int32)
        return chance.take(near) - seen, slope.take(near)

    for _ in range(ROUNDS):
        for part, axis in ((row, 1), (column, 0)):
            part += _step(*(x.sum(axis=axis, keepdims=True) for x in fitted()))
        gap += _step(*(_sums(flat, x, size) for x in fitted()))
    # Where a spacing decides alone nothing is left, not even the fit's last digits: they would agree.
    open_to = (hits > 0) & (hits < count)
    return -fitted()[0] * open_to[stratum]


@functools.cache
def _chances() -> tuple[FloatArray, FloatArray]:
    """2 Q(exp x) and how fast it falls, on a grid of x."""
    ratio = np.exp(np.arange(NARROW, WIDE, 1 / GRID))
    return 2 * ndtr(-ratio), math.sqrt(2 / math.pi) * ratio * np.exp(-ratio * ratio / 2)


def _sums(flat: IntArray, values: FloatArray, size: int) -> FloatArray:
    return np.bincount(flat, values.reshape(-1), size).astype(np.float64, copy=False)


def _step(excess: FloatArray, slope: FloatArray) -> FloatArray:
    """Newton's, held back: a row of which nothing changed would go on for ever."""
    return np.clip(excess / (slope + 0.5), -1.0, 1.0)
