"""pass@k and what is read off its curve: unbiased, for all k at once, from counts of right samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, integers, vector
from levelhead.errors import InvalidInputError

__all__ = [
    "RATE_TOLERANCE",
    "auc_log_k",
    "cover_at",
    "crossing_k",
    "curve_tables",
    "log_weights",
    "pass_at_k",
    "pass_at_k_curve",
    "transitions",
]

BLOCK = 1 << 18
"""Numbers of one temporary: two megabytes stay in the processor's cache."""

RATE_TOLERANCE = 1e-9
"""A success rate this close to tau reaches it: 3 of 10 is 0.3."""

TIE = 1e-12
"""Curves this close are equal: rounding is no crossing."""


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike | None = None) -> FloatArray:
    """The chance that one of k samples is right, for every problem and every k at once.

    pass@k = 1 - C(n - c, k) / C(n, k) = 1 - prod_{j < k} (n - c - j) / (n - j)

    Args:
        n: (P,) samples of each problem, >= 1.
        c: (P,) right ones among them, 0 to n.
        k: (M,) whole numbers >= 1; 1 to the largest n unless given.

    Returns:
        (P, M) unbiased estimates in [0, 1].

    Raises:
        InvalidInputError: lengths differ, or a number is not whole or out of range.

    Edge cases: NaN where k > n: nothing is extrapolated.
    Properties: unbiased for every k, unlike 1 - (1 - c/n)^k; grows with k.
    Reference: Chen et al. 2021 (arXiv:2107.03374).

    Example:
        >>> pass_at_k([4, 2], [1, 1]).round(3)
        array([[0.25, 0.5 , 0.75, 1.  ],
               [0.5 , 1.  ,  nan,  nan]])
    """
    total, right = _counts(n, c)
    ks = _whole_k(k, int(total.max()))
    pairs, place = np.unique(np.stack([total, right]), axis=1, return_inverse=True)
    out = np.empty((total.size, ks.size))
    place = place.reshape(-1)
    for rows, table in curve_tables(pairs[0], pairs[1], ks):
        mine = (place >= rows.start) & (place < rows.stop)
        out[mine] = table[place[mine] - rows.start]
    return out


def pass_at_k_curve(n: ArrayLike, c: ArrayLike, k: ArrayLike | None = None) -> FloatArray:
    """The mean of pass@k over problems, for all k at once.

    Problems with the same (n, c) have the same curve, so the work grows with the number of different
    pairs and not with the number of problems.

    Args:
        n: (P,) samples of each problem, >= 1.
        c: (P,) right ones among them, 0 to n.
        k: (M,) whole numbers >= 1; 1 to the largest n unless given.

    Returns:
        (M,) means in [0, 1].

    Raises:
        InvalidInputError: lengths differ, or a number is not whole or out of range.

    Edge cases: NaN at every k beyond the fewest samples that a problem has: a mean over the problems
        that happen to have more would be that of other problems.
    Reference: Chen et al. 2021 (arXiv:2107.03374).

    Example:
        >>> pass_at_k_curve([4, 4], [1, 0])
        array([0.125, 0.25 , 0.375, 0.5  ])
    """
    total, right = _counts(n, c)
    ks = _whole_k(k, int(total.max()))
    pairs, times = np.unique(np.stack([total, right]), axis=1, return_counts=True)
    out = np.zeros(ks.size)
    for rows, table in curve_tables(pairs[0], pairs[1], ks):
        out += times[rows] @ table
    return out / total.size


def crossing_k(k: ArrayLike, base: ArrayLike, tuned: ArrayLike) -> int | None:
    """The smallest k at which the base model solves more.

    Args:
        k: (M,) ascending whole numbers.
        base: (M,) pass@k of the base model.
        tuned: (M,) pass@k of the tuned model.

    Returns:
        That k, or None where there is none among these.

    Raises:
        InvalidInputError: lengths differ.

    Edge cases: a tie is no crossing, nor is NaN; 1 where the base model is ahead from the start. On
        powers of two only, the crossing lies between the returned k and the one before it.
    Reference: Yue et al. 2025 (arXiv:2504.13837).

    Example:
        >>> crossing_k([1, 2, 4, 8], [0.2, 0.3, 0.5, 0.6], [0.4, 0.4, 0.5, 0.5])
        8
    """
    grid, first, second = _three(k, base, tuned)
    above = first > second + TIE
    return int(grid[above.argmax()]) if above.any() else None


def auc_log_k(k: ArrayLike, curve: ArrayLike) -> float:
    """The mean height of a pass@k curve over log k.

    integral of pass@k d(log k) / (log k_max - log k_min), by trapezoids

    Args:
        k: (M,) ascending numbers >= 1.
        curve: (M,) pass@k in [0, 1].

    Returns:
        A number in [0, 1].

    Raises:
        InvalidInputError: lengths differ.

    Edge cases: NaN for a single k, and where the curve has NaN.

    Example:
        >>> round(auc_log_k([1, 2, 4], [0.2, 0.4, 0.6]), 3)
        0.4
    """
    grid, height, _ = _three(k, curve, curve)
    if grid.size < 2:
        return float("nan")
    return float(height @ log_weights(grid))


def cover_at(n: ArrayLike, c: ArrayLike, tau: ArrayLike) -> FloatArray:
    """Cover@tau: the share of problems of which at least a share tau of the samples is right.

    A lucky guess among a thousand samples counts for pass@1000 and not for Cover@0.1.

    Args:
        n: (P,) samples of each problem, >= 1.
        c: (P,) right ones among them, 0 to n.
        tau: (T,) success rates in (0, 1].

    Returns:
        (T,) shares in [0, 1].

    Raises:
        InvalidInputError: lengths differ, or a number is out of range.

    Edge cases: it takes c/n for the rate, so models are compared at the same n only.
    Reference: arXiv:2510.08325.

    Example:
        >>> cover_at([10, 10, 10], [0, 3, 9], [0.1, 0.3, 0.5]).round(3)
        array([0.667, 0.667, 0.333])
    """
    total, right = _counts(n, c)
    rates = vector("tau", tau)
    if not np.all((rates > 0.0) & (rates <= 1.0)):
        bad = rates[~((rates > 0.0) & (rates <= 1.0))][0]
        raise InvalidInputError(f"tau: expected success rates in (0, 1], got {bad}")
    share = np.sort(right / total)
    return 1.0 - np.searchsorted(share, rates - RATE_TOLERANCE) / share.size


def transitions(base: ArrayLike, tuned: ArrayLike) -> IntArray:
    """How many problems each model solves at least once.

    Args:
        base: (P,) right samples of the base model.
        tuned: (P,) right samples of the tuned model, of as many samples.

    Returns:
        (2, 2) problems: rows are unsolved and solved by the base model, columns by the tuned one.

    Raises:
        InvalidInputError: lengths differ, or a number is not whole.

    Example:
        >>> transitions([0, 0, 3, 1], [0, 2, 4, 0])
        array([[1, 1],
               [1, 1]])
    """
    first = integers("base", base, np.size(np.asarray(base)))
    second = integers("tuned", tuned, first.size)
    return np.bincount(2 * (first > 0) + (second > 0), minlength=4).reshape(2, 2)


def log_weights(grid: FloatArray | IntArray) -> FloatArray:
    """Weights of the trapezoids over log k, which add up to 1; NaN for a single k."""
    steps = np.diff(np.log(grid))
    if not steps.size:
        return np.full(grid.size, np.nan)
    weights = np.zeros(grid.size)
    weights[:-1] += steps / 2.0
    weights[1:] += steps / 2.0
    return weights / steps.sum()


def curve_tables(n: IntArray, c: IntArray, ks: IntArray) -> Iterator[tuple[slice, FloatArray]]:
    """(rows, their (D, M) curves) block by block: the chance of no right one is a running product."""
    most = int(ks.max())
    size = max(1, BLOCK // most)
    j = np.arange(most)
    for start in range(0, n.size, size):
        rows = slice(start, min(start + size, n.size))
        total, wrong = n[rows, None], (n - c)[rows, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            miss = np.cumprod(np.maximum(wrong - j, 0) / np.where(total > j, total - j, np.nan), 1)
        yield rows, np.asarray(1.0 - miss[:, ks - 1], dtype=np.float64)


def _counts(n: ArrayLike, c: ArrayLike) -> tuple[IntArray, IntArray]:
    total = integers("n", n, np.size(np.asarray(n)))
    right = integers("c", c, total.size)
    if total.size == 0:
        raise InvalidInputError("n: expected at least one problem, got none")
    if total.min() < 1:
        i = int(total.argmin())
        raise InvalidInputError(f"n: expected at least one sample, got {total[i]} at index {i}")
    if (right > total).any():
        i = int((right > total).argmax())
        raise InvalidInputError(f"c: expected at most n = {total[i]}, got {right[i]} at index {i}")
    return total, right


def _whole_k(k: ArrayLike | None, most: int) -> IntArray:
    if k is None:
        return np.arange(1, most + 1)
    ks = integers("k", k, np.size(np.asarray(k)))
    if ks.size == 0 or ks.min() < 1:
        got = "none" if ks.size == 0 else str(ks.min())
        raise InvalidInputError(f"k: expected whole numbers >= 1, got {got}")
    return ks


def _three(k: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[FloatArray, ...]:
    grid = vector("k", k)
    for name, values in (("base", first), ("tuned", second)):
        if np.shape(values) != grid.shape:
            raise InvalidInputError(
                f"{name}: expected {grid.size} values, one for each k, got {np.size(np.asarray(values))}"
            )
    if grid.size > 1 and not np.all(np.diff(grid) > 0):
        raise InvalidInputError("k: expected ascending numbers, got others; sort them first")
    return grid, vector("base", first), vector("tuned", second)
