"""What was found of two models, and how a number of both becomes a difference with its null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.diagnose.sharpening._interval import interval
from levelhead.diagnose.sharpening._nulls import SWAPS, swap_p

__all__ = [
    "Difference",
    "SharpeningResult",
    "difference",
    "expands",
    "fell",
    "rose",
]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A number of both models, and what changed.

    Attributes:
        base: of the base model; NaN where it is undefined.
        tuned: of the tuned model.
        value: tuned minus base.
        low: lower end of the interval of that difference, over problems and an unseen one.
        high: upper end.
        p_up: how often swapping the models within problems at random shows as much or more.
        p_down: how often it shows as little or less.
    """

    base: float
    tuned: float
    value: float
    low: float
    high: float
    p_up: float
    p_down: float


@dataclasses.dataclass(frozen=True)
class SharpeningResult:
    """What was found of a base and a tuned model on the same problems.

    Attributes:
        verdict: `SHARPEN`, `EXPAND` or `INCONCLUSIVE`.
        names: of the base and the tuned model.
        problems: how many both have.
        n: samples of each problem and model.
        k: (M,) the k of the curves.
        base: (M,) pass@k of the base model.
        tuned: (M,) pass@k of the tuned model.
        bands: (4, M) lower and upper ends at each k, of the base and of the tuned model.
        first: pass@1.
        last: pass@n: the share of problems solved at least once.
        auc: the mean height of the curve over log k.
        crossing: the smallest k at which the base model solves more, or None up to n.
        crossing_low: lower end of its interval; None: beyond n.
        crossing_high: upper end; None: beyond n.
        crossing_share: share of the resamples in which the curves cross up to n.
        table: (2, 2) problems, as `transitions` counts them.
        expected_new: newly solved problems that an unchanged model would show.
        p_new: how often an unchanged model would show as many or more.
        p_lost: the same for those no longer solved.
        solved_again: newly solved problems that the tuned model solves more than once.
        unlucky_new: the most of those to be expected if on each problem the rate did not rise, or the
            base model had one of 1 / (n + 1) or more; NaN where the samples of a problem are not
            independent, as then it is unknown.
        p_unlucky: how often such models would show as many or more; 1 where that is unknown.
        guess_rate: chance that a guess is right, as stated.
        guessed_new: newly solved problems that guessing alone would show.
        p_guessed: how often guessing alone would show as many or more; NaN without a guess rate.
        cover: Cover@tau of both models by tau.
        entropy: of the answers to a problem in nats, mean over problems; None without answers.
        max_share: of the most frequent answer, mean over problems; None without answers.
        answered: problems that these two are about.
        level: of the intervals.
        seed: of every random number.
        warnings: what was odd in the data.
        notes: decisions and settings.
    """

    verdict: str
    names: tuple[str, str]
    problems: int
    n: int
    k: IntArray
    base: FloatArray
    tuned: FloatArray
    bands: FloatArray
    first: Difference
    last: Difference
    auc: Difference
    crossing: int | None
    crossing_low: int | None
    crossing_high: int | None
    crossing_share: float
    table: IntArray
    expected_new: float
    p_new: float
    p_lost: float
    solved_again: int
    unlucky_new: float
    p_unlucky: float
    guess_rate: float
    guessed_new: float
    p_guessed: float
    cover: Mapping[float, Difference]
    entropy: Difference | None
    max_share: Difference | None
    answered: int
    level: float
    seed: int
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


def rose(d: Difference, tail: float) -> bool:
    """The rule; the interval is about other problems, the exact test about other samples of these."""
    return d.low > 0.0 and d.p_up <= tail


def fell(d: Difference, tail: float) -> bool:
    """The same for a fall."""
    return d.high < 0.0 and d.p_down <= tail


def expands(p_new: float, p_unlucky: float, p_guessed: float, tail: float) -> bool:
    """Whether more is newly solved than each kind of luck explains; no guess rate, no such luck."""
    return all(math.isnan(p) or p <= tail for p in (p_new, p_unlucky, p_guessed))


def difference(
    base: FloatArray,
    tuned: FloatArray,
    level: float,
    seed: int,
    *,
    swaps: int = SWAPS,
    worst: float | None = None,
) -> Difference:
    """Means of both over problems, and their difference with its interval and its null.

    Args:
        base: (P,) of the base model.
        tuned: (P,) of the tuned model.
        level: of the interval.
        seed: of the swaps.
        swaps: how many where they cannot be counted out.
        worst: the most that a problem can change; unless given, the most that one did.
    """
    change = tuned - base
    low, high = interval(change, level, worst)
    up, down = swap_p(change, seed=seed, swaps=swaps)
    value = float(np.mean(change))
    return Difference(float(base.mean()), float(tuned.mean()), value, low, high, up, down)
