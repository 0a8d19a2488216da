"""The thresholds against slow loops, exact enumeration and simulation."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.guard.threshold import (
    DEFAULT_GRID,
    conformal_threshold,
    least_answers,
    risk_threshold,
    risk_thresholds_by,
    slice_labels,
)

TAIL = 1e-12
"""Relative error of a probability, far into the tail."""

SECONDS = 1.0
"""For a million rows, with room for a busy machine."""

ROOM = 0.03
"""How far a rate from 1,500 draws may lie from another such simulation's: 2.3 standard errors of the
difference at a rate of one half, 3 at a quarter."""


# ---- the world of the simulation: score uniform, P(right | score) = sigmoid(-2.5 + 6.5 score)


def chance(score: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(2.5 - 6.5 * score))


def true_risk(t: float) -> float:
    """P(wrong | score >= t): sigmoid integrates to softplus."""
    if t >= 1.0:
        return 0.0
    right = (np.logaddexp(0.0, 4.0) - np.logaddexp(0.0, -2.5 + 6.5 * t)) / 6.5
    return 1.0 - float(right) / (1.0 - t)


RISK = {t: true_risk(t) for t in DEFAULT_GRID}


def naive_threshold(
    score: np.ndarray, error: np.ndarray, max_error: float, n_min: int
) -> float | None:
    """The lowest threshold whose error rate in the sample looks right; not part of the product."""
    good = [
        t
        for t in DEFAULT_GRID
        if (score >= t).sum() >= n_min and error[score >= t].mean() <= max_error
    ]
    return min(good) if good else None


# ---- by hand


def test_the_least_number_of_answers() -> None:
    assert least_answers(0.1, 0.1) == 22  # 0.9^21 = 0.1094, 0.9^22 = 0.0985
    assert least_answers(0.05, 0.05) == 59
    assert least_answers(0.25, 0.05) == 11
    assert least_answers(0.1, 0.81) == 2  # 0.9^2 = 0.81 on paper
    assert least_answers(0.999, 0.5) == 1


@pytest.mark.parametrize(
    ("max_error", "delta", "errors"),
    [(0.1, 0.1, 1), (0.1, 0.1, 2), (0.05, 0.05, 2), (0.25, 0.05, 3), (0.9, 0.5, 4), (0.01, 0.2, 1)],
)
def test_the_least_number_of_answers_with_errors(
    max_error: float, delta: float, errors: int
) -> None:
    n = least_answers(max_error, delta, errors)
    assert stats.binom.cdf(errors, n, max_error) <= delta
    assert stats.binom.cdf(errors, n - 1, max_error) > delta
    score, error = [0.9] * n, [1] * errors + [0] * (n - errors)
    found = risk_threshold(score, error, max_error=max_error, delta=delta, n_min=n)
    assert found.value == 0.0


def test_22_right_answers_are_enough_and_21_are_not() -> None:
    found = risk_threshold([0.9] * 22, [0] * 22, max_error=0.1, delta=0.1, n_min=None)
    assert (found.value, found.n_answered, found.n_min) == (0.0, 22, 22)
    assert found.p_value == pytest.approx(0.9**22, rel=TAIL)
    assert risk_threshold([0.9] * 21, [0] * 21, max_error=0.1, delta=0.1, n_min=None).value is None


def test_it_stops_at_the_first_failure_and_never_starts_again() -> None:
    # 30 right at 0.9, 30 wrong at 0.7, 4000 right at 0.1: the last cell would pass by itself.
    score = np.repeat([0.9, 0.7, 0.1], [30, 30, 4000])
    error = np.repeat([0, 1, 0], [30, 30, 4000])
    found = risk_threshold(score, error, max_error=0.1, delta=0.1, grid=[0.8, 0.6, 0.0], n_min=22)
    assert (found.value, found.n_answered, found.n_errors) == (0.8, 30, 0.0)
    assert [(cell.value, cell.answered, cell.errors) for cell in found.path] == [
        (0.8, 30, 0),
        (0.6, 60, 30),
    ]
    alone = risk_threshold(score, error, max_error=0.1, delta=0.1, grid=[0.0], n_min=22)
    assert alone.value == 0.0


def test_a_first_cell_that_fails_answers_nothing() -> None:
    score = np.repeat([0.9, 0.1], [30, 4000])
    error = np.repeat([1, 0], [30, 4000])
    found = risk_threshold(score, error, max_error=0.1, delta=0.1, grid=[0.8, 0.0], n_min=22)
    assert found.value is None
    assert (found.n_answered, found.n_errors, found.p_value) == (0, 0.0, None)
    assert len(found.path) == 1


def test_a_thin_cell_is_left_out_and_not_a_failure() -> None:
    score = np.repeat([0.9, 0.1], [30, 4000])
    error = np.repeat([1, 0], [30, 4000])
    found = risk_threshold(score, error, max_error=0.1, delta=0.1, grid=[0.8, 0.0], n_min=31)
    assert found.value == 0.0
    assert [cell.value for cell in found.path] == [0.0]


def test_a_minimum_below_what_can_pass_is_raised_to_it() -> None:
    found = risk_threshold([0.9] * 300, [0] * 300, max_error=0.01, delta=0.05, n_min=60)
    assert found.n_min == 299  # 0.99^299 = 0.0495
    assert found.value == 0.0


def test_a_missing_score_counts_and_is_not_answered() -> None:
    score = np.repeat([0.9, np.nan], [100, 50])
    found = risk_threshold(score, np.repeat([0, 1], [100, 50]), max_error=0.1)
    assert (found.n, found.n_answered, found.n_errors) == (150, 100, 0.0)
    assert found.coverage == 100 / 150


def test_the_default_grid() -> None:
    assert DEFAULT_GRID[:3] == (0.98, 0.96, 0.94)
    assert DEFAULT_GRID[-2:] == (0.02, 0.0)
    assert len(DEFAULT_GRID) == 50
    assert 0.58 in DEFAULT_GRID  # which 29 * 0.02 reaches and a cumulative sum does not


def test_an_own_grid_takes_any_score() -> None:
    score = np.repeat([7.5, -3.0], [100, 100])
    found = risk_threshold(
        score, np.repeat([0, 1], [100, 100]), max_error=0.1, grid=[9.0, 7.5, -3.0]
    )
    assert found.value == 7.5


# ---- against slow versions


def slow(
    score: np.ndarray,
    error: np.ndarray,
    grid: list[float],
    max_error: float,
    delta: float,
    n_min: int,
) -> tuple[float | None, list[tuple[float, int, int, float]]]:
    value, path = None, []
    for t in grid:
        cell = [e for s, e in zip(score, error, strict=True) if s >= t]
        if len(cell) < n_min:
            continue
        p = float(stats.binom.cdf(sum(cell), len(cell), max_error))
        path.append((t, len(cell), int(sum(cell)), p))
        if p > delta:
            break
        value = t
    return value, path


@pytest.mark.parametrize("seed", range(25))
def test_it_equals_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    score = np.round(rng.random(n), int(rng.integers(1, 4)))
    score[rng.random(n) < 0.05] = np.nan
    error = (rng.random(n) > chance(np.nan_to_num(score))).astype(float)
    grid = np.unique(np.round(rng.random(12), 2))[::-1].tolist()
    max_error, delta = float(rng.choice([0.1, 0.2, 0.4])), float(rng.choice([0.05, 0.3]))
    n_min = max(least_answers(max_error, delta), 5)
    found = risk_threshold(score, error, max_error=max_error, delta=delta, grid=grid, n_min=5)
    value, path = slow(score, error, grid, max_error, delta, n_min)
    assert found.value == value
    assert [(c.value, c.answered, c.errors) for c in found.path] == [p[:3] for p in path]
    np.testing.assert_allclose([c.p_value for c in found.path], [p[3] for p in path], rtol=1e-9)


@pytest.mark.parametrize(
    ("n", "e", "rate"), [(22, 0, 0.1), (60, 2, 0.1), (400, 3, 0.25), (1200, 10, 0.1), (50, 50, 0.3)]
)
def test_p_values_are_exact_in_the_tail(n: int, e: int, rate: float) -> None:
    q = Fraction(rate)
    exact = sum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(e + 1))
    found = risk_threshold(
        [0.5] * n, [1] * e + [0] * (n - e), max_error=rate, delta=0.99, grid=[0.5], n_min=1
    )
    assert found.path[0].p_value == pytest.approx(float(exact), rel=TAIL)


def test_a_million_rows_are_quick() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(1_000_000)
    error = rng.random(1_000_000) > chance(score)
    start = time.process_time()
    found = risk_threshold(score, error, max_error=0.1)
    assert time.process_time() - start < SECONDS
    assert found.value is not None
    assert found.n_answered == int((score >= found.value).sum())
    assert found.n_errors == int(error[score >= found.value].sum())


# ---- is the promise kept? exactly


def decisions(n: int, n_cells: int, max_error: float, delta: float, n_min: int) -> list[tuple]:
    """The rule's outcome for every way in which n rows can fall: (counts, errors, last cell)."""
    grid = [1.0 - k / n_cells for k in range(1, n_cells + 1)]
    out = []
    for counts in itertools.product(range(n + 1), repeat=n_cells):
        if sum(counts) != n:
            continue
        for errors in itertools.product(*(range(c + 1) for c in counts)):
            score = np.repeat(grid, counts)
            wrong = np.concatenate(
                [np.repeat([1, 0], [e, c - e]) for c, e in zip(counts, errors, strict=True)]
            )
            found = risk_threshold(
                score, wrong, max_error=max_error, delta=delta, grid=grid, n_min=n_min
            )
            if found.value is not None:
                out.append((counts, errors, grid.index(found.value)))
    return out


def exact_violation(
    outcomes: list[tuple], n: int, share: np.ndarray, risk: np.ndarray, max_error: float
) -> float:
    """P(the risk at the chosen threshold exceeds max_error) in a world of a few slices."""
    above = np.cumsum(share * risk) / np.cumsum(share)
    total = 0.0
    for counts, errors, last in outcomes:
        if above[last] > max_error:
            ways = math.factorial(n)
            chance_of = 1.0
            for c, e, w, r in zip(counts, errors, share, risk, strict=True):
                ways //= math.factorial(e) * math.factorial(c - e)
                chance_of *= (w * r) ** e * (w * (1 - r)) ** (c - e)
            total += ways * chance_of
    return total


MAX_ERROR, DELTA, ROWS = 0.5, 0.3, 7


@pytest.mark.parametrize("n_min", [2, 4])
def test_no_world_breaks_the_promise_by_exact_enumeration(n_min: int) -> None:
    outcomes = decisions(ROWS, 3, MAX_ERROR, DELTA, n_min)
    worst = 0.0
    rng = np.random.default_rng(0)
    for _ in range(150):
        share = rng.dirichlet([1.0, 1.0, 1.0])
        risk = rng.random(3)  # in any order: also scores that rank backwards
        # The hardest worlds have a cell just above the limit.
        k = int(rng.integers(0, 3))
        above = float((share * risk)[: k + 1].sum() / share[: k + 1].sum())
        risk = np.clip(risk * (MAX_ERROR + 1e-9) / above, 0.0, 1.0)
        worst = max(worst, exact_violation(outcomes, ROWS, share, risk, MAX_ERROR))
    assert worst <= DELTA
    assert worst > 0.2  # the search has found worlds that are hard


def test_one_cell_just_above_the_limit_violates_exactly_as_often_as_the_binomial_says() -> None:
    outcomes = decisions(ROWS, 1, MAX_ERROR, DELTA, 2)
    got = exact_violation(outcomes, ROWS, np.ones(1), np.array([MAX_ERROR + 1e-12]), MAX_ERROR)
    # P(Binomial(7, 1/2) <= 2) = 29/128 <= 0.3 < P(<= 3) = 1/2
    assert got == pytest.approx(29 / 128, abs=1e-9)


# ---- is the promise kept? by simulation


@pytest.mark.parametrize(
    ("n", "violations", "silent", "coverage", "silent_at_22", "naive"),
    [
        (300, 0.028, 0.38, 0.21, 0.47, 0.45),
        (1000, 0.039, 0.09, 0.35, 0.35, 0.37),
        (3000, 0.027, 0.03, 0.41, 0.11, 0.25),
    ],
)
def test_violations_over_repeated_samples(
    n: int, violations: float, silent: float, coverage: float, silent_at_22: float, naive: float
) -> None:
    reps = 1500
    rng = np.random.default_rng(n)
    broken, mute, mute_22, fooled, covered = 0, 0, 0, 0, []
    for rep in range(reps):
        score = rng.random(n)
        error = rng.random(n) > chance(score)
        found = risk_threshold(score, error, max_error=0.1, delta=0.1)
        if found.value is None:
            mute += 1
        else:
            broken += RISK[found.value] > 0.1
        covered.append(0.0 if found.value is None else 1.0 - found.value)
        mute_22 += risk_threshold(score, error, max_error=0.1, delta=0.1, n_min=None).value is None
        if rep < 300:
            t = naive_threshold(score, error, 0.1, 22)
            fooled += t is not None and RISK[t] > 0.1
    assert broken / reps <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / reps)
    assert broken / reps == pytest.approx(violations, abs=0.02)
    assert mute / reps == pytest.approx(silent, abs=ROOM)
    assert mute_22 / reps == pytest.approx(silent_at_22, abs=ROOM + 0.01)
    assert np.mean(covered) == pytest.approx(coverage, abs=0.01)
    assert fooled / 300 == pytest.approx(naive, abs=3 * math.sqrt(0.25 / 300))
    assert fooled / 300 > 0.1 + 3 * math.sqrt(0.1 * 0.9 / 300)


def test_the_family_of_slices_keeps_the_promise_together() -> None:
    # Four slices, each of one cell whose risk lies just above the limit: the worst case.
    reps, delta, n = 1500, 0.2, 120
    rng = np.random.default_rng(1)
    domain = np.repeat(["a", "b", "c", "d"], n)
    broken = alone = 0
    for _ in range(reps):
        error = rng.random(4 * n) < 0.2 + 1e-9
        found = risk_thresholds_by(
            np.ones(4 * n), error, domain, max_error=0.2, delta=delta, grid=[1.0]
        )
        broken += any(t.value is not None for t in found.values())
        wrong = error.reshape(4, n).sum(axis=1)
        alone += bool((stats.binom.cdf(wrong, n, 0.2) <= delta).any())
    assert broken / reps <= delta + 3 * math.sqrt(delta * (1 - delta) / reps)
    assert broken / reps > 0.08  # the correction is not wasteful: exactly 1 - (1 - q)^4
    q = stats.binom.cdf(stats.binom.ppf(delta / 4, n, 0.2) - 1, n, 0.2)
    assert broken / reps == pytest.approx(1 - (1 - q) ** 4, abs=ROOM)
    assert alone / reps > 0.4  # without the correction


# ---- slices


def test_each_slice_gets_its_share_of_delta() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(900)
    error = rng.random(900) > chance(score)
    slices = rng.choice(["law", "math", "tiny"], 900, p=[0.5, 0.48, 0.02])
    found = risk_thresholds_by(score, error, slices, max_error=0.3, delta=0.15)
    assert list(found) == ["law", "math", "tiny"]
    assert found["tiny"].value is None
    for name, threshold in found.items():
        rows = slices == name
        assert threshold == risk_threshold(score[rows], error[rows], max_error=0.3, delta=0.15 / 3)


def test_labels_of_slices() -> None:
    mixed = [1, 1.0, "1", np.int64(1), True, None, float("nan"), "x", 0.5]
    assert slice_labels(mixed, 9) == ["1", "1", "1", "1", "True", "", "", "x", "0.5"]
    assert slice_labels(np.array([1.0, np.nan]), 2) == ["1", ""]


# ---- conformal risk control


def test_the_conformal_threshold_by_hand() -> None:
    # 9 rows, limit 0.3: total loss + 1 <= 3, so a total of 2 may be lost.
    score = [0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    loss = [0, 1, 0, 0, 1, 0, 1, 0, 0]
    found = conformal_threshold(score, loss, max_loss=0.3, grid=[0.9, 0.6, 0.5, 0.4, 0.2])
    assert (found.value, found.n_answered, found.n_errors) == (0.5, 6, 2.0)
    assert [cell.p_value for cell in found.path] == pytest.approx([0.2, 0.3, 0.3, 0.4])


def test_a_loss_has_its_own_bound() -> None:
    # (sum + 10) / 100 <= 0.5: 40 may be lost.
    found = conformal_threshold([0.5] * 99, [10.0] * 4 + [0.0] * 95, max_loss=0.5, bound=10.0)
    assert found.value == 0.0
    assert (
        conformal_threshold(
            [0.5] * 99, [10.0] * 4 + [0.1] * 95, max_loss=0.5, bound=10.0, grid=[0.2]
        ).value
        is None
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.0, 0.5, 1.0])), min_size=2, max_size=25
    ),
    max_loss=st.sampled_from([0.1, 0.2, 0.35, 0.6]),
)
def test_whichever_row_is_left_out_the_mean_loss_is_kept_exactly(
    rows: list[tuple[int, float]], max_loss: float
) -> None:
    """Exchangeable rows are a bag in random order: the new one is each of them equally often."""
    score = np.array([s / 5 for s, _ in rows])
    loss = np.array([v for _, v in rows])
    grid = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    total = 0.0
    for i in range(score.size):
        rest = np.delete(np.arange(score.size), i)
        found = conformal_threshold(score[rest], loss[rest], max_loss=max_loss, grid=grid)
        total += loss[i] * float(found.answers(score[i : i + 1])[0])
    assert total / score.size <= max_loss + 1e-12


def test_the_mean_loss_is_kept_over_repeated_samples_and_the_rate_is_not() -> None:
    reps, n, limit = 1500, 100, 0.05
    rng = np.random.default_rng(3)
    lost, over = [], 0
    for _ in range(reps):
        score = rng.random(n)
        found = conformal_threshold(score, rng.random(n) > chance(score), max_loss=limit)
        t = 1.0 if found.value is None else found.value
        lost.append((1.0 - t) * true_risk(t))
        over += true_risk(t) > limit
    se = float(np.std(lost) / math.sqrt(reps))
    assert np.mean(lost) <= limit + 3 * se
    assert (
        np.mean(lost) >= limit - 2 / (n + 1) - 3 * se
    )  # tight: the loss is continuous but for the grid
    assert over / reps > 0.9  # the error rate among the answered is another thing


# ---- bad input


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            [0, 0.5],
            "error: expected 0 or 1, got 0.5 at index 1; a loss between them goes into "
            "conformal_threshold (method 'crc')",
        ),
        (
            [0, float("nan")],
            "error: expected 0 or 1, got nan at index 1; a loss between them goes "
            "into conformal_threshold (method 'crc')",
        ),
        ([0], "error: expected 2 values, one for each score, got 1"),
    ],
)
def test_a_bad_error_is_named(error: list[float], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        risk_threshold([0.5, 0.6], error, max_error=0.1)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ([], "score: expected at least one value, got none"),
        (
            [87.0],
            "score: expected values in [0, 1] for the default grid, got 87.0 at index 0; give a "
            "grid of your own for other scores",
        ),
        ([float("inf")], "score: expected finite numbers or NaN, got inf at index 0"),
    ],
)
def test_a_bad_score_is_named(score: list[float], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        risk_threshold(score, [0] * len(score), max_error=0.1)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_error": 5},
            "max_error: expected a value in (0, 1), got 5; percentages must be divided by 100",
        ),
        ({"max_error": 0}, "max_error: expected a value in (0, 1), got 0"),
        ({"max_error": 0.1, "delta": 1.0}, "delta: expected a value in (0, 1), got 1.0"),
        ({"max_error": 0.1, "delta": float("nan")}, "delta: expected a value in (0, 1), got nan"),
        ({"max_error": 0.1, "n_min": 0}, "n_min: expected a whole number >= 1, or None, got 0"),
        ({"max_error": 0.1, "n_min": 2.5}, "n_min: expected a whole number >= 1, or None, got 2.5"),
        (
            {"max_error": 0.1, "grid": [0.1, 0.2]},
            "grid: expected finite thresholds in strictly "
            "descending order, got others; sort them and drop repeats",
        ),
        (
            {"max_error": 0.1, "grid": []},
            "grid: expected finite thresholds in strictly descending "
            "order, got others; sort them and drop repeats",
        ),
    ],
)
def test_a_bad_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        risk_threshold([0.5, 0.6], [0, 1], **options)
    assert str(caught.value) == message


def test_bad_losses_and_slices_are_named() -> None:
    with pytest.raises(
        InvalidInputError, match=r"^loss: expected values in \[0, 1\], got 2.0 at in"
    ):
        conformal_threshold([0.5], [2], max_loss=0.1)
    with pytest.raises(InvalidInputError, match=r"^max_loss: expected a value in \(0, 1\), got 1$"):
        conformal_threshold([0.5], [0], max_loss=1)
    with pytest.raises(InvalidInputError, match=r"^errors: expected a whole number >= 0, got -1$"):
        least_answers(0.1, 0.1, -1)
    with pytest.raises(InvalidInputError, match=r"^bound: expected a finite value > 0, got 0$"):
        conformal_threshold([0.5], [0], max_loss=0.1, bound=0)
    with pytest.raises(
        InvalidInputError, match=r"^slices: expected 2 values, one for each score, g"
    ):
        risk_thresholds_by([0.5, 0.6], [0, 1], ["a"], max_error=0.1)
    with pytest.raises(InvalidInputError, match=r"^slices: expected 2 values.*got a text$"):
        risk_thresholds_by([0.5, 0.6], [0, 1], "ab", max_error=0.1)
    with pytest.raises(
        InvalidInputError, match=r"^slices: expected texts or numbers, got list at in"
    ):
        risk_thresholds_by([0.5], [0], [["a"]], max_error=0.1)


@pytest.mark.parametrize(("n", "n_min"), [(40, 20), (119, 59), (120, 60), (600, 60), (3000, 300)])
def test_a_tenth_of_the_rows_but_sixty_or_half_of_them(n: int, n_min: int) -> None:
    found = risk_threshold([0.9] * n, [0] * n, max_error=0.25, delta=0.05, n_min="tenth")
    assert found.n_min == n_min


def test_beginning_at_a_tenth_keeps_the_promise_and_answers_more() -> None:
    reps, n = 300, 3000
    rng = np.random.default_rng(5)
    broken, silent = 0, {"tenth": 0, 60: 0}
    for _ in range(reps):
        score = rng.random(n)
        error = rng.random(n) > chance(score)
        for n_min in silent:
            found = risk_threshold(score, error, max_error=0.05, delta=0.05, n_min=n_min)
            silent[n_min] += found.value is None
            broken += n_min == "tenth" and found.value is not None and RISK[found.value] > 0.05
    assert broken / reps <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / reps)
    assert silent["tenth"] < 0.7 * silent[60]
