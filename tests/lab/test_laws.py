"""Laws of rewards: distinct values, their probabilities, and the checks of the lab's arguments."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.lab._laws import (
    chance,
    distinct,
    policies,
    regime,
    reward_laws,
    reward_rows,
    same_values,
    truths,
    whole_group,
)

GRID = np.linspace(0.1, 0.9, 9)
LOG = np.stack([np.log(1.0 - GRID), np.log(GRID)])


def test_values_that_differ_by_rounding_are_one() -> None:
    assert np.log(0.3) != np.log(1.0 - 0.7)
    values, index = distinct(np.array([np.log(0.3), -5.0, np.log(1.0 - 0.7)]))
    assert values.size == 2
    assert index.tolist() == [1, 0, 1]
    near, _ = distinct(np.array([1.0, 1.0 + 1e-9]))
    assert near.size == 2


def test_a_symmetric_rule_has_as_many_rewards_as_tokens_under_both_outcomes() -> None:
    (both,) = reward_laws(LOG, "independent")
    assert both.values.size == 9
    assert both.index[0].tolist() == both.index[1][::-1].tolist()
    zero, one = reward_laws(LOG, "shared")
    assert same_values(zero.values, one.values)
    assert not same_values(zero.values, one.values[1:])
    assert not same_values(zero.values, one.values + 0.1)


def test_the_weights_are_the_probabilities_of_each_reward() -> None:
    rewards = np.array([[2.0, 1.0, 1.0], [1.0, 3.0, 2.0]])
    policy, p = np.array([[0.5, 0.3, 0.2]]), np.array([0.25])
    zero, one = reward_laws(rewards, "shared")
    assert zero.weights(policy, p) == pytest.approx(np.array([[0.5, 0.5]]))
    assert one.weights(policy, p) == pytest.approx(np.array([[0.5, 0.2, 0.3]]))
    (both,) = reward_laws(rewards, "independent")
    expected = {1.0: 0.75 * 0.5 + 0.25 * 0.5, 2.0: 0.75 * 0.5 + 0.25 * 0.2, 3.0: 0.25 * 0.3}
    assert both.values.tolist() == list(expected)
    assert both.weights(policy, p)[0] == pytest.approx(list(expected.values()))
    out = np.empty((2, 1, 3))
    both.per_token(both.values[None], out)
    assert out[:, 0].tolist() == rewards.tolist()


def test_one_policy_or_one_truth_serves_for_all() -> None:
    truth, pi = truths([0.2, 0.7], policies([0.5, 0.5]))
    assert (truth.shape, pi.shape) == ((2,), (2, 2))
    truth, pi = truths(0.3, policies([[0.5, 0.5], [1.0, 0.0]]))
    assert truth.tolist() == [0.3, 0.3]
    assert chance(truth, 0).tolist() == [0.7, 0.7]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InvalidInputError, match="p: expected 2 values, one per policy, got 3"):
        truths([0.1, 0.2, 0.3], policies([[0.5, 0.5], [1.0, 0.0]]))
    with pytest.raises(InvalidInputError, match=r"p: expected values in \[0, 1\], got 1.5"):
        truths(1.5, policies([0.5, 0.5]))
    with pytest.raises(InvalidInputError, match="policy: expected rows that sum to 1"):
        policies([0.5, 0.6])
    with pytest.raises(InvalidInputError, match=r"rewards: expected shape \(2, 3\), got \(2, 2\)"):
        reward_rows(np.zeros((2, 2)), 3)
    with pytest.raises(InvalidInputError, match=r"rewards: expected shape \(2, K\), got \(3,\)"):
        reward_rows(np.zeros(3))
    with pytest.raises(InvalidInputError, match="rewards: expected finite values, got NaN"):
        reward_rows([[0.0, np.nan], [0.0, 0.0]])
    with pytest.raises(InvalidInputError, match="group_size: expected at least 2, got 1"):
        whole_group(1)
    with pytest.raises(InvalidInputError, match="did you mean 'shared'"):
        regime("share")
