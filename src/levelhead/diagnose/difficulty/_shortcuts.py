"""Do right answers to prompts that the base rarely solves show more shortcuts than the base's own?

Compared are right answers of both models to the same prompts. Given the prompt and that it is right,
an answer of an unchanged model is flagged as often as the base's, so the models' names can be swapped
among them: the test is exact, however prompts were chosen by their pass rates. Answers of one model to
one prompt are often near copies of each other, so whole prompts are swapped too, and both must tell.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from levelhead._arrays import BoolArray, FloatArray, IntArray, flags, integers, real, vector
from levelhead.diagnose.difficulty._text import (
    NEEDED_OPERATIONS,
    SKIP,
    Content,
    answer_repetition,
    work_in,
)
from levelhead.errors import InvalidInputError

__all__ = ["ShortcutTest", "Traces", "read_traces", "shortcut_test", "share_interval"]

MARGIN = 0.1
"""An excess of flagged answers that nobody would act on."""

FEWEST = 10
"""Prompts that both models solved before a verdict is given."""

BLOCK = 1 << 20
"""Answers that are put in another order at a time."""

STREAM = 0x5C07
"""Sets our random numbers apart from those of data that were made with the same seed."""


@dataclasses.dataclass(frozen=True)
class Traces:
    """What detectors see in N texts before the usual work for their prompts is known.

    Attributes:
        repeats: (N,) whether the text repeats its answer or itself.
        operations: (N,) operations or statements that it writes out.
        answers: (N,) whether it states an answer.
        hasty: (N,) whether the answer comes in the first 15%, or from no written equation.
    """

    repeats: BoolArray
    operations: FloatArray
    answers: BoolArray
    hasty: BoolArray

    def __len__(self) -> int:
        return self.repeats.size

    def take(self, rows: IntArray | BoolArray) -> Traces:
        """Some of the texts."""
        return Traces(
            self.repeats[rows], self.operations[rows], self.answers[rows], self.hasty[rows]
        )

    def skips(self, usual: FloatArray | float) -> BoolArray:
        """(N,) whether work is skipped, by the usual operations of each prompt; NaN: not known."""
        given = np.broadcast_to(np.asarray(usual, dtype=np.float64), self.operations.shape)
        known = ~np.isnan(given)
        few = known & (self.operations < SKIP * np.fmax(1.0, given))
        idle = known & (given < NEEDED_OPERATIONS)
        return self.answers & ~idle & (few | self.hasty)

    def flagged(self, usual: FloatArray | float) -> BoolArray:
        """(N,) whether either shortcut shows."""
        return self.repeats | self.skips(usual)


@dataclasses.dataclass(frozen=True)
class ShortcutTest:
    """Shares of flagged answers among right ones of two models to the same prompts.

    Attributes:
        tuned: share in the tuned model, None without prompts that both solved.
        base: share in the base.
        difference: tuned - base, both weighted alike by prompts.
        low: lower end of the interval of the difference.
        high: upper end.
        p_value: one-sided, of no more flags than the base: the larger of those by swapping single answers
            and whole prompts; None where no swap can change anything.
        null_high: the difference that either swap exceeds with the false-alarm level; None likewise.
        n_prompts: prompts that both models solved.
        n_tuned: right answers of the tuned model to them.
        n_base: right answers of the base to them.
        alpha: the false-alarm level.
        margin: an excess that does not matter.
    """

    tuned: float | None
    base: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    null_high: float | None
    n_prompts: int
    n_tuned: int
    n_base: int
    alpha: float
    margin: float

    @property
    def verdict(self) -> str:
        """`SHORTCUTS`, `NO SHORTCUTS` or `INCONCLUSIVE`."""
        if self.n_prompts < FEWEST or self.difference is None or self.high is None:
            return "INCONCLUSIVE"
        if self.p_value is not None and self.p_value <= self.alpha and self.difference > 0.0:
            return "SHORTCUTS"
        return "NO SHORTCUTS" if self.high < self.margin else "INCONCLUSIVE"


def read_traces(
    texts: Sequence[str | None],
    *,
    content: Content = "arithmetic",
    advance: Callable[[int], None] | None = None,
) -> Traces:
    """Run both detectors over texts.

    Args:
        texts: N responses; None is an empty one.
        content: `code` counts statements instead of operations.
        advance: told how many more texts were read.

    Returns:
        What they show.

    Raises:
        InvalidInputError: something that is no text.

    Edge cases: an empty text shows nothing.
    Properties: text by text.

    Example:
        >>> read_traces(["3 * 4 = 12, so 12 + 5 = 17. The answer is 17."]).operations
        array([2.])
    """
    rows: list[tuple[bool, float, bool, bool]] = []
    for text in texts:
        said = "" if text is None else text
        repeats = answer_repetition(said).flag  # refuses what is no text
        work = work_in(said, content)
        rows.append(
            (
                repeats,
                float(work.operations),
                work.last is not None,
                bool(work.spans),
            )
        )
        if advance is not None:
            advance(1)
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Traces(table[:, 0] > 0, table[:, 1], table[:, 2] > 0, table[:, 3] > 0)


def shortcut_test(
    traces: Traces,
    prompts: Sequence[int] | IntArray,
    is_tuned: Sequence[bool] | BoolArray,
    *,
    alpha: float = 0.05,
    margin: float = MARGIN,
    n_permutations: int = 1999,
    seed: int = 0,
) -> ShortcutTest:
    """Are right answers of the tuned model flagged more often than the base's to the same prompts?

    d = sum_j w_j (f_tuned,j - f_base,j) / sum_j w_j, w_j = m_tuned,j m_base,j / (m_tuned,j + m_base,j);
    p = (1 + #{d* >= d}) / (1 + n_permutations), the larger of two: d* with the models' names swapped
    among the answers of each prompt, and d* with them swapped for all answers of a prompt at once

    The usual work of a prompt is the median over its answers of the base; it is taken anew at every
    swap, since a model that is measured against itself skips less.

    Args:
        traces: of N right answers of both models.
        prompts: (N,) whole numbers >= 0 that name the prompts.
        is_tuned: (N,) whose answer it is.
        alpha: the false-alarm level, in (0, 0.5).
        margin: an excess that does not matter, in (0, 1).
        n_permutations: number of swaps of each kind, at least 99.
        seed: of the swaps.

    Returns:
        Shares, their difference with an interval of level 1 - alpha, and the p-value.

    Raises:
        InvalidInputError: lengths differ, or an argument outside its range.

    Edge cases: prompts that only one model solved say nothing here and are left out; with fewer than
        ten left the verdict is INCONCLUSIVE.
    Properties: for answers that are independent given the prompt it never exceeds its level, however few
        prompts there are: swaps keep how many answers each model has to each. Where a model repeats one
        answer to a prompt, single answers are no evidence of their own, and whole prompts decide. The
        interval (Clopper-Pearson ends with prompts for trials, put together as Newcombe does) is
        conservative.
    Reference: Mantel and Haenszel 1959 (the weights); Newcombe 1998 (the interval); Phipson and Smyth
        2010 (the + 1).

    Example:
        >>> traces = read_traces(["2 * 3 = 6. The answer is 6.", "2 + 2 = 4. The answer is 4."] * 10)
        >>> found = shortcut_test(traces, [i // 2 for i in range(20)], [False, True] * 10)
        >>> found.difference, found.n_prompts, found.verdict
        (0.0, 10, 'INCONCLUSIVE')
    """
    n = len(traces)
    code, tuned = integers("prompts", prompts, n), flags("is_tuned", is_tuned, n)
    for name, value, top in (("alpha", alpha, 0.5), ("margin", margin, 1.0)):
        if not 0.0 < real(name, value) < top:
            raise InvalidInputError(f"{name}: expected a number in (0, {top:g}), got {value}")
    if n_permutations < 99:
        raise InvalidInputError(f"n_permutations: expected at least 99, got {n_permutations}")
    found = _Compared.of(traces, code, tuned, n_permutations, np.random.default_rng((seed, STREAM)))
    if not found.weights.size:
        return ShortcutTest(None, None, None, None, None, None, None, 0, 0, 0, alpha, margin)
    w = found.weights
    base, after = (w @ found.shares / w.sum()).tolist()
    difference, swapped = after - base, found.swapped / w.sum()
    extreme = int(np.count_nonzero(swapped >= difference - 1e-12, axis=1).max())
    tells = np.ptp(swapped) > 0.0
    low, high = _interval(after, base, float(w.sum() ** 2 / (w @ w)), alpha)
    return ShortcutTest(
        after, base, difference, low, high,
        (1 + extreme) / (1 + n_permutations) if tells else None,
        float(np.quantile(swapped, 1.0 - alpha, axis=1).max()) if tells else None,
        w.size, found.answers[1], found.answers[0], float(alpha), float(margin),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Compared:
    """The prompts that both models solved.

    (J,) weights, (J, 2) flagged shares of base and tuned, (2, B) sums of weighted differences with
    single answers swapped and with whole prompts swapped, and how many answers base and tuned have.
    """

    weights: FloatArray
    shares: FloatArray
    swapped: FloatArray
    answers: tuple[int, int]

    @staticmethod
    def of(
        traces: Traces, code: IntArray, tuned: BoolArray, size: int, rng: np.random.Generator
    ) -> _Compared:
        weights, shares, answers = [], [], [0, 0]
        swapped = np.zeros((2, size))
        for rows in _by_prompt(code):
            n_tuned = int(tuned[rows].sum())
            n_base = rows.size - n_tuned
            if not 0 < n_base < rows.size:
                continue
            here = traces.take(rows[np.argsort(tuned[rows], kind="stable")])
            own = np.arange(rows.size)
            base, after = _shares(here, own[None, :], n_base)[:, 0]
            weight = n_base * n_tuned / rows.size
            if not _alike(here):
                swapped[0] += weight * _answers_swapped(here, n_base, size, rng)
                # with the names of the whole prompt swapped the tuned model's answers come first
                as_base, as_tuned = _shares(here, np.roll(own, n_tuned)[None, :], n_tuned)[:, 0]
                swap = rng.random(size) < 0.5
                swapped[1] += weight * np.where(swap, as_tuned - as_base, after - base)
            weights.append(weight)
            shares.append((base, after))
            answers = [answers[0] + n_base, answers[1] + n_tuned]
        each = np.array(shares, dtype=np.float64).reshape(-1, 2)
        return _Compared(np.array(weights), each, swapped, (answers[0], answers[1]))


def _alike(traces: Traces) -> bool:
    """Whether the detectors see the same in all texts, so that no swap changes anything."""
    columns = (traces.repeats, traces.operations, traces.answers, traces.hasty)
    return all(bool((column == column[0]).all()) for column in columns)


def _answers_swapped(
    traces: Traces, n_base: int, size: int, rng: np.random.Generator
) -> FloatArray:
    """(B,) differences of flagged shares with the models' names swapped among the answers to a prompt."""
    out = np.empty(size)
    block = max(1, BLOCK // len(traces))
    for start in range(0, size, block):
        part = out[start : start + block]
        orders = np.argsort(rng.random((part.size, len(traces))), axis=1)
        base, after = _shares(traces, orders, n_base)
        part[:] = after - base
    return out


def _by_prompt(code: IntArray) -> list[IntArray]:
    """The rows of each prompt."""
    if code.size == 0:
        return []
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def _shares(traces: Traces, orders: IntArray, n_base: int) -> FloatArray:
    """(2, B) flagged shares of the first `n_base` texts of each order, and of the others."""
    operations = traces.operations[orders]
    usual = np.median(operations[:, :n_base], axis=1)[:, None]
    flagged = Traces(
        traces.repeats[orders], operations, traces.answers[orders], traces.hasty[orders]
    ).flagged(usual)
    return np.stack([flagged[:, :n_base].mean(axis=1), flagged[:, n_base:].mean(axis=1)])


def share_interval(share: float, trials: float, alpha: float = 0.05) -> tuple[float, float]:
    """Clopper-Pearson ends of a share, also of one that is a mean of shares.

    Args:
        share: in [0, 1].
        trials: how many independent ones it is of, > 0; need not be whole.
        alpha: 1 - level, in (0, 1).

    Returns:
        (low, high).

    Raises:
        InvalidInputError: an argument outside its range.

    Edge cases: a share of 0 of n has the upper end 1 - (alpha / 2)^(1 / n).
    Properties: at least the level for counts; for means of shares, whose variance is smaller, more.
    Reference: Clopper and Pearson 1934.

    Example:
        >>> [round(end, 4) for end in share_interval(0.0, 10.0)]
        [0.0, 0.3085]
    """
    if not 0.0 <= vector("share", [share])[0] <= 1.0 or not 0.0 < trials < math.inf:
        raise InvalidInputError(
            f"share and trials: expected a share in [0, 1] of more than 0, got {share} of {trials}"
        )
    if not 0.0 < real("alpha", alpha) < 1.0:
        raise InvalidInputError(f"alpha: expected a number in (0, 1), got {alpha}")
    count = share * trials
    low = 0.0 if count <= 0 else stats.beta.ppf(alpha / 2, count, trials - count + 1)
    high = 1.0 if count >= trials else stats.beta.ppf(1 - alpha / 2, count + 1, trials - count)
    return float(low), float(high)


def _interval(tuned: float, base: float, trials: float, alpha: float) -> tuple[float, float]:
    """Of a difference of two shares."""
    tuned, base = min(max(tuned, 0.0), 1.0), min(max(base, 0.0), 1.0)
    (low_t, high_t), (low_b, high_b) = (share_interval(s, trials, alpha) for s in (tuned, base))
    down = math.hypot(tuned - low_t, high_b - base)
    up = math.hypot(high_t - tuned, base - low_b)
    return max(-1.0, tuned - base - down), min(1.0, tuned - base + up)
