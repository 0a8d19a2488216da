"""Advantages from the order of a group's rewards."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from levelhead.advantages import max_at_k, pl_softmax, pl_zscore, rank_linear, top1
from levelhead.errors import InvalidInputError

NAN = math.nan
EXACT = 1e-10
EVERY = [rank_linear, top1, pl_softmax, pl_zscore, max_at_k]


def test_ranks_by_hand() -> None:
    # ranks 1, 5, 2.5, 2.5, 4; 2 - 4 (rank - 1) / 4
    got = rank_linear([0.9, 0.1, 0.5, 0.5, 0.2], [7] * 5)
    assert got.tolist() == [2.0, -2.0, 0.5, 0.5, -1.0]
    assert rank_linear([1.0, 0.0], [1, 1]).tolist() == [2.0, -2.0]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, -3.0]), min_size=2, max_size=9))
@settings(max_examples=60, deadline=None)
def test_ranks_are_scipys(rewards: list[float]) -> None:
    ranks = rankdata([-r for r in rewards], method="average")
    expected = 2 - 4 * (ranks - 1) / (len(rewards) - 1)
    np.testing.assert_allclose(rank_linear(rewards, [0] * len(rewards)), expected, atol=1e-14)


def test_ranks_see_the_order_alone() -> None:
    draw = np.random.default_rng(0)
    rewards, groups = draw.normal(size=40), np.repeat(np.arange(8), 5)
    for increasing in (np.exp, np.tanh, lambda r: r**3):
        np.testing.assert_array_equal(
            rank_linear(increasing(rewards), groups), rank_linear(rewards, groups)
        )


@pytest.mark.parametrize("size", [2, 3, 4])
def test_expected_ranks_forget_the_rule_and_the_groups_size(setting, size: int) -> None:
    """2 (2p - 1) (F(k-) - (1 - F(k))) for any policy, rule and G."""
    expected = 2 * (2 * setting.truth - 1) * setting.imbalance
    np.testing.assert_allclose(setting.expected(rank_linear, size), expected, atol=EXACT)


def test_first_by_hand() -> None:
    assert top1([0.9, 0.1, 0.9, 0.5], [7] * 4).tolist() == [0.25, -0.25, 0.25, -0.25]
    assert top1([3.0, 1.0], [7] * 2).tolist() == [0.5, -0.5]


def test_shares_by_hand() -> None:
    # weights 1, 1, 2 at tau 1; 1, 1, 4 at tau 1/2
    rewards, groups = [0.0, 0.0, math.log(2.0)], [7] * 3
    np.testing.assert_allclose(pl_softmax(rewards, groups), [-1 / 12, -1 / 12, 1 / 6], atol=1e-15)
    got = pl_softmax(rewards, groups, tau=0.5)
    np.testing.assert_allclose(got, [-1 / 6, -1 / 6, 1 / 3], atol=1e-15)
    # the log score at tau 1 gives pool shares p_i / sum p_j
    stated = np.array([0.2, 0.3, 0.5, 0.25])
    expected = stated / stated.sum() - 0.25
    np.testing.assert_allclose(pl_softmax(np.log(stated), [7] * 4), expected, atol=1e-15)


def test_a_small_temperature_is_the_first() -> None:
    rewards, groups = [0.1, 0.7, 0.7, 0.4, -3.0, 2.0], [1, 1, 1, 1, 2, 2]
    for tau in (1e-3, 1e-300):
        got = pl_softmax(rewards, groups, tau=tau)
        np.testing.assert_allclose(got, top1(rewards, groups), atol=1e-12)


def test_standardized_shares_by_hand() -> None:
    # z = 1.5, -.5, -.5, -.5: the first has e^2 / (e^2 + 3)
    share = math.exp(2) / (math.exp(2) + 3)
    got = pl_zscore([1.0, 0.0, 0.0, 0.0], [7] * 4, eps=0.0)
    np.testing.assert_allclose(got, [share - 0.25] + [(1 - share) / 3 - 0.25] * 3, atol=1e-14)
    root = math.sqrt(16 / 3)  # for ddof 0 they are sqrt 3 and -1 / sqrt 3
    share = math.exp(root) / (math.exp(root) + 3)
    assert pl_zscore([1.0, 0, 0, 0], [7] * 4, eps=0.0, ddof=0)[0] == pytest.approx(share - 0.25)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_nobody_can_be_first_more_often_than_by_lot(setting, size: int) -> None:
    """P(the first sample is first) = 1 / k for every policy: nothing to gain from all samples alike."""
    for function in (pl_softmax, top1, pl_zscore):
        mean = setting.policy @ setting.expected(function, size)
        assert mean == pytest.approx(0.0, abs=EXACT)


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_shares_are_unbiased_against_frozen_opponents(setting, tau: float) -> None:
    size = 3
    chance = np.zeros(5)
    for outcome, weight in ((0, 1 - setting.truth), (1, setting.truth)):
        strength = np.exp(setting.rewards[outcome] / tau)
        for j, k in itertools.product(range(5), repeat=2):
            both = weight * setting.policy[j] * setting.policy[k]
            chance += both * strength / (strength + strength[j] + strength[k])
    got = setting.expected(lambda r, g: pl_softmax(r, g, tau=tau), size)
    np.testing.assert_allclose(got, chance - 1 / size, atol=EXACT)


def test_best_by_hand() -> None:
    assert max_at_k([0.5, 2.0, 1.0], [7] * 3).tolist() == [0.0, 1.0, 0.0]
    assert max_at_k([2.0, 2.0, 1.0], [7] * 3).tolist() == [0.0, 0.0, 0.0]
    assert max_at_k([-1.0, -3.0], [7] * 2).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("size", [2, 3])
def test_the_best_is_unbiased_for_the_expected_maximum(setting, size: int) -> None:
    """The gradient with respect to the logits, summed over the group, against differences."""

    def largest(policy: np.ndarray) -> float:
        total = 0.0
        for outcome, weight in ((0, 1 - setting.truth), (1, setting.truth)):
            for drawn in itertools.product(range(5), repeat=size):
                chance = weight * float(np.prod(policy[list(drawn)]))
                total += chance * float(setting.rewards[outcome, list(drawn)].max())
        return total

    logits, step = np.log(setting.policy), 1e-5
    numeric = np.zeros(5)
    for k in range(5):
        ends = []
        for sign in (1, -1):
            moved = np.exp(logits + sign * step * np.eye(5)[k])
            ends.append(largest(moved / moved.sum()))
        numeric[k] = (ends[0] - ends[1]) / (2 * step)
    expected = setting.expected(max_at_k, size)
    gradient = size * setting.policy * (expected - setting.policy @ expected)
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)


def test_an_outlier_is_capped() -> None:
    rewards = np.r_[1e9, np.random.default_rng(0).normal(size=7)]
    groups = np.zeros(8, dtype=int)
    assert rank_linear(rewards, groups)[0] == 2.0
    assert top1(rewards, groups)[0] == pytest.approx(0.875)
    assert pl_softmax(rewards, groups)[0] == pytest.approx(0.875)


@pytest.mark.parametrize("function", EVERY)
def test_groups_without_a_difference_get_exactly_zero(function) -> None:
    for value in (0.1, 1 / 3, 1e6 / 3, 0.0, -0.7):
        for size in (2, 3, 10):
            assert function([value] * size, [1] * size).tolist() == [0.0] * size
    assert function([5.0], [0]).tolist() == [0.0]
    assert function([5.0, NAN, NAN], [0, 0, 1]).tolist() == [0.0, 0.0, 0.0]
    assert function([], []).tolist() == []


@pytest.mark.parametrize("function", [rank_linear, top1, pl_zscore])
def test_a_float32s_rounding_is_no_order(function) -> None:
    single = np.float32(0.35)
    near = np.array([single, np.nextafter(single, np.float32(1)), single])
    assert not function(near, [0, 0, 0]).any()
    assert not function([0.3, 0.1 + 0.2], [0, 0]).any()


@pytest.mark.parametrize("function", EVERY)
def test_what_cannot_be_scored_is_no_opponent(function) -> None:
    rewards, groups = [1.0, NAN, 0.0, 0.5, 9.0], [5] * 5
    got = function(rewards, groups, valid=[1, 1, 1, 1, 0])
    np.testing.assert_array_equal(got[[0, 2, 3]], function([1.0, 0.0, 0.5], [5] * 3))
    assert not got[[1, 4]].any()


def test_options_are_checked() -> None:
    for tau in (0.0, -1.0, NAN, math.inf):
        with pytest.raises(InvalidInputError, match="^tau: expected a finite number above 0, got"):
            pl_softmax([1.0, 0.0], [0, 0], tau=tau)
    with pytest.raises(InvalidInputError, match="^ddof: expected 0 or 1, got -1$"):
        pl_zscore([1.0, 0.0], [0, 0], ddof=-1)
    with pytest.raises(InvalidInputError, match="^eps: expected a finite number >= 0, got -1"):
        pl_zscore([1.0, 0.0], [0, 0], eps=-1.0)
