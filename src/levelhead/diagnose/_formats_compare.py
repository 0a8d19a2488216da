"""Two sets of texts: are their formats the same up to sampling, with whole prompts as the units?"""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.diagnose._formats_measures import effective_number

__all__ = ["Homogeneity", "compare_clusters", "design_effect", "retained_interval"]

CHUNK = 50
"""Permutations at a time."""


@dataclasses.dataclass(frozen=True)
class Homogeneity:
    """Whether two sets have the same formats.

    Attributes:
        p_any: chance that permuted sets differ as much in any format (chi-square statistic).
        p_number: chance that the effective number falls as much, or more.
        paired: whether prompts were swapped between the sets, each with itself.
        clusters: prompts that were permuted.
    """

    p_any: float
    p_number: float
    paired: bool
    clusters: int


def compare_clusters(
    first: IntArray, second: IntArray, *, paired: bool, draws: int = 2000, seed: int = 0
) -> Homogeneity:
    """Permutation test of two sets of prompts.

    Args:
        first: (P, F) formats of each prompt in the first set.
        second: (Q, F) in the second; Q = P and the same order where `paired`.
        paired: whether row i of both is one prompt.
        draws: permutations.
        seed: of every random number.

    Returns:
        Both p, each with the observed arrangement counted.
    """
    rng = np.random.default_rng([seed, 12])
    a, b = first.sum(axis=0), second.sum(axis=0)
    both = (a + b).astype(np.float64)
    rows = first if paired else np.concatenate([first, second])
    other = second if paired else np.zeros_like(rows)
    own = _statistics(a[None].astype(float), both)
    higher = np.zeros(2, np.int64)
    for done in range(0, draws, CHUNK):
        size = min(CHUNK, draws - done)
        if paired:
            swap = rng.random((size, len(rows))) < 0.5
            drawn = a + swap.astype(np.float64) @ (other - rows)
        else:
            order = np.argsort(rng.random((size, len(rows))), axis=1) < len(first)
            drawn = order.astype(np.float64) @ rows
        found = _statistics(drawn, both)
        higher += [int((found[i] >= own[i] - 1e-12).sum()) for i in (0, 1)]
    p = (1.0 + higher) / (1.0 + draws)
    return Homogeneity(float(p[0]), float(p[1]), paired, len(rows))


def _statistics(a: FloatArray, both: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Chi-square of the two sets, and by how much the effective number is lower in the second."""
    b = both - a
    n, m = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    share = both / both.sum()
    there = share > 0.0
    off = (a / np.maximum(n, 1) - b / np.maximum(m, 1)) ** 2
    return (
        (off[:, there] / share[there]).sum(axis=1),
        effective_number(a) - effective_number(np.maximum(b, 0.0)),
    )


def retained_interval(
    first: IntArray,
    second: IntArray,
    *,
    paired: bool,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval over prompts of `(N_eff - 1)` of the second set, relative to the first.

    Args:
        first: (P, F) formats of each prompt in the first set.
        second: (Q, F) in the second.
        paired: whether row i of both is one prompt.
        level: of the interval.
        draws: bootstrap replicates.
        seed: of every random number.

    Returns:
        Its ends; NaN where the first set has one format alone.
    """
    rng = np.random.default_rng([seed, 13])
    ratio = np.empty(draws)
    for done in range(0, draws, CHUNK):
        size = min(CHUNK, draws - done)
        w = _times(rng, len(first), size)
        v = w if paired else _times(rng, len(second), size)
        before, after = effective_number(w @ first) - 1.0, effective_number(v @ second) - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio[done : done + size] = np.where(before > 1e-9, after / before, np.nan)
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size < draws / 2:
        return np.nan, np.nan
    low, high = np.quantile(ratio, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _times(rng: np.random.Generator, count: int, size: int) -> FloatArray:
    """How often each prompt is drawn, for several bootstrap replicates."""
    return rng.multinomial(count, np.full(count, 1.0 / count), size=size).astype(np.float64)


def design_effect(formats: IntArray, prompts: IntArray, steps: IntArray, size: int) -> float:
    """By how much samples of one prompt, which are alike, widen the noise of shares.

    `1 + (m - 1) icc` with `m` the mean size of a prompt in a step, weighted by samples, and `icc` the
    excess of equal formats among pairs of one prompt over pairs of the same step and other prompts.

    Args:
        formats: (N,) format of each sample as 0 to size - 1.
        prompts: (N,) its prompt as a number from 0.
        steps: (N,) its step as a number from 0.
        size: F.

    Returns:
        A number >= 1; 1 where no prompt has two samples in a step.
    """
    cells, where = np.unique(steps * (int(prompts.max()) + 1) + prompts, return_inverse=True)
    own = np.zeros((cells.size, size))
    np.add.at(own, (where, formats), 1.0)
    step = np.zeros((int(steps.max()) + 1, size))
    np.add.at(step, (steps, formats), 1.0)
    within, equal = _pairs(own)
    all_pairs, all_equal = _pairs(step)
    between = all_pairs - within
    if not within or not between:
        return 1.0
    chance = (all_equal - equal) / between
    if chance >= 1.0:
        return 1.0
    icc = min(max((equal / within - chance) / (1.0 - chance), 0.0), 1.0)
    m = own.sum(axis=1)
    return 1.0 + (float((m**2).sum() / m.sum()) - 1.0) * icc


def _pairs(table: FloatArray) -> tuple[float, float]:
    """Ordered pairs of samples in a row of counts, and those of one format."""
    m = table.sum(axis=1)
    return float((m * (m - 1.0)).sum()), float((table * (table - 1.0)).sum())
