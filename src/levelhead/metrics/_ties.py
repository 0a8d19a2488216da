"""Predictions grouped by exactly equal confidence, and harmonic sums over such blocks."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np

from levelhead._arrays import FloatArray, IntArray

__all__ = ["Amounts", "TieBlocks", "harmonic_rise", "scaled_weights", "tie_blocks"]

Amounts: TypeAlias = IntArray | FloatArray

SERIES_FROM = 16
"""From here on five terms of digamma's asymptotic series reach double precision."""


EXTREME = 1e100
"""Weights above this, or all below its inverse, over- or underflow when squared and summed."""


@dataclasses.dataclass(frozen=True)
class TieBlocks:
    """Predictions grouped by exactly equal confidence, most confident first.

    Attributes:
        confidence: (B,) distinct, descending.
        weight: (B,) total weight, > 0; counts as integers where the input has no weights.
        right: (B,) weight times correctness.
    """

    confidence: FloatArray
    weight: Amounts
    right: Amounts

    @property
    def wrong(self) -> Amounts:
        return self.weight - self.right


def tie_blocks(c: FloatArray, y: FloatArray, w: FloatArray | None) -> TieBlocks:
    """Group checked arrays (see `_arrays.paired`) by exactly equal confidence."""
    if w is None:
        labels = y.astype(np.int64)
        if np.array_equal(labels, y):
            return _counted_blocks(c, labels)
    order = np.argsort(c)[::-1]
    ordered = c[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    mass = np.ones(c.size) if w is None else w[order]
    weight = np.add.reduceat(mass, starts)
    right = np.add.reduceat(mass * y[order], starts)
    used = weight > 0
    return TieBlocks(ordered[starts][used], weight[used], right[used])


def _counted_blocks(c: FloatArray, labels: IntArray) -> TieBlocks:
    """Blocks of 0/1 labels without weights, several times faster than sorting indices.

    Bit patterns of floats >= 0 are ordered like the floats, and below 2 their top two bits are not
    both in use: confidence and label fit one integer, and a plain sort carries the label along.
    """
    keys = c.view(np.int64) << 1  # the sign of -0.0 drops out
    keys |= labels
    keys.sort()
    ends = np.concatenate((np.flatnonzero((keys[1:] ^ keys[:-1]) > 1), [keys.size - 1]))
    values = (keys[ends] >> 1).view(np.float64)
    keys &= 1
    right = np.diff(np.cumsum(keys, out=keys)[ends], prepend=0)
    weight = np.diff(ends, prepend=-1)
    return TieBlocks(values[::-1], weight[::-1], right[::-1])


def scaled_weights(w: FloatArray | None) -> FloatArray | None:
    """Weights divided by the largest where that is extreme, else as they are.

    Ratios are what matters, except that AURC takes whole weights for copies: others stay untouched.
    """
    if w is None:
        return None
    top = float(w.max())
    return w if 1.0 / EXTREME <= top <= EXTREME else w / top


def harmonic_rise(start: FloatArray, width: FloatArray) -> FloatArray:
    """H(start + width) - H(start) for H(x) = digamma(x + 1), the harmonic sum of a whole number.

    Taken as one difference, because that of two digammas would lose what a short block adds.
    """
    rise = 1.0 / (start + 1.0)
    long = width != 1.0
    rise[long] = _digamma_rise(start[long], width[long])
    return rise


def _digamma_rise(start: FloatArray, width: FloatArray) -> FloatArray:
    middle = start + 0.5
    low = start < SERIES_FROM
    middle[low] += SERIES_FROM
    grown = middle + width
    rise = np.log1p(width / middle) + (_beyond_log(grown) - _beyond_log(middle))
    first, step = start[low], width[low]
    for i in range(1, SERIES_FROM + 1):  # H(x) = H(x + 1) - 1 / (x + 1)
        rise[low] += step / ((first + i) * (first + step + i))
    return rise


def _beyond_log(z: FloatArray) -> FloatArray:
    """digamma(z + 1/2) - ln z, from its asymptotic series in 1 / z^2."""
    q = 1.0 / (z * z)
    series = 31 / 8064 + q * (-127 / 30720 + q * (511 / 67584))
    return q * (1 / 24 + q * (-7 / 960 + q * series))
