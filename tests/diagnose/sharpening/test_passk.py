"""pass@k against all subsets, exact fractions, the published loop, and curves of known rates."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.diagnose.sharpening import (
    auc_log_k,
    cover_at,
    crossing_k,
    pass_at_k,
    pass_at_k_curve,
    transitions,
)
from levelhead.errors import InvalidInputError

EXACT = 4e-16
"""Rounding of a running product of a few factors."""
POWERS = 2 ** np.arange(11)


def exact(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def beta_rates() -> tuple[np.ndarray, np.ndarray]:
    """Rates of a base model, and of one that raises those above 0.05 and loses the others."""
    rng = np.random.default_rng(0)
    rng.binomial(20, 0.1, 400_000)
    base = rng.beta(0.35, 1.4, 4000)
    return base, np.where(base > 0.05, base**0.35, 0.0)


def of_rates(rates: np.ndarray, ks: np.ndarray) -> np.ndarray:
    return np.array([np.mean(1.0 - (1.0 - rates) ** k) for k in ks])


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 50])
def test_it_is_the_combinatorial_definition_in_exact_arithmetic(n: int) -> None:
    found = pass_at_k(np.full(n + 1, n), np.arange(n + 1))
    wanted = [[float(exact(n, c, k)) for k in range(1, n + 1)] for c in range(n + 1)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)


def test_it_is_the_share_of_subsets_with_a_right_one() -> None:
    samples = [1, 0, 0, 1, 0, 0]
    for k in range(1, 7):
        subsets = list(itertools.combinations(samples, k))
        share = sum(any(one) for one in subsets) / len(subsets)
        assert pass_at_k([6], [2], [k])[0, 0] == pytest.approx(share, abs=EXACT)


def test_its_mean_over_samples_is_the_truth_and_the_plug_in_is_not() -> None:
    p, n, k = 0.1, 20, 8
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    ours = float(np.array(chance) @ pass_at_k(np.full(n + 1, n), np.arange(n + 1), [k])[:, 0])
    plug_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chance))
    assert ours == pytest.approx(1 - 0.9**8, abs=1e-12)
    assert (round(1 - 0.9**8, 4), round(ours, 4), round(plug_in, 4)) == (0.5695, 0.5695, 0.5058)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=8))
def test_a_curve_is_the_mean_of_the_problems_and_ends_where_the_first_does(rows: Any) -> None:
    n = np.array([size for size, _ in rows])
    c = np.minimum([right for _, right in rows], n)
    each = pass_at_k(n, c)
    ks = np.arange(1, n.max() + 1)
    np.testing.assert_array_equal(np.isnan(each), ks > n[:, None])
    curve = pass_at_k_curve(n, c)
    np.testing.assert_allclose(curve, each.mean(axis=0), atol=1e-14)
    np.testing.assert_array_equal(np.isnan(curve), ks > n.min())
    order = np.argsort(c, kind="stable")
    np.testing.assert_allclose(pass_at_k_curve(n[order], c[order]), curve, atol=1e-14)


def test_many_samples_stay_exact_at_both_ends() -> None:
    n = 20_000
    found = pass_at_k([n, n, n], [1, 3, n - 1], [1, n // 2, n])
    wanted = [[float(exact(n, c, k)) for k in (1, n // 2, n)] for c in (1, 3, n - 1)]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_the_curves_of_known_rates_cross_at_sixteen() -> None:
    base, tuned = beta_rates()
    first, second = of_rates(base, POWERS), of_rates(tuned, POWERS)
    assert crossing_k(POWERS, first, second) == 16
    every = np.arange(1, 33)
    assert crossing_k(every, of_rates(base, every), of_rates(tuned, every)) == 14
    assert [round(float(v), 3) for v in (first[0], second[0])] == [0.205, 0.382]
    assert [round(float(v), 3) for v in (first[-1], second[-1])] == [0.907, 0.598]


def test_estimates_from_samples_of_known_rates_cross_there_too() -> None:
    rng = np.random.default_rng(1)
    n = np.full(4000, 1024)
    counts = [rng.binomial(1024, rates) for rates in beta_rates()]
    found = [pass_at_k_curve(n, c, POWERS) for c in counts]
    for curve, rates in zip(found, beta_rates(), strict=True):
        spread = np.sqrt(of_rates(rates, POWERS) * (1 - of_rates(rates, POWERS)) / 4000)
        assert np.all(np.abs(curve - of_rates(rates, POWERS)) < 4 * spread)
    assert crossing_k(POWERS, found[0], found[1]) == 16
    assert cover_at(n, counts[0], [0.5])[0] == pytest.approx(0.147, abs=0.006)
    assert cover_at(n, counts[1], [0.5])[0] == pytest.approx(0.438, abs=0.006)


def test_cover_of_known_rates() -> None:
    fine = 10**9
    n = np.full(4000, fine)
    covers = [cover_at(n, np.floor(rates * fine), [0.5])[0] for rates in beta_rates()]
    assert [round(float(cover), 3) for cover in covers] == [0.147, 0.438]


def test_cover_counts_a_rate_that_is_reached() -> None:
    np.testing.assert_array_equal(cover_at([10, 10], [3, 0], [0.1 * 3, 0.31]), [0.5, 0.0])
    np.testing.assert_array_equal(cover_at([10, 10], [10, 9], [1.0]), [0.5])


def test_no_crossing_is_none_and_a_tie_is_no_crossing() -> None:
    assert crossing_k([1, 2, 4], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) is None
    assert crossing_k([1, 2, 4], [0.1, 0.2 + 1e-15, 0.3], [0.1, 0.2, 0.3]) is None
    assert crossing_k([1, 2], [0.2, 0.2], [0.1, 0.3]) == 1
    assert crossing_k([1, 2], [math.nan, 0.4], [0.1, 0.3]) == 2


def test_the_area_is_that_of_trapezoids_over_log_k() -> None:
    # ln 2 and ln 2 wide: (0.2 + 0.4) / 2 and (0.4 + 0.8) / 2, over 2 ln 2
    assert auc_log_k([1, 2, 4], [0.2, 0.4, 0.8]) == pytest.approx((0.3 + 0.6) / 2)
    # ln 4 and ln 2 wide
    assert auc_log_k([1, 4, 8], [0.0, 1.0, 1.0]) == pytest.approx((0.5 * 2 + 1.0) / 3)
    assert math.isnan(auc_log_k([1], [0.3]))


def test_transitions_are_counted_by_hand() -> None:
    found = transitions([0, 0, 0, 1, 2, 5], [0, 1, 9, 0, 2, 4])
    np.testing.assert_array_equal(found, [[1, 2], [1, 2]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: pass_at_k([3], [4]), "c: expected at most n = 3, got 4 at index 0"),
        (lambda: pass_at_k([3, 0], [1, 0]), "n: expected at least one sample, got 0 at index 1"),
        (lambda: pass_at_k([], []), "n: expected at least one problem, got none"),
        (lambda: pass_at_k([3], [1.5]), "c: expected whole numbers, got fractions or NaN"),
        (lambda: pass_at_k([3], [1], [0]), "k: expected whole numbers >= 1, got 0"),
        (lambda: pass_at_k_curve([3], [1], []), "k: expected whole numbers >= 1, got none"),
        (lambda: pass_at_k([3, 3], [1]), r"c: expected shape \(2,\), got \(1,\)"),
        (lambda: cover_at([3], [1], [0.0]), r"tau: expected success rates in \(0, 1\], got 0.0"),
        (lambda: crossing_k([1, 2], [0.1], [0.1, 0.2]), "base: expected 2 values, one for each k"),
        (lambda: auc_log_k([2, 1], [0.1, 0.2]), "k: expected ascending numbers"),
    ],
)
def test_errors_say_what_was_expected(call: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        call()
