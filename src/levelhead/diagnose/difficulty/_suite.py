"""Is what the base solved before still solved?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable

import numpy as np
from scipy import stats

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, real, vector
from levelhead.errors import InvalidInputError
from levelhead.metrics.paired import PairedDifference

__all__ = ["RegressionSuite", "regression_suite"]

SOLVED = 0.8
"""Pass rate from which on a prompt counts as solved before."""

STREAM = 0x5C06
"""Sets our random numbers apart from those of data that were made with the same seed: a half that is
chosen by the numbers that decided what is right would hold all that is."""

BLOCK = 1 << 20
"""Signs that are drawn at a time."""


@dataclasses.dataclass(frozen=True)
class RegressionSuite:
    """pass@1 of two models on prompts that the base had solved.

    Attributes:
        prompts: the suite.
        change: tuned - base, with its interval over prompts and its p-value.
    """

    prompts: tuple[str, ...]
    change: PairedDifference


def regression_suite(
    correct_tuned: ArrayLike,
    prompts_tuned: Iterable[object],
    correct_base: ArrayLike,
    prompts_base: Iterable[object],
    *,
    suite: Collection[str] | None = None,
    solved: float = SOLVED,
    level: float = 0.95,
    n_permutations: int = 1999,
    seed: int = 0,
) -> RegressionSuite | None:
    """The change of pass@1 on prompts that the base had solved before.

    d = mean_j d_j, d_j = pass@1 of the tuned model - pass@1 of the base on prompt j;
    d +- t_{n-1} s / sqrt(n); p = (1 + #{|d*| >= |d|}) / (1 + n_permutations), d* with signs of d_j drawn

    The suite is chosen on a random half of the base's samples of each prompt, and the tuned model is
    compared with the other half: chosen on the samples that it is compared with, the base would be
    lucky, and a model that did not change would seem to lose.

    Args:
        correct_tuned: (N,) 0 or 1; NaN where the truth is unknown.
        prompts_tuned: (N,) which prompt each is a sample of.
        correct_base: (M,) likewise.
        prompts_base: (M,) likewise.
        suite: the prompts, where they were frozen earlier; all samples of the base are then compared.
        solved: a prompt is solved from this pass rate on, in (0, 1].
        level: of the interval, in (0, 1).
        n_permutations: number of swaps of the models, at least 99.
        seed: of the halves and the swaps.

    Returns:
        The change, or None where no prompt is both in the suite and sampled from both models.

    Raises:
        InvalidInputError: lengths differ, or an argument outside its range.

    Edge cases: a prompt with one sample of the base cannot be in a suite that is chosen here. With one
        prompt the ends are NaN. Where all n prompts change alike there is no spread to tell an interval
        from: its ends are then off by 1 - ((1 - level) / 2)^(1 / n), the share of other prompts that n
        prompts could have missed.
    Properties: every prompt counts the same, however many samples it has. Prompts are few where samples
        are many, so the interval is Student's: a bootstrap over 40 prompts leaves out 0 in 6% to 8% of
        models that did not change, over 8 prompts in 10%.

    Example:
        >>> base, names = [1] * 8, ["a"] * 4 + ["b"] * 4
        >>> regression_suite([1, 0] * 4, names, base, names).change.difference
        -0.5
    """
    if not 0.0 < real("solved", solved) <= 1.0:
        raise InvalidInputError(f"solved: expected a number in (0, 1], got {solved}")
    if not 0.0 < real("level", level) < 1.0:
        raise InvalidInputError(f"level: expected a number in (0, 1), got {level}")
    if n_permutations < 99:
        raise InvalidInputError(f"n_permutations: expected at least 99, got {n_permutations}")
    number: dict[str, int] = {}
    tuned, code_tuned = _known("tuned", correct_tuned, prompts_tuned, number)
    base, code_base = _known("base", correct_base, prompts_base, number)
    rng = np.random.default_rng((seed, STREAM))
    if suite is None:
        first = _half(code_base, rng)
        chosen = _rate(base[first], code_base[first], len(number)) >= solved - 1e-9
        base, code_base = base[~first], code_base[~first]
    else:
        wanted = {str(name) for name in suite}
        chosen = np.array([name in wanted for name in number], dtype=np.bool_)
    rates = [_rate(tuned, code_tuned, len(number)), _rate(base, code_base, len(number))]
    chosen &= ~np.isnan(rates[0]) & ~np.isnan(rates[1])
    if not chosen.any():
        return None
    names = sorted(name for name, yes in zip(number, chosen, strict=True) if yes)
    change = _change(rates[0][chosen], rates[1][chosen], level, n_permutations, rng)
    return RegressionSuite(tuple(names), change)


def _known(
    which: str, correct: ArrayLike, prompts: Iterable[object], number: dict[str, int]
) -> tuple[FloatArray, IntArray]:
    """The samples whose truth is known, and the number of each one's prompt; new prompts get one."""
    right = vector(f"correct_{which}", correct)
    names = [str(name) for name in prompts]
    if len(names) != right.size:
        raise InvalidInputError(f"prompts_{which}: expected {right.size} names, got {len(names)}")
    keep = ~np.isnan(right)
    if not np.isin(right[keep], (0.0, 1.0)).all():
        raise InvalidInputError(f"correct_{which}: expected 0 or 1, or NaN where it is unknown")
    code = [number.setdefault(name, len(number)) for name in names]
    return right[keep], np.array(code, dtype=np.int64)[keep]


def _half(code: IntArray, rng: np.random.Generator) -> BoolArray:
    """A random half of each prompt's samples, the smaller one where their number is odd."""
    order = np.lexsort((rng.random(code.size), code))
    count = np.bincount(code)
    start = np.cumsum(count) - count
    place = np.arange(code.size) - np.repeat(start, count)
    first = np.zeros(code.size, np.bool_)
    first[order] = place < np.repeat(count // 2, count)
    return first


def _rate(right: FloatArray, code: IntArray, size: int) -> FloatArray:
    """(P,) pass rates; NaN without samples."""
    count = np.bincount(code, minlength=size)
    return np.where(count > 0, np.bincount(code, right, size) / np.maximum(count, 1), np.nan)


def _change(
    tuned: FloatArray, base: FloatArray, level: float, size: int, rng: np.random.Generator
) -> PairedDifference:
    """The mean change over prompts, with Student's interval and the p-value of swapping models."""
    each = tuned - base
    n, difference = each.size, float(each.mean())
    if n == 1:
        off = math.nan
    elif np.ptp(each) == 0.0:
        off = 1.0 - ((1.0 - level) / 2.0) ** (1.0 / n)
    else:
        off = float(stats.t.ppf((1.0 + level) / 2.0, n - 1) * each.std(ddof=1) / math.sqrt(n))
    extreme, block = 0, max(1, BLOCK // n)
    for start in range(0, size, block):
        sign = rng.integers(0, 2, (min(block, size - start), n)) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(sign @ each) >= abs(difference) * n - 1e-9))
    return PairedDifference(
        float(tuned.mean()),
        float(base.mean()),
        difference,
        float(np.clip(difference - off, -1.0, 1.0)),
        float(np.clip(difference + off, -1.0, 1.0)),
        (1 + extreme) / (1 + size),
        n,
        level,
        "Student's t over prompts",
    )
