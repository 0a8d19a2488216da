"""Two sets of texts: are their formats the same up to sampling, with whole prompts as the units?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.diagnose.formats._measures import effective_number

__all__ = ["Homogeneity", "compare_clusters", "design_effect", "retained_interval"]

CHUNK = 50
"""Permutations at a time."""

FEW_PROMPTS = 5
"""Prompts from which an interval over prompts can be told."""


@dataclasses.dataclass(frozen=True)
class Homogeneity:
    """Whether two sets have the same formats.

    Attributes:
        p_any: chance that permuted sets differ as much in any format.
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

    Prompts that both sets have are swapped with themselves, each with the weight that the harmonic
    mean of its two numbers of samples gives it, so that a set with more samples of some prompts is
    not another set. Other prompts are shuffled, and differences are taken relative to their standard
    error over prompts, as sets may differ in how many samples their prompts have.

    Args:
        first: (P, F) formats of each prompt in the first set.
        second: (Q, F) in the second; Q = P and the same order where `paired`.
        paired: whether row i of both is one prompt; one without samples in a set is left out.
        draws: permutations.
        seed: of every random number.

    Returns:
        Both p, each with the observed arrangement counted.

    Reference: E. Chung and J. P. Romano (2013), Exact and asymptotically robust permutation tests.
    """
    rng = np.random.default_rng([seed, 12])
    drawn = _swapped(first, second, draws, rng) if paired else _shuffled(first, second, draws, rng)
    size = int((first.any(axis=1) & second.any(axis=1)).sum()) if paired else 0
    own = [np.nan, np.nan]
    higher = np.zeros(2, np.int64)
    for found in drawn:
        if np.isnan(own[0]):
            own = [float(one[0]) for one in found]
            found = [one[1:] for one in found]
        higher += [int((found[i] >= own[i] - 1e-9).sum()) for i in (0, 1)]
    p = (1.0 + higher) / (1.0 + draws)
    return Homogeneity(
        float(p[0]), float(p[1]), paired, size if paired else len(first) + len(second)
    )


def _swapped(
    first: IntArray, second: IntArray, draws: int, rng: np.random.Generator
) -> Iterator[list[FloatArray]]:
    """Statistics of the observed sets, then of sets with prompts swapped, some at a time."""
    size = first.shape[1]
    both, times = np.unique(np.hstack([first, second]), axis=0, return_counts=True)
    n, m = both[:, :size].sum(axis=1), both[:, size:].sum(axis=1)
    both, times, n, m = (x[(n > 0) & (m > 0)] for x in (both, times, n, m))
    weight = 2.0 * n * m / (n + m)
    # Shares with the prompt's weight, and that weight's part in the noise of a set's entropy.
    rows = [
        np.column_stack([part * (weight / k)[:, None], weight**2 / k])
        for part, k in ((both[:, :size], n), (both[:, size:], m))
    ]
    a, b = (times @ one for one in rows)
    share = (a + b)[:-1] / (a + b)[:-1].sum()
    there = share > 0.0
    for done in range(0, draws, CHUNK):
        swap = rng.binomial(times, 0.5, size=(min(CHUNK, draws - done), times.size))
        moved = swap.astype(np.float64) @ (rows[1] - rows[0])
        if not done:
            moved = np.vstack([np.zeros_like(moved[:1]), moved])
        left, right = np.maximum(a + moved, 0.0), np.maximum(b - moved, 0.0)
        off = (left - right)[:, :-1] ** 2
        yield [(off[:, there] / share[there]).sum(axis=1), _number(left) - _number(right)]


def _number(sums: FloatArray) -> FloatArray:
    """Effective numbers of weighted sums of formats; the last column is the noise of the weights."""
    counts, total = sums[:, :-1], sums[:, :-1].sum(axis=1)
    seen = np.count_nonzero(counts > 1e-9, axis=1)
    bias = (seen - 1) * sums[:, -1] / (2.0 * np.maximum(total, 1e-9) ** 2)
    return effective_number(counts, correct=False) * np.exp(bias)


def _shuffled(
    first: IntArray, second: IntArray, draws: int, rng: np.random.Generator
) -> Iterator[list[FloatArray]]:
    """The same with all prompts shuffled."""
    rows = np.concatenate([first, second])
    kinds, kind, times = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    own = np.bincount(kind.ravel()[: len(first)], minlength=len(kinds))
    z = np.column_stack([kinds, kinds.sum(axis=1)]).astype(np.float64)
    # Sums of products over prompts, from which the standard errors of a set are told.
    products = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    for done in range(0, draws, CHUNK):
        part = rng.multivariate_hypergeometric(
            times, len(first), size=min(CHUNK, draws - done), method="marginals"
        )
        if not done:
            part = np.vstack([own, part])
        sides: list[tuple[FloatArray, ...]] = []
        for chosen, prompts in ((part, len(first)), (times - part, len(second))):
            w = chosen.astype(np.float64)
            sides.append(_spread(w @ z, (w @ products).reshape(len(w), z.shape[1], -1), prompts))
        (share, number, noise, error), (share_2, number_2, noise_2, error_2) = sides
        scale = np.sqrt(error + error_2)
        off = (share - share_2) ** 2 / (noise + noise_2)
        yield [off.sum(axis=1), (number - number_2) / scale]


def _spread(
    sums: FloatArray, products: FloatArray, prompts: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Shares and effective number of sets, and their squared standard errors over prompts."""
    counts, n = sums[:, :-1], sums[:, -1:]
    share = counts / n
    more = prompts / max(prompts - 1, 1)
    square = np.einsum("dff->df", products[:, :-1, :-1])
    noise = square - 2.0 * share * products[:, :-1, -1] + share**2 * products[:, -1, -1:]
    number = effective_number(counts)
    # d N_eff = N_eff sum_f (-ln p_f - H) d p_f
    with np.errstate(divide="ignore"):
        slope = np.where(share > 0.0, -np.log(share), 0.0)
    slope = np.column_stack([slope, -(share * slope).sum(axis=1)])
    error = np.einsum("df,dfg,dg->d", slope, products, slope)
    # Half a sample's noise, as a few like prompts would seem to have none.
    least = 0.25 / n**2
    return (
        share,
        number,
        more * np.maximum(noise, 0.0) / n**2 + least,
        number**2 * more * np.maximum(error, 0.0) / n[:, 0] ** 2 + least[:, 0],
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
        Its ends; NaN where the first set has one format alone, or a set fewer than 5 prompts.
    """
    if min(len(first), len(second)) < FEW_PROMPTS:
        return np.nan, np.nan
    rng = np.random.default_rng([seed, 13])
    size = first.shape[1]
    if paired:
        ends = [_resampled(np.hstack([first, second]), draws, rng)]
        before, after = ends[0][:, :size], ends[0][:, size:]
    else:
        before, after = (_resampled(one, draws, rng) for one in (first, second))
    lost = effective_number(before) - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(lost > 1e-9, (effective_number(after) - 1.0) / lost, np.nan)
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size < draws / 2:
        return np.nan, np.nan
    low, high = np.quantile(ratio, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(rows: IntArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Sums over prompts drawn with replacement; like prompts are drawn together."""
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    return rng.multinomial(len(rows), times / len(rows), size=draws).astype(np.float64) @ kinds


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
