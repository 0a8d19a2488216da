"""An interval for a mean over problems that reckons with a problem that nobody has seen."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from levelhead._arrays import FloatArray

__all__ = ["interval"]

STEP = 0.2
"""Between the points of an integral over a bell of width 1."""

BEND = 0.5
"""The most that line may bend."""

FAR = 8.0
"""Widths of the bell to where the line must lead downhill to be bent at all."""

POINTS = 14
"""So many at a time, until they add nothing."""

NOTHING = 1e-9
"""A share of the largest value that adds nothing."""

BELOW = 1e-9
"""The unseen value lies so much outside the range, so that it is the least one everywhere."""

CLOSE = 1e-3
"""To a saddle point; any line beside it will do as well."""

ROUNDS = 60
"""A search that halves a range is done by then."""


def interval(values: FloatArray, level: float, worst: float | None = None) -> tuple[float, float]:
    """An interval for the mean, from the problems seen and one unseen problem.

    A bootstrap takes more of what few problems show for impossible, so it is too sure where a few
    decide. Here the problems get random weights together with one more, which has the least possible
    value for the lower end and the largest possible one for the upper end:

    low = the (1 - level) / 2 quantile of sum_i w_i x_i - w_0 worst, with w ~ Dirichlet(1, ..., 1)

    The quantile is computed, not drawn.

    Args:
        values: (P,) of the problems, from -worst to worst.
        level: of the interval; (1 - level) / 2 are left out on each side.
        worst: the largest possible size of a value, > 0. Unless given, that of the seen ones: then
            the interval is about problems that change at most as much as these.

    Returns:
        (low, high), which contain the mean of the values; NaN where a value is undefined.

    Properties: for values that are -worst or worst it is the exact interval of Clopper and Pearson; for
        many values it is that of the normal distribution.
    Reference: Gaffke 2005; Learned-Miller and Thomas 2019 (arXiv:1905.06208). That it keeps its level
        for any values up to a given `worst` is proven in special cases, and no counterexample is known.
    """
    if np.isnan(values).any():
        return math.nan, math.nan
    if worst is None:
        worst = float(np.abs(values).max())
    if worst == 0.0:
        return 0.0, 0.0
    # In units of `worst`, as rounding must not carry a small one beyond the unseen value.
    seen, times = np.unique(np.round(values / worst, 12), return_counts=True)
    unseen = -1.0 - BELOW
    sides = np.stack([np.append(seen, unseen), np.append(-seen, unseen)])
    times = np.append(times, 1).astype(np.float64)
    low, high = (worst * _quantile(sides, times, (1.0 - level) / 2.0, 1e-7)).tolist()
    return max(-worst, low), min(worst, -high)


def _quantile(values: FloatArray, times: FloatArray, tail: float, close: float) -> FloatArray:
    """(E,) quantiles of Dirichlet means of each row, whose last value is its least.

    The mean is at most x as often as sum_j Gamma(times_j) (values_j - x) is at most 0. On the scale of
    the normal distribution that is nearly a line in x, so secants find it; halves bring them back.
    """
    rows, z = float(times.sum()), float(ndtri(tail))
    mean = values @ times / rows
    spread = np.sqrt(np.maximum((values**2) @ times / rows - mean**2, close**2) / rows)
    low, high = values[:, -1], values.max(axis=1)
    x, slope = mean + z * spread, 1.0 / spread
    edge = 0.01 * (high - low)
    x = np.clip(x, low + edge, high - edge)
    before, missed = x, np.zeros_like(x)
    for i in range(ROUNDS):
        chance = _at_most_0(values - x[:, None], times)
        miss = ndtri(np.clip(chance, 1e-300, 1.0 - 1e-16)) - z
        low, high = np.where(miss > 0.0, low, x), np.where(miss > 0.0, x, high)
        moved = x != before
        rise = (miss - missed) / np.where(moved, x - before, 1.0)
        slope = np.where(moved & (rise > 0.0) & (i > 0), rise, slope)
        before, missed, x = x, miss, x - miss / slope
        x = np.where((x > low) & (x < high), x, (low + high) / 2.0)
        if np.all(np.abs(x - before) <= close):
            break
    return x


def _at_most_0(a: FloatArray, times: FloatArray) -> FloatArray:
    """(E,) P(sum_j Gamma(times_j) a_ej <= 0), where the last a is negative and the least.

    The integral of the generating function M(s) over -s on a line through its saddle point, where it is
    a bell, so that small chances keep their digits. The line bends as the path of steepest descent
    does, as on a straight one a skewed bell turns for long. A few large values beside thousands of
    small ones can bend it to where M grows without end; a straight one always leads downhill.
    """
    s = _saddle(a, times)
    ratio = a / (1.0 - s[:, None] * a)
    width = 1.0 / np.sqrt(ratio**2 @ times + 1.0 / s**2)
    top = -np.log1p(-s[:, None] * a) @ times - np.log(-s)
    lean = (2.0 / s**3 - 2.0 * ratio**3 @ times) * width**3 / 3.0
    far = (FAR * width)[:, None]
    falls = (ratio / (1.0 + (far * ratio) ** 2)) @ times - s / (s**2 + far[:, 0] ** 2)
    bend = np.where(lean * falls > 0.0, np.clip(lean, -BEND, BEND), 0.0)[:, None]
    total = _along(ratio, times, s, width, bend)
    if np.isnan(total).any():
        total = _along(ratio, times, s, width, np.where(np.isnan(total)[:, None], 0.0, bend))
    return np.asarray(np.exp(top) * total * STEP * width / math.pi)


def _along(
    ratio: FloatArray, times: FloatArray, s: FloatArray, width: FloatArray, bend: FloatArray
) -> FloatArray:
    """(E,) sum of points on each half line, in units of the middle; NaN where M grows on its way."""
    total, v = np.zeros(len(s)), STEP * np.arange(POINTS)
    grows, before = np.zeros(len(s), dtype=bool), np.zeros((len(s), 1))
    for block in range(ROUNDS):
        left, up = bend * width[:, None] * (np.cosh(v) - 1.0), width[:, None] * np.sinh(v)
        real, turn = 1.0 + left[:, :, None] * ratio[:, None, :], up[:, :, None] * ratio[:, None, :]
        size = np.log(real**2 + turn**2) @ times / 2.0
        grows |= (np.diff(size, axis=1, prepend=before) < 0.0).any(axis=1) & (bend[:, 0] != 0.0)
        size[grows], before = np.inf, size[:, -1:]
        angle = np.arctan2(turn, real) @ times
        step = (1j * np.cosh(v) - bend * np.sinh(v)) / (1.0 + (1j * up - left) / s[:, None])
        bell = (np.exp(-size + 1j * angle) * step).imag
        total += bell.sum(axis=1) - (0.5 * bell[:, 0] if block == 0 else 0.0)
        if np.all(np.exp(-size[:, -1]) * np.abs(step[:, -1]) < NOTHING):
            break
        v = v + STEP * POINTS
    return np.where(grows, np.nan, total)


def _saddle(a: FloatArray, times: FloatArray) -> FloatArray:
    """(E,) where M(s) / -s is least between its pole at 1 / min a and the one at 0."""
    low, high = 1.0 / a[:, -1], np.zeros(len(a))
    s = low / 2.0
    for _ in range(ROUNDS):
        ratio = a / (1.0 - s[:, None] * a)
        slope, bend = ratio @ times - 1.0 / s, ratio**2 @ times + 1.0 / s**2
        low, high = np.where(slope > 0.0, low, s), np.where(slope > 0.0, s, high)
        before, s = s, s - slope / bend
        s = np.where((s > low) & (s < high), s, (low + high) / 2.0)
        if np.all(np.abs(s - before) <= CLOSE * np.abs(s)):
            break
    return s
