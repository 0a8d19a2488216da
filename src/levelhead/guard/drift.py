"""Signs that a promise no longer applies: other scores come in, or more of the answers are wrong.

A threshold keeps its promise on prompts like those that it was set on. `ScoreReference` compares the
scores of new prompts with the old ones and needs no labels; `ErrorCusum` follows the errors among the
answered, where these become known.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import linalg

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, vector
from levelhead._text import p_value
from levelhead.errors import InvalidInputError

__all__ = ["CusumResult", "DriftCheck", "ErrorCusum", "ScoreReference", "psi"]

LEVEL = 0.001
"""How often the score alarm is false where nothing has changed."""

N_DRAWS = 9_999
"""Divisions of the pooled scores that make up the null; p-values end at 1 / (N_DRAWS + 1)."""

PSEUDO_COUNT = 0.5
"""Added to every bin that either sample reaches, so that an empty one has a logarithm."""

ATOM_WIDTH = 1e-6
"""How far a score may be from a stated value, as 0.9 in single precision is from 0.9."""

OFTEN = 5
"""A value with fewer rows shares the bin of what never occurred: rare values come and go by chance."""

TIE = 1e-9
"""Two PSI values this near are equal: the same counts, added in another order."""

FINE, STATES, LONGEST = 16, 4000, 1e9
"""Of the chain that sets the limit: units in an error's step, most states, longest run length."""

DOUBTFUL = 0.05
"""Up to this p-value no change is denied."""
SMALL, LARGE = 0.1, 0.25
"""The usual reading of a PSI, which knows nothing of sample sizes."""


def psi(expected: ArrayLike, actual: ArrayLike, *, added: float = 0.0) -> float:
    """Population stability index: how far two distributions over bins are apart.

    PSI = sum_b (a_b - e_b) ln(a_b / e_b), e and a the shares; with `added` each count first grows by it

    Args:
        expected: (B,) counts or shares >= 0 of the reference.
        actual: (B,) counts or shares >= 0 of the new sample.
        added: what is added to every bin of both before they are divided by their sums, >= 0; counts
            take 0.5, shares 0.

    Returns:
        The index in nats, >= 0: the sum of the two Kullback-Leibler divergences.

    Raises:
        InvalidInputError: the lengths differ, a value is negative or not finite, or all are 0.

    Edge cases: a bin that is empty in both counts 0; one that is empty in one of them makes the index
        infinite, unless something is added.
    Properties: symmetric; independent of the order of the bins; merging bins never raises it.
    Reference: Jeffreys 1946; in credit scoring since Lewis 1994.

    Example:
        >>> round(psi([50, 50], [60, 40]), 4)
        0.0405
    """
    e, a = _amounts("expected", expected), _amounts("actual", actual)
    if e.size != a.size:
        raise InvalidInputError(
            f"actual: expected {e.size} values, one for each of expected, got {a.size}"
        )
    if not 0.0 <= real("added", added) < math.inf:
        raise InvalidInputError(f"added: expected a finite value >= 0, got {added}")
    e, a = e + added, a + added
    e, a = e / e.sum(), a / a.sum()
    if ((e == 0.0) != (a == 0.0)).any():
        return math.inf
    used = e > 0.0
    return float(_divergence(e[used], a[used]))


@dataclasses.dataclass(frozen=True)
class DriftCheck:
    """Whether new scores are like the old ones.

    Attributes:
        psi: the index, 0.5 added to each bin that either sample reaches.
        by_chance: its mean where nothing has changed, at these sample sizes.
        p_value: how often chance alone makes it as large.
        alarm: p_value <= level.
        level: how often an alarm is false where nothing has changed.
        n: new rows.
        n_reference: rows of the reference.
        sentence: all of it in words.
    """

    psi: float
    by_chance: float
    p_value: float
    alarm: bool
    level: float
    n: int
    n_reference: int
    sentence: str


@dataclasses.dataclass(frozen=True)
class ScoreReference:
    """The distribution of the scores that a threshold was set on, as counts in bins.

    Attributes:
        edges: ascending; bin b holds the scores in (edges[b-1], edges[b]], the first and the last one
            being open ended.
        counts: len(edges) + 1 rows of the reference in each bin.
        missing: rows of the reference without a score (NaN), a bin of their own.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0

    @property
    def n(self) -> int:
        """Rows of the reference."""
        return sum(self.counts) + self.missing

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the reference in each bin; the rest had no score."""
        return tuple(count / self.n for count in self.counts)

    @classmethod
    def of(cls, scores: ArrayLike, n_bins: int = 10) -> ScoreReference:
        """The reference distribution of some scores.

        Args:
            scores: (N,) any finite numbers; NaN is a row without a score. One row per prompt.
            n_bins: how many bins of nearly equal size, >= 2.

        Returns:
            Its edges lie halfway between neighboring scores, so equal ones are never split.

        Raises:
            InvalidInputError: there are no scores, one is infinite, or `n_bins` is below 2.

        Edge cases: scores that repeat a few values (at most `n_bins`, each ten times on average), as
            stated percentages do, get a bin for each value with at least 5 rows and one for each gap
            between these: a value that never occurred before is then drift.
        """
        values = _scores(scores)
        if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or n_bins < 2:
            raise InvalidInputError(f"n_bins: expected a whole number >= 2, got {n_bins}")
        present = values[~np.isnan(values)]
        distinct, times = np.unique(present, return_counts=True)
        if distinct.size <= n_bins and 2 * OFTEN * distinct.size <= present.size:
            often = distinct[times >= OFTEN]
            gap = np.diff(distinct).min(initial=np.inf) / 4.0
            width = np.minimum(np.maximum(1.0, np.abs(often)) * ATOM_WIDTH, gap)
            edges = np.unique(np.concatenate((often - width, often + width)))
        else:
            upper = times.cumsum()
            # A value belongs to the bin of its middle rank, with all of its rows.
            rank = np.ceil(n_bins * (2.0 * upper - times) / (2.0 * present.size))
            cut = np.flatnonzero(rank[1:] != rank[:-1])
            edges = distinct[cut] / 2.0 + distinct[cut + 1] / 2.0
        counts = _counted(present, edges)
        return cls(tuple(edges.tolist()), tuple(counts.tolist()), int(values.size - present.size))

    def check(
        self, scores: ArrayLike, level: float = LEVEL, *, n_draws: int = N_DRAWS, seed: int = 0
    ) -> DriftCheck:
        """Compare new scores with the reference.

        The null pools both samples and divides them anew at random, which keeps the sizes, the ties
        and rare bins: p = (1 + #{PSI* >= PSI}) / (1 + n_draws). Where bins are well filled, PSI /
        (1/n + 1/m) is about chi-square with B - 1 degrees of freedom, so chance alone has a mean of
        (B - 1) (1/n + 1/m): about 0.1 at 100 new rows and 10 bins, half of which the usual limit
        of 0.1 takes for a shift. For large samples the opposite holds: an alarm may be a true and tiny
        change, and the sentence says how large it is.

        Args:
            scores: (M,) of new rows, NaN where there is none. One row per prompt.
            level: how often an alarm may be false, in [1 / (n_draws + 1), 1).
            n_draws: random divisions.
            seed: of the divisions.

        Returns:
            The index, its p-value and the alarm.

        Raises:
            InvalidInputError: there are no scores, one is infinite, or `level` is out of its range.

        Edge cases: fewer than about 30 rows rarely raise an alarm at 0.001.
        Properties: independent of row order. At the stated level exactly for bins that are fixed; bins
            from the quantiles of a reference below 100 rows make false alarms rarer still.
        Reference: Yurdakul & Naranjo 2020 for the chi-square.

        Example:
            >>> import numpy as np
            >>> old = ScoreReference.of(np.linspace(0, 1, 500))
            >>> old.check(np.linspace(0.005, 0.995, 200)).alarm
            False
            >>> old.check(np.linspace(0.3, 1.0, 200)).alarm
            True
        """
        values = _scores(scores)
        if not 1.0 / (n_draws + 1) <= real("level", level) < 1.0:
            raise InvalidInputError(
                f"level: expected a value in [{1.0 / (n_draws + 1):g}, 1), which {n_draws} draws "
                f"can show, got {level}"
            )
        present = values[~np.isnan(values)]
        new = np.append(_counted(present, np.asarray(self.edges)), values.size - present.size)
        old = np.append(np.asarray(self.counts, np.int64), self.missing)
        reached = (new + old) > 0
        new, old = new[reached], old[reached]
        observed = psi(old, new, added=PSEUDO_COUNT)
        null = _null(old + new, values.size, n_draws, seed)
        p = (1 + int(np.count_nonzero(null >= observed - TIE))) / (n_draws + 1)
        by_chance, alarm = float(null.mean()), p <= level
        sentence = _drift_sentence(observed, by_chance, p, level, values.size, self.n)
        return DriftCheck(
            observed, by_chance, p, alarm, float(level), values.size, self.n, sentence
        )

    def state(self) -> dict[str, Any]:
        """All fields as plain JSON values; floats stay exact."""
        return {
            "edges": list(self.edges),
            "counts": list(self.counts),
            "missing": self.missing,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ScoreReference:
        """The reference that `state()` described."""
        if not isinstance(state, Mapping) or set(state) != {"edges", "counts", "missing"}:
            raise InvalidInputError(
                "score reference: expected the entries edges, counts, missing, got others; "
                "fit the guard again"
            )
        edges, counts, missing = state["edges"], state["counts"], state["missing"]
        good = (
            isinstance(edges, list)
            and isinstance(counts, list)
            and all(isinstance(e, int | float) and not isinstance(e, bool) for e in edges)
            and all(_is_count(c) for c in [*counts, missing])
            and len(counts) == len(edges) + 1
            and all(a < b for a, b in itertools.pairwise(edges))
            and all(math.isfinite(e) for e in edges)
            and 0 < sum(counts) + missing < 10**9  # what the null distribution can draw from
        )
        if not good:
            raise InvalidInputError(
                "score reference: expected ascending edges and one count more than edges, got "
                "others; fit the guard again"
            )
        return cls(tuple(map(float, edges)), tuple(counts), missing)


@dataclasses.dataclass(frozen=True)
class CusumResult:
    """How the evidence for a raised error rate developed.

    Attributes:
        statistic: (T,) the log-likelihood ratio after each answer, 0 at the least.
        limit: an alarm is where the statistic reaches it.
        alarm_at: index of the first answer that does; None: no alarm.
        sentence: the outcome in words.
    """

    statistic: FloatArray
    limit: float
    alarm_at: int | None
    sentence: str


@dataclasses.dataclass(frozen=True)
class ErrorCusum:
    """Watches the errors among the answered, one after another, for a rate above the promised one.

    S_t = max(0, S_{t-1} + ln(q_1^x (1 - q_1)^(1 - x) / (q_0^x (1 - q_0)^(1 - x)))), x = 1 for an
    error, q_0 = max_error and q_1 = shifted; alarm where S_t >= limit.

    At an error rate of q_0 or below, the mean number of answers to a false alarm is at least
    false_alarm_after. Any limit from ln(false_alarm_after) on does that: S starts anew at each return to
    0, and a new start ends in an alarm with a chance of at most exp(-limit). The mean is then 7 to 70
    times what was asked for, so the limit is the lowest at which a Markov chain whose errors add
    slightly more, rounded up to a lattice, still runs long enough; this saves a third of the delay.
    At an error rate of q_1 or above the mean delay is at most `mean_delay`.

    Attributes:
        max_error: the promised error rate, in (0, 1).
        shifted: the error rate that should be noticed soonest, above `max_error`; None:
            min(2 max_error, (1 + max_error) / 2).
        false_alarm_after: answers between false alarms, at least, on average; > 1.
    """

    max_error: float
    shifted: float | None = None
    false_alarm_after: float = 10_000

    def __post_init__(self) -> None:
        if not 0.0 < real("max_error", self.max_error) < 1.0:
            raise InvalidInputError(f"max_error: expected a value in (0, 1), got {self.max_error}")
        if self.shifted is not None and not self.max_error < real("shifted", self.shifted) < 1.0:
            raise InvalidInputError(
                f"shifted: expected a value in ({self.max_error:g}, 1), above max_error, got "
                f"{self.shifted}"
            )
        if not 1.0 < real("false_alarm_after", self.false_alarm_after) < math.inf:
            raise InvalidInputError(
                f"false_alarm_after: expected a number of answers > 1, got {self.false_alarm_after}"
            )

    @property
    def target(self) -> float:
        """The error rate that is noticed soonest: `shifted` or its default."""
        if self.shifted is not None:
            return self.shifted
        return min(2.0 * self.max_error, (1.0 + self.max_error) / 2.0)

    @property
    def limit(self) -> float:
        """The statistic at which the alarm is raised, in nats."""
        return _limit(self.max_error, self.target, self.false_alarm_after)

    @property
    def steps(self) -> tuple[float, float]:
        """What a right answer and an error add to the statistic, in nats: < 0 and > 0."""
        return _steps(self.max_error, self.target)

    @property
    def mean_delay(self) -> float:
        """Answers to the alarm from an error rate of `target` on: on average at most this many.

        (limit + ln(q_1 / q_0)) / (q_1 ln(q_1 / q_0) + (1 - q_1) ln((1 - q_1) / (1 - q_0))), by Wald's
        equation.
        """
        down, up = self.steps
        return (self.limit + up) / (self.target * up + (1.0 - self.target) * down)

    def run(self, errors: ArrayLike, *, start: float = 0.0) -> CusumResult:
        """Follow the errors of answers in the order in which they were given.

        Args:
            errors: (T,) 1 where an answered row is wrong, 0 where it is right; abstentions left out.
            start: the last value of the statistic of an earlier batch, >= 0.

        Returns:
            The statistic after each answer and the index of the first alarm in this batch.

        Raises:
            InvalidInputError: an error is not 0 or 1, or `start` is negative or not finite.

        Edge cases: no answers: an empty statistic and no alarm. After an alarm the statistic goes on;
            begin anew at 0 once the cause is removed.
        Properties: batches joined by `start` give the same statistic as all answers at once, to
            rounding.
        Reference: Page 1954; Lorden 1971 for both bounds.

        Example:
            >>> watch = ErrorCusum(0.1, false_alarm_after=100)
            >>> watch.run([0, 1, 0, 1, 1, 1]).alarm_at
            4
        """
        wrong = vector("errors", errors)
        bad = (wrong != 0.0) & (wrong != 1.0)
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(f"errors: expected 0 or 1, got {wrong[i]} at index {i}")
        if not 0.0 <= real("start", start) < math.inf:
            raise InvalidInputError(f"start: expected a finite value >= 0, got {start}")
        down, up = self.steps
        walk = np.cumsum(np.where(wrong == 1.0, up, down))
        lowest = np.minimum.accumulate(np.minimum(walk, -start))
        statistic = walk - lowest
        reached = np.flatnonzero(statistic >= self.limit)
        alarm_at = int(reached[0]) if reached.size else None
        return CusumResult(statistic, self.limit, alarm_at, self._sentence(alarm_at, statistic))

    def _sentence(self, alarm_at: int | None, statistic: FloatArray) -> str:
        rate = f"{100.0 * self.max_error:.3g}%"
        if alarm_at is None:
            return f"No alarm after {statistic.size:,} answers: no sign of a rate above {rate}"
        return (
            f"Alarm at answer {alarm_at + 1:,}: more than {rate} of the answers are now wrong, so the "
            f"promise no longer holds (by chance this happens once in {self.false_alarm_after:g} "
            "answers or less often); set the threshold again"
        )


def _scores(scores: ArrayLike) -> FloatArray:
    values = vector("scores", scores)
    if values.size == 0:
        raise InvalidInputError("scores: expected at least one value, got none")
    if np.isinf(values).any():
        i = int(np.isinf(values).argmax())
        raise InvalidInputError(
            f"scores: expected finite numbers or NaN, got {values[i]} at index {i}"
        )
    return values


def _amounts(name: str, values: ArrayLike) -> FloatArray:
    array = vector(name, values)
    bad = ~(np.isfinite(array) & (array >= 0.0))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(f"{name}: expected finite values >= 0, got {array[i]} at index {i}")
    if not array.any():
        raise InvalidInputError(f"{name}: expected at least one value above 0, got none")
    return array


def _counted(values: FloatArray, edges: FloatArray) -> IntArray:
    """How many values each of the right-closed bins holds."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=edges.size + 1)


def _divergence(e: FloatArray, a: FloatArray) -> FloatArray:
    return np.asarray(((a - e) * np.log(a / e)).sum(axis=-1), np.float64)


def _null(pooled: IntArray, n_new: int, n_draws: int, seed: int) -> FloatArray:
    """The index where chance decides which `n_new` of the pooled rows are the new ones."""
    rng = np.random.default_rng(seed)
    new = rng.multivariate_hypergeometric(pooled, n_new, size=n_draws, method="marginals")
    old = pooled - new
    extra = PSEUDO_COUNT * pooled.size
    e = (old.astype(np.float64) + PSEUDO_COUNT) / (float(pooled.sum()) - n_new + extra)
    a = (new.astype(np.float64) + PSEUDO_COUNT) / (n_new + extra)
    return _divergence(e, a)


def _steps(q0: float, q1: float) -> tuple[float, float]:
    return math.log1p(-q1) - math.log1p(-q0), math.log(q1 / q0)


@functools.lru_cache(maxsize=64)
def _limit(q0: float, q1: float, after: float) -> float:
    """The lowest limit on a lattice whose mean run length at q0 is at least `after`."""
    plain = math.log(after)
    down, up = _steps(q0, q1)
    parts = max(1, math.ceil(-FINE * down / up))
    unit = -down / parts
    rise, most = math.ceil(up / unit), math.ceil(plain / unit)
    if most > STATES or after > LONGEST or _run_length(parts, rise, most, q0) < after:
        return plain
    low, high = 1, most
    while low < high:  # the lowest that runs long enough is in [low, high]
        middle = (low + high) // 2
        enough = _run_length(parts, rise, middle, q0) >= after
        low, high = (low, middle) if enough else (middle + 1, high)
    return min(plain, high * unit)


def _run_length(fall: int, rise: int, limit: int, rate: float) -> float:
    """Mean steps from 0 to `limit` or beyond, on whole numbers that never fall below 0."""
    state = np.arange(limit)
    below = np.maximum(state - fall, 0)
    bands = np.zeros(
        (rise + fall + 1, limit)
    )  # the entry (row, column) is at [rise + row - column]
    bands[rise] = 1.0
    np.add.at(bands, (rise + state - below, below), rate - 1.0)
    bands[0, rise:] -= rate
    return float(linalg.solve_banded((fall, rise), bands, np.ones(limit))[0])


def _drift_sentence(
    observed: float, by_chance: float, p: float, level: float, n: int, n_reference: int
) -> str:
    numbers = (
        f"PSI {observed:.3g}, where {by_chance:.3g} is usual by chance for {n:,} new and "
        f"{n_reference:,} old prompts ({p_value(p, level)}; the alarm is at p <= {level:g})"
    )
    if p <= level:
        size = "small" if observed < SMALL else "moderate" if observed < LARGE else "large"
        check = "so check the promised error rate on new labels"
        return f"The scores have changed: {numbers}; a {size} shift, {check}"
    said = "The scores may" if p <= DOUBTFUL else "No sign that the scores"
    return f"{said} have changed: {numbers}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
