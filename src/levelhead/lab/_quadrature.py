"""Quadrature for one law's rewards: the mean of what is divided by a standard deviation.

Trapezoids in log t and in the center c, where the integrand is analytic and decays at both ends, so
that the error falls exponentially with the spacing: about e^(-pi^2 / (2 h)) in log t, and
e^(-2 pi^2 (sigma / step)^2) in c for a Gaussian of standard deviation sigma. The product of a
group's Gaussians has the same sigma for every group, so one spacing in c serves all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from scipy.special import erfcx

from levelhead._arrays import FloatArray, IntArray

__all__ = ["Quadrature", "power"]

LOG_STEP = 0.2  # of t; see the module's docstring
CENTER_STEP = 0.85  # of c, in standard deviations of a group's Gaussian
REACH = 7.5  # how far beyond the rewards c goes, in the same standard deviations
CUT = 34.0  # nodes at which every mixed group's exponent is below -34 hold less than 1e-14
NEAR = 40.0  # exponent beyond which a reward is 0 at a node; a group that holds one is below e^-40
DENSE = (
    4_000_000  # nodes times rewards up to which they are kept in full: 32 MB, quicker than sparse
)
PORTION = 10_000_000  # nodes times policies at once: 80 MB
SMALL = 2e-4  # t from which on down the deviation is a linear term; its cube is 1e-11


class Quadrature:
    """Nodes and kernels for one law's rewards; nothing here depends on the policy.

    With n members, D = n - ddof and beta = t^2 / D,

        1 / (s + eps) = int_0^inf w(t) e^(-t^2 s^2) dt,  w(t) = 2 / sqrt(pi) - 2 eps t erfcx(eps t)
        e^(-t^2 s^2) = sqrt(beta n / pi) int dc prod_j e^(-beta (x_j - c)^2)

    and x_i - c integrates to x_i - mean x. Groups of equal rewards contribute 0, but only where the
    nodes lie symmetrically about the reward; so their share is subtracted node by node, after which
    nodes that no mixed group reaches can be left out.
    """

    def __init__(self, values: FloatArray, n: int, eps: float, ddof: int, refine: int) -> None:
        self.values, self.n = values, n
        step = LOG_STEP / refine
        spread = n - ddof
        extent = float(values[-1] - values[0])
        smallest = float(np.diff(values).min())
        first = SMALL / max(extent, eps)
        last = math.sqrt(CUT * spread * n / (n - 1.0)) / smallest
        levels = first * np.exp(step * np.arange(math.ceil(math.log(last / first) / step) + 1))
        density = 2.0 / math.sqrt(math.pi) - 2.0 * eps * levels * erfcx(eps * levels)
        below = first / math.expm1(step), first**2 / math.expm1(2.0 * step)
        self.tail = step * (2.0 / math.sqrt(math.pi) * below[0] - 2.0 * eps * below[1])
        centers: list[FloatArray] = []
        betas: list[FloatArray] = []
        weights: list[FloatArray] = []
        for t, w in zip(levels, density, strict=True):
            beta = t * t / spread
            width = CENTER_STEP / refine / math.sqrt(2.0 * beta * n)
            c = _centers(values, n, beta, width)
            centers.append(c)
            betas.append(np.full(c.size, beta))
            weights.append(np.full(c.size, step * t * w * math.sqrt(beta * n / math.pi) * width))
        self.center, self.weight = np.concatenate(centers), np.concatenate(weights)
        beta = np.concatenate(betas)
        if self.center.size * values.size <= DENSE:
            apart = values - self.center[:, None]
            kernel = np.exp(-beta[:, None] * apart**2)
            moment = apart * kernel
            moment *= self.weight[:, None]
            alone = power(kernel, n - 1)
            self.constant = np.einsum("ns,ns->s", moment, alone)
            alone *= kernel
            self.kernel, self.moment = kernel, moment  # (nodes, S)
        else:
            row, column = _near(values, self.center, np.sqrt(NEAR / beta))
            apart = values[column] - self.center[row]
            kernel = np.exp(-beta[row] * apart**2)
            moment = apart * kernel * self.weight[row]
            alone = power(kernel, n - 1)
            self.constant = np.bincount(column, moment * alone, values.size)
            shape = self.center.size, values.size
            self.kernel = csr_array((kernel, (row, column)), shape)
            self.moment = csr_array((moment, (row, column)), shape)
            alone = csr_array((alone * kernel, (row, column)), shape)
        self.alone = np.stack([self.weight, self.weight * self.center]) @ alone  # (2, S)

    def within(self, q: FloatArray) -> FloatArray:
        """(P, S) E[(x_i - mean) / (s + eps) | x_i] with mean and s of the whole group of n."""
        out = np.empty(q.shape)
        for some in self._portions(len(q)):
            h = power((self.kernel @ q[some].T).T, self.n - 1)
            out[some] = h @ self.moment
        out -= q ** (self.n - 1) * self.constant
        mean = (q @ self.values)[:, None]
        out += self.tail * (1.0 - 1.0 / self.n) * (self.values - mean)
        return out

    def apart(self, q: FloatArray) -> FloatArray:
        """(P, S) E[(x - mean) / (s + eps) | x] with mean and s of n others, 0 where they are equal."""
        same = q**self.n
        total = -same @ self.alone.T
        sides = np.stack([self.weight, self.weight * self.center], axis=1)
        for some in self._portions(len(q)):
            total[some] += power((self.kernel @ q[some].T).T, self.n) @ sides
        mean = (q @ self.values)[:, None]
        mixed = self.values - mean - self.from_equal(q)
        return self.values * total[:, :1] - total[:, 1:] + self.tail * mixed

    def _portions(self, rows: int) -> Iterator[slice]:
        """Policies (P,) in portions whose values at all nodes fit into memory."""
        step = max(1, PORTION // self.center.size)
        for start in range(0, rows, step):
            yield slice(start, start + step)

    def from_equal(self, q: FloatArray) -> FloatArray:
        """(P, S) E[(x - x_j) 1[all n others are x_j] | x]."""
        same = q**self.n
        return self.values * same.sum(axis=1, keepdims=True) - (same @ self.values)[:, None]


def _near(values: FloatArray, center: FloatArray, reach: FloatArray) -> tuple[IntArray, IntArray]:
    """Pairs (node, reward) that are within the node's reach of one another, in order."""
    first = np.searchsorted(values, center - reach)
    many = np.searchsorted(values, center + reach, side="right") - first
    row = np.repeat(np.arange(center.size), many)
    begin = np.cumsum(many) - many
    return row, np.arange(row.size) - begin[row] + first[row]


def _centers(values: FloatArray, n: int, beta: float, width: float) -> FloatArray:
    """Grid points c at which a group of at least two different rewards has any weight.

    The weight is largest for n - 1 members at the nearest reward and one at the second nearest.
    """
    reach = max(math.sqrt(CUT / (beta * n)), REACH / math.sqrt(2.0 * beta * n))
    close = (n - 1.0) / n * beta * np.diff(values) ** 2 < CUT
    low, high = values[:-1][close] - reach, values[1:][close] + reach
    if low.size == 0:
        return np.empty(0)
    new = np.flatnonzero(low[1:] > np.maximum.accumulate(high)[:-1]) + 1
    starts, ends = low[np.concatenate([[0], new])], high[np.concatenate([new - 1, [-1]])]
    c = np.concatenate(
        [
            np.arange(math.ceil(a / width), math.floor(b / width) + 1) * width
            for a, b in zip(starts, ends, strict=True)
        ]
    )
    right = np.clip(np.searchsorted(values, c), 1, values.size - 1)
    near = np.sort(np.abs(np.stack([values[right - 1], values[right]]) - c), axis=0)
    outer = np.stack(
        [values[np.maximum(right - 2, 0)], values[np.minimum(right + 1, values.size - 1)]]
    )
    second = np.where(
        np.stack([right >= 2, right <= values.size - 2]), np.abs(outer - c), np.inf
    ).min(axis=0)
    return c[beta * ((n - 1.0) * near[0] ** 2 + np.minimum(near[1], second) ** 2) < CUT]


def power(base: FloatArray, exponent: int) -> FloatArray:
    """base ** exponent for a whole exponent, by squaring: ten times as fast as a general power."""
    out: FloatArray | None = None
    while exponent > 0:
        if exponent & 1:
            out = base.copy() if out is None else out * base
        exponent >>= 1
        if exponent:
            base = base * base
    return np.ones_like(base) if out is None else out
