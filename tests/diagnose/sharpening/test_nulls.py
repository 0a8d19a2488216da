"""Nulls against full enumerations and slow loops."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose.sharpening import Samples, crossing_k, pass_at_k, pass_at_k_curve
from levelhead.diagnose.sharpening._counts import paired
from levelhead.diagnose.sharpening._nulls import (
    guessed_newly_solved,
    newly_solved_null,
    resample,
    swap_p,
    unlucky_base,
)


def shuffled(base: list[int], tuned: list[int], n: int) -> list[Fraction]:
    """P(j newly solved) over every way to deal each problem's 2n samples to the two models."""
    mass = [Fraction(1)]
    for b, t in zip(base, tuned, strict=True):
        samples = [1] * (b + t) + [0] * (2 * n - b - t)
        deals = list(itertools.combinations(range(2 * n), n))
        new = sum(not any(samples[i] for i in deal) and sum(samples) > 0 for deal in deals)
        p = Fraction(new, len(deals))
        mass = [
            (mass[j] if j < len(mass) else 0) * (1 - p) + (mass[j - 1] * p if j else 0)
            for j in range(len(mass) + 1)
        ]
    return mass


def test_luck_is_what_every_deal_of_the_samples_shows() -> None:
    base, tuned, n = [0, 0, 2, 1, 3, 0, 0], [1, 2, 0, 1, 3, 0, 3], 3
    mass = shuffled(base, tuned, n)
    found = newly_solved_null(np.array(base), np.array(tuned), n)
    assert found.expected == pytest.approx(float(sum(j * p for j, p in enumerate(mass))))
    assert found.p_new == pytest.approx(float(sum(mass[3:])), abs=1e-14)  # three are new
    assert found.p_lost == pytest.approx(float(sum(mass[1:])), abs=1e-14)  # one is lost


def test_models_that_swap_as_a_whole_are_fair_coins() -> None:
    base, tuned = np.array([0, 0, 0, 2, 3, 0]), np.array([1, 2, 3, 0, 3, 0])
    found = newly_solved_null(base, tuned, 3, whole=True)
    swapped = [
        np.where(swap, tuned == 0, base == 0) & np.where(swap, base > 0, tuned > 0)
        for swap in itertools.product([False, True], repeat=6)
    ]
    new = np.array([one.sum() for one in swapped])
    assert found.expected == new.mean() == 2.0
    assert found.p_new == pytest.approx(np.mean(new >= 3))
    assert found.p_lost == pytest.approx(np.mean(new >= 1))


def test_luck_over_many_problems_is_normal() -> None:
    # 4000 problems of one right sample in all: each is new with chance 1/2.
    base = np.repeat([0, 1], [2060, 1940])
    found = newly_solved_null(base, 1 - base, 16)
    assert found.expected == pytest.approx(2000)
    z = (2060 - 0.5 - 2000) / math.sqrt(1000)
    assert found.p_new == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), abs=1e-4)


def test_nothing_new_is_never_surprising() -> None:
    found = newly_solved_null(np.array([3, 0]), np.array([3, 0]), 3)
    assert (found.p_new, found.p_lost) == (1.0, 1.0)
    assert found.expected == 0.0


@pytest.mark.parametrize("n", [2, 8, 64])
def test_what_is_raised_or_unchanged_is_new_no_more_often_than_it_is_solved_once(n: int) -> None:
    q, after = np.meshgrid(np.linspace(0.0, 1.0, 401) ** 2, np.linspace(0.0, 1.0, 201))
    new = binom.pmf(0, n, q) * binom.sf(1, n, after)
    once = binom.pmf(1, n, q) * binom.sf(0, n, after)
    allowed = (q >= 1.0 / (n + 1)) | (after <= q)
    assert np.all(new[allowed] <= once[allowed] + 1e-15)
    assert new[q < 0.5 / (n + 1)].max() > once[q < 0.5 / (n + 1)].max()  # and here it is


def test_an_unlucky_base_is_a_fair_coin_at_most() -> None:
    base = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 5])
    tuned = np.array([1, 2, 2, 2, 3, 4, 1, 8, 0, 0, 2])
    # five are new, as a single right sample is not enough; two are solved once and still solved
    found = unlucky_base(base, tuned, 8)
    assert (found.new, found.expected) == (5, 2.0)
    assert found.p == pytest.approx(sum(math.comb(7, j) for j in (5, 6, 7)) / 2**7)
    assert unlucky_base(np.array([3]), np.array([0]), 8).p == 1.0
    assert unlucky_base(np.array([3]), np.array([0]), 8, 0.1).p == 1.0


def test_guesses_come_on_top_of_bad_luck() -> None:
    base, tuned, n, g = np.array([0, 0, 0, 0, 1]), np.array([2, 3, 2, 0, 4]), 4, 0.3
    again = sum(math.comb(n, c) * g**c * (1 - g) ** (n - c) for c in range(2, n + 1))
    found = unlucky_base(base, tuned, n, g)
    assert (found.new, found.expected) == (3, pytest.approx(1 + 4 * again))
    p = 0.0
    for guessed in range(5):  # of the four unsolved; what is left are coins beside the one
        left = max(0, 3 - guessed)
        heads = sum(math.comb(left + 1, j) for j in range(left, left + 2)) / 2 ** (left + 1)
        p += binom.pmf(guessed, 4, again) * (heads if left else 1.0)
    assert found.p == pytest.approx(p)
    assert unlucky_base(np.array([0]), np.array([1]), 1, g).new == 0


def test_guesses_are_binomial() -> None:
    base, tuned, n, g = np.array([0, 0, 0, 2]), np.array([1, 1, 0, 0]), 4, 0.1
    once = 1 - 0.9**4
    expected, p = guessed_newly_solved(base, tuned, n, g)
    assert expected == pytest.approx(3 * once)
    assert p == pytest.approx(3 * once**2 * (1 - once) + once**3)
    assert guessed_newly_solved(base, tuned, n, 0.0)[0] == 0.0
    assert math.isnan(guessed_newly_solved(base, tuned, n, 0.0)[1])


@pytest.mark.parametrize(
    ("difference", "tolerance"),
    [
        ([1, 1, 1, -1, 0, 0], 1e-12),
        ([1, 1, 2], 0.04),
        ([0.5, 0.25, 0.25, -0.125, 0.0, 1.0, -0.5, 0.75], 0.04),
        ([0.5, -0.25, 0.125, 1.0, 0.75, 0.3], 0.04),
    ],
)
def test_swaps_are_all_signs(difference: list[float], tolerance: float) -> None:
    d = np.array(difference)
    sums = [np.dot(d, signs) for signs in itertools.product((1, -1), repeat=d.size)]
    up, down = swap_p(d, seed=0)
    assert up == pytest.approx(np.mean(np.array(sums) >= d.sum() - 1e-9), abs=tolerance)
    assert down == pytest.approx(np.mean(np.array(sums) <= d.sum() + 1e-9), abs=tolerance)
    assert swap_p(-d, seed=0)[1] == pytest.approx(up, abs=tolerance)


def test_no_difference_and_an_undefined_one() -> None:
    assert swap_p(np.zeros(5), seed=0) == (1.0, 1.0)
    assert all(math.isnan(p) for p in swap_p(np.array([0.1, math.nan]), seed=0))


def test_resampled_counts_are_resampled_problems() -> None:
    rng = np.random.default_rng(0)
    n, problems, ks = 6, 40, np.arange(1, 7)
    both = [rng.random((problems, n)) < rng.random((problems, 1)) for _ in range(2)]
    data = paired(Samples.from_matrix(both[0]), Samples.from_matrix(both[1]), samples=None, seed=0)
    tables = [pass_at_k(np.full(used.size, n), used) for used in data.used]
    found = resample(data, tables, n_boot=7, seed=3)
    pairs, times = np.unique(np.stack([data.base, data.tuned]), axis=1, return_counts=True)
    drawn = np.random.default_rng([3, 2]).multinomial(problems, times / problems, size=7)
    for i in range(7):  # the same draws, problem by problem
        counts = [np.repeat(pairs[model], drawn[i]) for model in range(2)]
        curves = [pass_at_k_curve(np.full(problems, n), c) for c in counts]
        np.testing.assert_allclose(found.draws[:, i], curves, atol=1e-14)
        at = crossing_k(ks, curves[0], curves[1])
        assert found.crossing[i] == (ks.size if at is None else at - 1)
    ends = [np.quantile(found.draws[i], at, axis=0) for i in range(2) for at in (0.1, 0.9)]
    np.testing.assert_allclose(found.bands(0.8), ends)
    np.testing.assert_allclose(found.curves[0], pass_at_k_curve(np.full(problems, n), data.base))
