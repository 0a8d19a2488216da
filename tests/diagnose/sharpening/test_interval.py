"""Intervals against Clopper and Pearson, closed forms, drawn Dirichlet weights and a full enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from levelhead.diagnose.sharpening._interval import interval


@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize(
    ("problems", "up"), [(1, 1), (5, 3), (5, 5), (60, 59), (1000, 10), (1000, 990), (9, 0)]
)
def test_of_two_values_it_is_that_of_clopper_and_pearson(
    level: float, problems: int, up: int
) -> None:
    tail = (1.0 - level) / 2.0
    low = beta.ppf(tail, up, problems - up + 1) if up else 0.0
    high = beta.isf(tail, up + 1, problems - up) if up < problems else 1.0
    values = np.repeat([1.0, -1.0], [up, problems - up])
    assert interval(values, level) == pytest.approx((2 * low - 1, 2 * high - 1), abs=2e-6)
    ends = np.array(interval(4.0 * values, level, worst=4.0))
    assert ends / 4.0 == pytest.approx((2 * low - 1, 2 * high - 1), abs=2e-6)


def test_of_equal_values_only_the_unseen_problem_counts() -> None:
    # w_0 is Beta(1, P), so the lower end is x - (1 + x) (1 - tail^(1/P)).
    for problems, x in ((1, 0.0), (40, 0.0), (300, 0.25041)):
        weight = 1.0 - 0.025 ** (1.0 / problems)
        found = interval(np.full(problems, x), 0.95, 1.0)
        assert found == pytest.approx((x - (1 + x) * weight, x + (1 - x) * weight), abs=2e-6)


@pytest.mark.parametrize(
    "values", [[0.3], [0.5, -0.1, 0.0], [0.25] * 4 + [0.0] * 20 + [-0.9], [0.01] * 30 + [1.0]]
)
def test_it_is_the_quantile_of_drawn_weights(values: list[float]) -> None:
    draws = np.random.default_rng(0).dirichlet(np.ones(len(values) + 1), 60_000)
    for end, unseen, tail in ((0, -1.0, 0.025), (1, 1.0, 0.975)):
        at = np.append(values, unseen)
        found = interval(np.array(values), 0.95, 1.0)[end]
        share = np.mean(draws @ at <= found)
        assert share == pytest.approx(tail, abs=4 * math.sqrt(0.025 * 0.975 / 60_000))


@pytest.mark.parametrize(("problems", "lost"), [(5000, 5), (20_000, 8), (3000, 3)])
@pytest.mark.parametrize("rest", [0.0, 0.01])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_few_losses_beside_thousands_that_hardly_moved(
    problems: int, lost: int, rest: float, level: float
) -> None:
    """Weights of the lost ones and of an unseen loss together are Beta, for an unseen gain drawn."""
    low, high = interval(np.repeat([-1.0, rest], [lost, problems - lost]), level)
    tail = (1.0 - level) / 2.0
    share = beta.isf(tail, lost + 1, problems - lost)
    assert low == pytest.approx(rest - (1.0 + rest) * share, abs=1e-6)
    kept, gone, won = np.random.default_rng(0).gamma(
        [[problems - lost], [lost], [1]], size=(3, 40_000)
    )
    means = (rest * kept - gone + won) / (kept + gone + won)
    above = np.mean(means > high)
    assert above == pytest.approx(tail, abs=4 * math.sqrt(tail * (1 - tail) / 40_000))


@pytest.mark.parametrize("size", [1e-300, 1e-13, 1.253046306e-4, 1e3])
def test_it_grows_with_the_values(size: float) -> None:
    """The largest one rounds up at twelve digits, and must not pass the unseen one."""
    for values in ([1.0], [1.0, -0.5, 0.25], [1.0] * 40):
        found = np.array(interval(np.array(values) * size, 0.95)) / size
        assert found == pytest.approx(interval(np.array(values), 0.95), abs=1e-6)


def test_many_problems_are_normal() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 5000).clip(-1, 1)
    half = 1.959964 * values.std() / math.sqrt(5000)
    unseen = 1.0 / 5000
    low, high = interval(values, 0.95, 1.0)
    assert low == pytest.approx(values.mean() - half - 1.1 * unseen, abs=1e-4)
    assert high == pytest.approx(values.mean() + half + 0.9 * unseen, abs=1e-4)


def test_it_contains_the_mean_and_turns_with_the_sign() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        weights = rng.dirichlet(np.full(7, 0.3))
        values = rng.choice([-1, -0.5, -0.01, 0, 0.02, 0.7, 1], rng.integers(1, 50), p=weights)
        low, high = interval(values, 0.9, 1.0)
        assert -1.0 <= low <= values.mean() <= high <= 1.0
        assert interval(-values, 0.9, 1.0) == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05, 0.2, 0.5])
def test_the_mean_is_rarely_outside_where_few_problems_decide(share: float) -> None:
    """Exact: a problem falls by 0.99 with that chance, or else rises so much that the mean is 0."""
    problems, rise = 60, 0.99 * share / (1.0 - share)
    fallen = np.arange(problems + 1)
    lows = [
        interval(np.repeat([-0.99, rise], [n, problems - n]), 0.95, 1.0)[0] for n in range(20)
    ]  # with more of them the mean is far below 0
    wrong = binom.pmf(fallen[:20], problems, share)[np.array(lows) > 0.0].sum()
    assert wrong <= 0.025
    if share == 0.01:  # as often as no sample of 60 holds one that fell, a bootstrap is wrong
        assert binom.pmf(0, problems, share) > 0.5


def test_three_values_keep_the_level_by_enumeration() -> None:
    """Every sample of 8 problems that change by -1, 0.1 or 0.5, in populations whose mean is 0."""
    problems, at = 8, np.array([-1.0, 0.1, 0.5])
    counts = [c for c in itertools.product(range(problems + 1), repeat=3) if sum(c) == problems]
    wrong = [c for c in counts if interval(np.repeat(at, c), 0.8, 1.0)[0] > 0.0]
    assert wrong
    for lost in np.linspace(0.1, 1 / 3, 15):
        # lost = 0.1 small + 0.5 large, and they add up to 1
        large = (lost - 0.1 * (1 - lost)) / 0.4
        p = np.array([lost, 1 - lost - large, large])
        assert np.all(p >= -1e-12)
        ways = [math.factorial(problems) / math.prod(math.factorial(i) for i in c) for c in wrong]
        total = sum(w * np.prod(np.maximum(p, 0.0) ** c) for w, c in zip(ways, wrong, strict=True))
        assert total <= 0.1


def test_an_undefined_value_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval(np.array([0.1, math.nan]), 0.95, 1.0))
