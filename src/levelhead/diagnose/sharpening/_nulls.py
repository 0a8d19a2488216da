"""What chance alone would show: resampled problems, models swapped, luck, and guesses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.special import bdtr, bdtrc

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.diagnose.sharpening._counts import Paired
from levelhead.diagnose.sharpening._passk import TIE

__all__ = [
    "NewlySolved",
    "Resampled",
    "Unlucky",
    "guessed_newly_solved",
    "newly_solved_null",
    "resample",
    "swap_p",
    "unlucky_base",
]

SWAPS = 1999
"""Random swaps of the models where they cannot be counted out, at least."""

BLOCK = 1 << 21
"""Numbers of one temporary."""

NEVER = 1e-18
"""A chance below this one is none."""


@dataclasses.dataclass(frozen=True)
class Resampled:
    """Curves of resampled problems.

    Attributes:
        curves: (2, M) pass@k of both models on the problems as they are.
        draws: (2, B, M) on resampled problems.
        crossing: (B,) index of the first k at which the base model is ahead; M: none.
    """

    curves: FloatArray
    draws: FloatArray
    crossing: IntArray

    def bands(self, level: float) -> FloatArray:
        """(4, M) lower and upper ends of the base and of the tuned curve, point by point."""
        tail = (1.0 - level) / 2.0
        ends = np.quantile(self.draws, (tail, 1.0 - tail), axis=1)
        return np.concatenate([ends[:, 0], ends[:, 1]])


@dataclasses.dataclass(frozen=True)
class NewlySolved:
    """Problems that only the tuned model solves, against a model that did not change.

    Attributes:
        expected: how many an unchanged model would show.
        p_new: how often it would show as many or more.
        p_lost: how often it would show as many or more that only the base model solves.
    """

    expected: float
    p_new: float
    p_lost: float


@dataclasses.dataclass(frozen=True)
class Unlucky:
    """Problems that look new, against a base model that had bad luck.

    Attributes:
        new: problems that the base model never solved and the tuned model more than once.
        expected: the most of them to be expected from bad luck, and from guesses.
        p: how often as many or more come of it, at most.
    """

    new: int
    expected: float
    p: float


def resample(data: Paired, tables: list[FloatArray], *, n_boot: int, seed: int) -> Resampled:
    """Both curves on resampled problems.

    A curve depends on the counts alone, so how often each pair of counts is drawn is all that is drawn.

    Args:
        data: counts of both models.
        tables: (D, M) curves of the counts that occur, of each model.
        n_boot: resamples.
        seed: of the draws.
    """
    size = data.base.size
    pairs, times = np.unique(np.stack(data.places), axis=1, return_counts=True)
    rng = np.random.default_rng([seed, 2])
    order = np.argsort(pairs[1], kind="stable")
    starts = [_starts(pairs[0]), _starts(pairs[1][order])]
    points = tables[0].shape[1]
    out = np.empty((2, n_boot, points))
    step = max(1, BLOCK // times.size)
    for begin in range(0, n_boot, step):
        rows = slice(begin, min(begin + step, n_boot))
        drawn = rng.multinomial(size, times / size, size=rows.stop - begin)
        for i, counts in enumerate((drawn, drawn[:, order])):
            out[i, rows] = np.add.reduceat(counts, starts[i], axis=1) @ tables[i] / size
    curves = np.stack([np.bincount(p) @ t / size for p, t in zip(data.places, tables, strict=True)])
    above = out[0] > out[1] + TIE
    crossing = np.where(above.any(axis=1), above.argmax(axis=1), points)
    return Resampled(curves, out, crossing)


def swap_p(difference: FloatArray, *, seed: int, swaps: int = SWAPS) -> tuple[float, float]:
    """How often swapping the models within problems shows a mean as high or more, and as low or less.

    If the model did not change, either sample set could have come from either name, so the signs of
    the differences are fair coins. Of differences of one size the coins are counted out (McNemar's
    exact test); otherwise they are thrown.

    Args:
        difference: (P,) tuned minus base.
        seed: of the coins.
        swaps: how often they are thrown.

    Returns:
        (p of a rise, p of a fall), each at most 1; (NaN, NaN) where a difference is undefined.
    """
    if np.isnan(difference).any():
        return math.nan, math.nan
    sizes, place = np.unique(np.round(np.abs(difference), 12), return_inverse=True)
    times = np.bincount(place.reshape(-1), minlength=sizes.size)
    sizes, times = sizes[sizes > 0.0], times[sizes > 0.0]
    if not sizes.size:
        return 1.0, 1.0
    if sizes.size == 1:
        ups, coins = int(np.count_nonzero(difference > 0.0)), int(times[0])
        return _at_least(ups, coins, 0.5), _at_least(coins - ups, coins, 0.5)
    rng = np.random.default_rng([seed, 4])
    sums = np.empty(swaps)
    step = max(1, BLOCK // sizes.size)
    order = np.argsort(times, kind="stable")
    sizes, times = sizes[order], times[order]
    alone = int(np.searchsorted(times, 1, side="right"))
    heads = np.empty((step, sizes.size))
    for begin in range(0, swaps, step):
        rows = slice(begin, min(begin + step, swaps))
        thrown = heads[: rows.stop - begin]
        # A single coin is a bit, which is far faster than a binomial number.
        thrown[:, :alone] = rng.integers(2, size=(thrown.shape[0], alone), dtype=np.int8)
        thrown[:, alone:] = rng.binomial(
            times[alone:], 0.5, size=(thrown.shape[0], sizes.size - alone)
        )
        sums[rows] = (2 * thrown - times) @ sizes
    seen = float(np.round(np.abs(difference), 12) @ np.sign(difference))
    slack = 1e-9 * float(times @ sizes)
    up, down = np.count_nonzero(sums >= seen - slack), np.count_nonzero(sums <= seen + slack)
    return (1.0 + float(up)) / (1.0 + swaps), (1.0 + float(down)) / (1.0 + swaps)


def newly_solved_null(
    base: IntArray, tuned: IntArray, n: int, *, whole: bool = False
) -> NewlySolved:
    """How many problems an unchanged model would newly solve, exactly.

    If a problem's rate did not change, its s right samples are any s of the 2n: all of them are the
    tuned model's with chance C(n, s) / C(2n, s). Given these totals the number of newly solved
    problems is a sum of independent coins, one for each problem. Samples that depend on each other
    cannot be dealt one by one; but all those of a problem can swap models, so that each problem
    solved by one model alone is a fair coin.

    Args:
        base: (P,) right samples of the base model.
        tuned: (P,) right samples of the tuned model.
        n: samples of each.
        whole: whether all samples of a problem go together.

    Returns:
        The expectation and the two tails.
    """
    new = int(np.count_nonzero((base == 0) & (tuned > 0)))
    lost = int(np.count_nonzero((base > 0) & (tuned == 0)))
    if whole:
        coins = new + lost
        return NewlySolved(coins / 2.0, _at_least(new, coins, 0.5), _at_least(lost, coins, 0.5))
    total = base + tuned
    chance = _all_on_one_side(n)
    times = np.bincount(total[(total > 0) & (total <= n)], minlength=n + 1)
    used = np.flatnonzero((times > 0) & (chance > NEVER))
    mass = _sum_of_coins(chance[used], times[used])
    return NewlySolved(
        expected=float(times[used] @ chance[used]), p_new=_tail(mass, new), p_lost=_tail(mass, lost)
    )


def unlucky_base(base: IntArray, tuned: IntArray, n: int, guess_rate: float = 0.0) -> Unlucky:
    """How many problems only look newly solved because the base model was unlucky, at most.

    A problem counts as new here if the base model never solves it and the tuned one more than once.
    Let q be the base model's rate. If q >= 1 / (n + 1), none right is no likelier than one right:
    (1 - q)^n <= n q (1 - q)^(n - 1). If the rate did not rise, then two or more right ones of the
    tuned model are at most n q times as likely as one or more. Either way such a problem comes out
    as new at most as often as it comes out solved once by the base model and at all by the tuned one.
    So of the problems of both kinds at most half would be new, whatever the rates are, and whichever
    of the problems were raised and whichever not. Guesses add a number of their own.

    Args:
        base: (P,) right samples of the base model.
        tuned: (P,) right samples of the tuned model.
        n: samples of each.
        guess_rate: chance that a guess is right.

    Returns:
        How many are new, the most to be expected, and how often as many or more.
    """
    unsolved = int(np.count_nonzero(base == 0))
    new = int(np.count_nonzero((base == 0) & (tuned > 1)))
    once = int(np.count_nonzero((base == 1) & (tuned > 0)))
    if guess_rate == 0.0:
        return Unlucky(new, float(once), _at_least(new, new + once, 0.5))
    chance = float(bdtrc(1, n, guess_rate)) if n > 1 else 0.0
    below = bdtr(np.arange(new + 1), unsolved, chance) if unsolved else np.ones(new + 1)
    mass = np.diff(below, prepend=0.0)
    rest = np.array([_at_least(left, left + once, 0.5) for left in range(new, -1, -1)])
    return Unlucky(new, once + unsolved * chance, min(1.0, float(mass @ rest + 1.0 - below[-1])))


def guessed_newly_solved(
    base: IntArray, tuned: IntArray, n: int, guess_rate: float
) -> tuple[float, float]:
    """How many of the problems unsolved by the base model guessing would solve, and the tail.

    A guesser solves each of them with chance 1 - (1 - guess_rate)^n.

    Args:
        base: (P,) right samples of the base model.
        tuned: (P,) right samples of the tuned model.
        n: samples of each.
        guess_rate: chance that a guess is right.

    Returns:
        (expected number, how often as many or more); (0, NaN) without a guess rate.
    """
    if guess_rate == 0.0:
        return 0.0, math.nan
    unsolved = int(np.count_nonzero(base == 0))
    new = int(np.count_nonzero((base == 0) & (tuned > 0)))
    chance = -math.expm1(n * math.log1p(-guess_rate))
    return unsolved * chance, _at_least(new, unsolved, chance)


def _all_on_one_side(n: int) -> FloatArray:
    """(n + 1,) chance that s right ones among 2n samples all lie in one half; 0 for s = 0."""
    s = np.arange(n)
    chance = np.concatenate([[1.0], np.cumprod((n - s) / (2.0 * n - s))])
    chance[0] = 0.0
    return chance


def _sum_of_coins(chance: FloatArray, times: IntArray) -> FloatArray:
    """The distribution of a sum of independent coins, from its characteristic function."""
    coins = int(times.sum())
    turn = np.exp(2j * np.pi * np.arange(coins + 1) / (coins + 1))
    product = np.ones(coins + 1, dtype=complex)
    for p, m in zip(chance.tolist(), times.tolist(), strict=True):
        product *= (1.0 - p + p * turn) ** m
    return np.clip(np.fft.fft(product).real / (coins + 1), 0.0, 1.0)


def _tail(mass: FloatArray, least: int) -> float:
    return min(1.0, float(mass[least:].sum())) if least else 1.0


def _at_least(least: int, coins: int, chance: float) -> float:
    """P(at least so many of the coins are heads)."""
    return 1.0 if least <= 0 else float(bdtrc(least - 1, coins, chance))


def _starts(sorted_codes: IntArray) -> IntArray:
    """Where each value begins in a sorted array that has all of 0, 1, ..."""
    new: BoolArray = np.ones(sorted_codes.size, dtype=bool)
    new[1:] = sorted_codes[1:] != sorted_codes[:-1]
    return np.flatnonzero(new)
