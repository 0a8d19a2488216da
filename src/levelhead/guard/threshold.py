"""How high a score must be for an answer, so that a stated share of errors is kept.

Choosing the lowest threshold whose error rate looks right on a sample is the obvious rule and breaks
its promise in 25 to 45 of 100 samples (`benchmarks/results/guard_threshold.md`): among many thresholds
one looks good by luck. `risk_threshold` tests them one after another instead, from the strictest
down, each at the full level, and stops at the first that fails (fixed-sequence Learn-then-Test).

**What exactly is promised.** Let R(t) = P(wrong | score >= t) for a new row of the same kind. The
chance that the calibration rows lead to a threshold with R above `max_error` is at most `delta`:

* for thresholds that are fixed and all tested, whatever the score is like: the errors among the n_t
  rows above t are binomial(n_t, R(t)), so p_t is an exact p-value of "R(t) > max_error", and an
  accepted bad threshold means that the first bad one in the sequence was accepted;
* with cells below `n_min` left out, as long as a lower score does not mean fewer errors. Where the
  sequence begins then depends on the scores; a late beginning means few high scores, and so if
  anything more errors than the binomial has. For a score that ranks backwards there is no proof for
  R (the tests enumerate worlds that try to break it and find none above `delta`); for the mean risk
  of the very rows that are answered there is one, for any score and delta < 1/2, from Hoeffding's
  theorem of 1956 on unequal coins.

Nothing is promised for prompts of another kind, nor for several rows of one prompt: rows must be
exchangeable, so give one row per prompt. `levelhead.guard.drift` watches for the former.

**Why `n_min` is 60.** A cell of n rows passes without a single error only if (1 - max_error)^n <=
delta, so n >= ln(delta) / ln(1 - max_error): 22 rows at 10% and 10%, 59 at 5% and 5%. There one
stray error ends the sequence before it has begun. At 10% and 10% a beginning at 60 rows forgives
two errors, and the share of samples with no answers at all falls from 47% to 38% at n = 300 and
from 35% to 9% at n = 1000. At stricter limits 60 rows forgive less (at 5% and 5% nothing): begin
later there, at `least_answers(max_error, delta, errors=2)` or at a tenth of the rows ("tenth": 3,000
rows at 5% and 5% are then silent in 37% of samples and not in 68%). `n_min` may depend on the scores
and never on the errors.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Literal, cast

import numpy as np
from scipy import special

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, vector
from levelhead.errors import InvalidInputError
from levelhead.guard._promise import Cell, Threshold

__all__ = [
    "DEFAULT_GRID",
    "Cell",
    "Threshold",
    "conformal_threshold",
    "least_answers",
    "risk_threshold",
    "risk_thresholds_by",
    "slice_labels",
]

DEFAULT_GRID: tuple[float, ...] = tuple(round(0.02 * step, 2) for step in range(49, -1, -1))
"""0.98, 0.96, ..., 0.02, 0: fixed before any data are seen, for scores in [0, 1]."""

N_MIN = 60
"""Cells with fewer rows are not tested; the module's text says why."""

ROUNDING = 1e-12
"""A power that equals `delta` on paper passes whatever its last bits say."""


def least_answers(max_error: float, delta: float, errors: int = 0) -> int:
    """How many answered rows it takes to show an error rate, if some of them are wrong.

    The smallest n with P(Binomial(n, max_error) <= errors) <= delta; without errors that is
    n = ceil(ln(delta) / ln(1 - max_error))

    Args:
        max_error: the error rate to show, in (0, 1).
        delta: the level of the test, in (0, 1).
        errors: how many errors the test forgives, >= 0; two or more make an `n_min` with room for chance.

    Returns:
        The number of rows, > errors.

    Raises:
        InvalidInputError: a rate is not strictly between 0 and 1, or `errors` is no count.

    Edge cases: powers that equal `delta` on paper count, whatever the logarithms round to.
    Properties: falls as `max_error` or `delta` grows, rises with `errors`.
    Reference: Clopper & Pearson 1934.

    Example:
        >>> least_answers(0.1, 0.1), least_answers(0.05, 0.05), least_answers(0.05, 0.05, errors=2)
        (22, 59, 124)
    """
    _inside("max_error", max_error)
    _inside("delta", delta)
    if isinstance(errors, bool) or not isinstance(errors, int | np.integer) or errors < 0:
        raise InvalidInputError(f"errors: expected a whole number >= 0, got {errors}")
    low = max(1, math.ceil(math.log(delta) / math.log1p(-max_error) - ROUNDING))
    if errors == 0:
        return low

    def passes(n: int) -> bool:
        p = _binomial_cdf(np.array([float(errors)]), np.array([n]), max_error)
        return bool(p[0] <= delta)

    low = high = max(low, int(errors) + 1)
    while not passes(high):
        low, high = high, 2 * high
    while low < high:  # the smallest that passes is in [low, high]
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle + 1, high)
    return high


def risk_threshold(
    score: ArrayLike,
    error: ArrayLike,
    *,
    max_error: float,
    delta: float = 0.05,
    grid: Sequence[float] | None = None,
    n_min: int | Literal["tenth"] | None = N_MIN,
) -> Threshold:
    """The lowest score to answer at, so that at most `max_error` of the answers are wrong.

    n_t = #{score >= t}, e_t the errors among them, p_t = P(Binomial(n_t, max_error) <= e_t); down
    the grid t_1 > t_2 > ..., cells with n_t < n_min left out, while p_t <= delta. The last accepted
    t has P(R(t) <= max_error) >= 1 - delta, R(t) = P(wrong | score >= t).

    Args:
        score: (N,) how sure the guard is, higher is surer; in [0, 1] for the default grid, any
            finite number for your own. NaN: no score, never answered, but counted in `n`.
        error: (N,) 1 where the answer is wrong, 0 where it is right; one row per prompt.
        max_error: the error rate to keep among the answered, in (0, 1).
        delta: in how many samples of this size the promise may fail, in (0, 1).
        grid: thresholds, strictly descending, chosen without a look at the errors; None is 0.98,
            0.96, ..., 0.
        n_min: cells with fewer rows are not tested, >= 1; "tenth" is a tenth of the rows, but at
            least 60, or half of them where that is less; None is the least that could pass at all,
            `least_answers(max_error, delta)`. Where that is more than `n_min`, it counts.

    Returns:
        A `Threshold` of method "ltt"; its `value` is None where nothing may be answered.

    Raises:
        InvalidInputError: an error is not 0 or 1, a score lies outside the default grid's range, the
            lengths differ, there are no rows, or an option is out of its range.

    Edge cases: equal scores are answered together. No cell with `n_min` rows, or a first cell that
        fails: nothing is answered, which keeps every promise.
    Properties: independent of row order; unchanged by an increasing map of scores and grid together;
        for a given `n_min` that is not below the least possible, coverage never falls as `max_error`
        or `delta` grows. The module's text says what is promised for a score that ranks backwards.
    Reference: Angelopoulos et al. 2021 (arXiv:2110.01052), fixed-sequence testing.

    Example:
        >>> import numpy as np
        >>> score = np.linspace(1, 0, 500)
        >>> t = risk_threshold(score, np.arange(500) % 100 >= 95, max_error=0.1, delta=0.1)
        >>> t.value, t.n_answered, t.n_errors
        (0.0, 500, 25.0)
        >>> t.promise.partition(", as long as")[0]
        'At most 10% of the answered are wrong, with 90% certainty'
    """
    scores, errors = _rows(score, error, "error")
    bad = (errors != 0.0) & (errors != 1.0)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"error: expected 0 or 1, got {errors[i]} at index {i}; a loss between them goes into "
            "conformal_threshold (method 'crc')"
        )
    least = least_answers(max_error, delta)
    values = _grid(grid, scores)
    floor = max(least, _least_rows(n_min, scores.size))
    answered, wrong = _cells(scores, errors, values)
    p_values = _binomial_cdf(wrong, answered, max_error)
    path: list[Cell] = []
    last: Cell | None = None
    for t, n, e, p in zip(
        values, answered.tolist(), wrong.tolist(), p_values.tolist(), strict=True
    ):
        if n < floor:
            continue
        path.append(Cell(t, n, e, p))
        if p > delta:
            break
        last = path[-1]
    return Threshold(
        value=last.value if last else None,
        max_error=float(max_error),
        delta=float(delta),
        method="ltt",
        n=scores.size,
        n_answered=last.answered if last else 0,
        n_errors=last.errors if last else 0.0,
        p_value=last.p_value if last else None,
        n_min=floor,
        grid_size=len(values),
        path=tuple(path),
    )


def _least_rows(n_min: int | str | None, size: int) -> int:
    if n_min is None:
        return 0
    if n_min == "tenth":
        return max(size // 10, min(N_MIN, size // 2))
    return _count("n_min", n_min)


def risk_thresholds_by(
    score: ArrayLike,
    error: ArrayLike,
    slices: Sequence[Any] | np.ndarray[Any, Any],
    *,
    max_error: float,
    delta: float = 0.05,
    grid: Sequence[float] | None = None,
    n_min: int | Literal["tenth"] | None = N_MIN,
) -> dict[str, Threshold]:
    """A threshold for each slice, such that all of their promises hold at once.

    Slice d of D gets `risk_threshold` at delta / D, so P(every slice keeps max_error) >= 1 - delta.

    Args:
        score: (N,) see `risk_threshold`.
        error: (N,) 0 or 1.
        slices: (N,) the slice of each row, e.g. its domain; `slice_labels` makes texts of them.
        max_error: the error rate to keep in each slice, in (0, 1).
        delta: in how many samples any of the slices may fail, in (0, 1).
        grid: see `risk_threshold`.
        n_min: see `risk_threshold`; holds for each slice.

    Returns:
        By slice, in the order of their names: its `Threshold`, whose `delta` is delta / D.

    Raises:
        InvalidInputError: as `risk_threshold`, or there is not one slice for each score.

    Edge cases: a slice that is too small answers nothing and counts in D all the same. Rows without a
        slice (None or NaN) are a slice of their own, "".
    Properties: independent of row order.
    Reference: Bonferroni; Angelopoulos et al. 2021 (arXiv:2110.01052).

    Example:
        >>> found = risk_thresholds_by([0.9] * 200, [0] * 200, ["a", "b"] * 100, max_error=0.1)
        >>> {name: (t.value, t.delta) for name, t in found.items()}
        {'a': (0.0, 0.025), 'b': (0.0, 0.025)}
    """
    scores, errors = _rows(score, error, "error")
    _inside("delta", delta)
    values = _grid(grid, scores)
    labels = slice_labels(slices, scores.size)
    names = sorted(set(labels))
    number = {name: i for i, name in enumerate(names)}
    code = np.fromiter((number[label] for label in labels), np.int64, scores.size)
    rows = [np.flatnonzero(code == i) for i in range(len(names))]
    return {
        name: risk_threshold(
            scores[rows[i]],
            errors[rows[i]],
            max_error=max_error,
            delta=delta / len(names),
            grid=values,
            n_min=n_min,
        )
        for i, name in enumerate(names)
    }


def conformal_threshold(
    score: ArrayLike,
    loss: ArrayLike,
    *,
    max_loss: float,
    bound: float = 1.0,
    grid: Sequence[float] | None = None,
) -> Threshold:
    """The lowest score to answer at, so that the mean loss per row stays below a limit.

    L_i(t) = loss_i [score_i >= t]; the lowest t of the grid with
    (sum_i L_i(t) + bound) / (n + 1) <= max_loss has E[L_new(t)] <= max_loss

    The mean runs over all rows, a row that is not answered losing nothing, and over calibration
    samples. That is what makes it work: L falls as t rises, row by row, so the sample's mean does.
    The error rate *among the answered* is a quotient whose denominator moves with t, no mean of row
    losses that fall, so this bounds it neither on average nor with high probability; `risk_threshold`
    does. A limit of 2% here is kept by answering one row in ten and getting 20% of those wrong.

    Args:
        score: (N,) see `risk_threshold`.
        loss: (N,) in [0, bound], what an answer to this row loses.
        max_loss: the mean loss per row to keep, in (0, bound).
        bound: the largest loss that can occur, > 0; not the largest in the sample.
        grid: thresholds, strictly descending, fixed in advance; None is 0.98, 0.96, ..., 0.

    Returns:
        A `Threshold` of method "crc" with `max_error` = max_loss; `value` is None where even the
        strictest threshold could lose more.

    Raises:
        InvalidInputError: a loss is outside [0, bound], a score lies outside the default grid's range,
            the lengths differ, there are no rows, or an option is out of its range.

    Edge cases: below bound / max_loss - 1 rows nothing is ever answered. A row with a NaN score
        counts, loses nothing, and is never answered.
    Properties: independent of row order; coverage never falls as `max_loss` grows.
    Reference: Angelopoulos et al. 2022 (arXiv:2208.02814).

    Example:
        >>> conformal_threshold([0.9, 0.7, 0.5, 0.3], [0, 0, 1, 1], max_loss=0.4).value
        0.32
    """
    scores, losses = _rows(score, loss, "loss")
    _positive("bound", bound)
    if not 0.0 < real("max_loss", max_loss) < bound:
        raise InvalidInputError(f"max_loss: expected a value in (0, {bound:g}), got {max_loss}")
    bad = ~((losses >= 0.0) & (losses <= bound))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"loss: expected values in [0, {bound:g}], got {losses[i]} at index {i}; bound is the "
            "largest loss that can occur"
        )
    values = _grid(grid, scores)
    answered, lost = _cells(scores, losses, values)
    limits = (lost + bound) / (scores.size + 1)
    path: list[Cell] = []
    last: Cell | None = None
    for t, n, total, limit in zip(
        values, answered.tolist(), lost.tolist(), limits.tolist(), strict=True
    ):
        path.append(Cell(t, n, total, limit))
        if limit > max_loss * (1.0 + ROUNDING):
            break
        last = path[-1]
    return Threshold(
        value=last.value if last else None,
        max_error=float(max_loss),
        delta=None,
        method="crc",
        n=scores.size,
        n_answered=last.answered if last else 0,
        n_errors=last.errors if last else 0.0,
        p_value=None,
        n_min=0,
        grid_size=len(values),
        path=tuple(path),
        bound=float(bound),
    )


def slice_labels(slices: Sequence[Any] | np.ndarray[Any, Any], size: int) -> list[str]:
    """The slices of rows as texts: 3, 3.0 and "3" are one slice, None and NaN are "".

    Args:
        slices: (N,) texts or numbers.
        size: N.

    Returns:
        N texts.

    Raises:
        InvalidInputError: there are not N of them, or one cannot be compared.

    Example:
        >>> slice_labels([3, 3.0, "3", None], 4)
        ['3', '3', '3', '']
    """
    listed = slices.tolist() if isinstance(slices, np.ndarray) else list(slices)
    if isinstance(slices, str) or len(listed) != size:
        got = "a text" if isinstance(slices, str) else f"{len(listed)}"
        raise InvalidInputError(f"slices: expected {size} values, one for each score, got {got}")
    known: dict[Hashable, str] = {}
    labels: list[str] = []
    for value in listed:
        try:
            label = known.get((type(value), value))
        except TypeError as error:
            raise InvalidInputError(
                f"slices: expected texts or numbers, got {type(value).__name__} at index {len(labels)}"
            ) from error
        if label is None:
            label = known[type(value), value] = _label(value)
        labels.append(label)
    return labels


def _label(value: object) -> str:
    if isinstance(value, np.generic):
        value = cast(object, value.item())
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _cells(
    scores: FloatArray, amounts: FloatArray, grid: Sequence[float]
) -> tuple[IntArray, FloatArray]:
    """Rows at or above each threshold, and the sum of their amounts."""
    rising = np.asarray(grid)[::-1]
    # How many thresholds a row reaches; NaN would sort above all of them.
    reached = np.where(np.isnan(scores), 0, np.searchsorted(rising, scores, side="right"))
    size = len(grid) + 1
    counts = np.bincount(reached, minlength=size)[::-1].cumsum()[:-1]
    sums = np.bincount(reached, amounts, size)[::-1].cumsum()[:-1]
    return counts.astype(np.int64), sums


def _binomial_cdf(errors: FloatArray, n: IntArray, rate: float) -> FloatArray:
    """P(Binomial(n, rate) <= errors) by the incomplete beta function, exact far into the tail."""
    some = errors < n
    values = special.betaincc(
        np.where(some, errors + 1.0, 1.0), np.where(some, n - errors, 1.0), rate
    )
    return np.where(some, values, 1.0)


def _rows(score: ArrayLike, amount: ArrayLike, name: str) -> tuple[FloatArray, FloatArray]:
    scores, amounts = vector("score", score), vector(name, amount)
    if scores.size == 0:
        raise InvalidInputError("score: expected at least one value, got none")
    if amounts.size != scores.size:
        raise InvalidInputError(
            f"{name}: expected {scores.size} values, one for each score, got {amounts.size}"
        )
    if np.isinf(scores).any():
        i = int(np.isinf(scores).argmax())
        raise InvalidInputError(
            f"score: expected finite numbers or NaN, got {scores[i]} at index {i}"
        )
    return scores, amounts


def _grid(grid: Sequence[float] | None, scores: FloatArray) -> tuple[float, ...]:
    if grid is None:
        bad = (scores < 0.0) | (scores > 1.0)
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(
                f"score: expected values in [0, 1] for the default grid, got {scores[i]} at index "
                f"{i}; give a grid of your own for other scores"
            )
        return DEFAULT_GRID
    values = vector("grid", grid)
    if values.size == 0 or not np.isfinite(values).all() or not (np.diff(values) < 0.0).all():
        raise InvalidInputError(
            "grid: expected finite thresholds in strictly descending order, got others; "
            "sort them and drop repeats"
        )
    return tuple(values.tolist())


def _inside(name: str, value: float) -> None:
    if not 0.0 < real(name, value) < 1.0:
        hint = "; percentages must be divided by 100" if 1.0 < value <= 100.0 else ""
        raise InvalidInputError(f"{name}: expected a value in (0, 1), got {value}{hint}")


def _positive(name: str, value: float) -> None:
    if not 0.0 < real(name, value) < math.inf:
        raise InvalidInputError(f"{name}: expected a finite value > 0, got {value}")


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidInputError(f"{name}: expected a whole number >= 1, or None, got {value}")
    return int(value)
