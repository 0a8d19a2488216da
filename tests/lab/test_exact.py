"""Exact expectations against a loop over every group, in order, one estimator call per group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

import levelhead.advantages as adv
from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import InvalidInputError
from levelhead.lab.exact import AdvantageTable, policy_gradient, true_advantage

EXACT = 1e-10
Estimator = Callable[[FloatArray, IntArray], FloatArray]

VALUES = np.array([0.1, 0.35, 0.6, 0.9])
LOG = np.stack([np.log(1.0 - VALUES), np.log(VALUES)])
TIED = np.array([[0.0, 0.0, -1.0, -2.0], [-3.0, -1.0, -1.0, 0.0]])
POLICIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.25, 0.25], [0.0, 0.0, 1.0, 0.0]])
TRUTHS = np.array([0.7, 0.2, 0.5])


def brute_force(
    estimator: Estimator, rewards: FloatArray, policy: FloatArray, p: float, size: int, shared: bool
) -> FloatArray:
    """E[A_1 | k_1], summed over the outcomes and the other members one by one."""
    tokens = range(policy.size)
    out = np.zeros(policy.size)
    if shared:
        others = [
            (probability, [(k, a) for k in rest])
            for a, chance in ((0, 1.0 - p), (1, p))
            for rest in itertools.product(tokens, repeat=size - 1)
            if (probability := chance * math.prod(policy[k] for k in rest)) > 0.0
        ]
        cases = [(w, a[0][1], a) for w, a in others]
    else:
        pairs = [(k, a) for k in tokens for a in (0, 1)]
        cases = [
            (w, own, list(rest))
            for own, chance in ((0, 1.0 - p), (1, p))
            for rest in itertools.product(pairs, repeat=size - 1)
            if (w := chance * math.prod(policy[k] * (p if a else 1.0 - p) for k, a in rest)) > 0.0
        ]
    for weight, outcome, rest in cases:
        for k in tokens:
            group = np.array([rewards[outcome, k], *(rewards[a, j] for j, a in rest)])
            out[k] += weight * estimator(group, np.zeros(size, dtype=np.int64))[0]
    return out


def cubed(rewards: FloatArray, groups: IntArray) -> FloatArray:
    """Symmetric, of no use, and like nothing in the package."""
    size = np.bincount(groups)[0]
    block = rewards.reshape(-1, size)
    return ((block - block.max(axis=1, keepdims=True)) ** 3 + block.sum(axis=1)[:, None]).ravel()


@pytest.mark.parametrize("rewards", [LOG, TIED], ids=["log", "tied"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "independent"])
@pytest.mark.parametrize("estimator", [adv.grpo, adv.top1, cubed])
def test_the_table_equals_a_loop_over_every_group(
    rewards: FloatArray, shared: bool, estimator: Estimator
) -> None:
    outcomes = "shared" if shared else "independent"
    table = AdvantageTable.build(estimator, rewards, 3, outcomes=outcomes)
    got = table.expected(POLICIES, TRUTHS)
    for row in range(3):
        expected = brute_force(estimator, rewards, POLICIES[row], TRUTHS[row], 3, shared)
        assert got[row] == pytest.approx(expected, abs=EXACT), row
    assert not table.order_dependent


def test_by_hand() -> None:
    """Two tokens at odds, G = 2: a group of both has +-1 without std, a group of one token 0."""
    rewards = np.array([[1.0, -1.0], [-1.0, 1.0]])
    table = AdvantageTable.build(adv.grpo_no_std, rewards, 2)
    # own token 1: the other is token 0 with 0.25; +1 if the outcome is 1 (0.75), -1 if not
    assert table.expected([0.25, 0.75], 0.75)[0, 1] == pytest.approx(0.25 * (0.75 - 0.25))
    zero, one = table.expected_given([0.25, 0.75], 0.75)
    assert (zero[0, 1], one[0, 1]) == pytest.approx((-0.25, 0.25))
    assert table.frac_zero([0.25, 0.75], 0.75) == pytest.approx([0.0625 + 0.5625])


@pytest.mark.parametrize("size", [2, 3, 5, 8])
@pytest.mark.parametrize("outcomes", ["shared", "independent"])
def test_declared_factors(size: int, outcomes: str) -> None:
    """Leave-one-out is exact, the group mean loses 1/G, the published notebook adds V/G."""
    truth = np.array([0.7, 0.2, 0.5])
    q = truth[:, None] * LOG[1] + (1.0 - truth[:, None]) * LOG[0]
    value = np.sum(POLICIES * q, axis=1, keepdims=True)
    wanted = {
        adv.reinforce: q,
        adv.rloo: q - value,
        adv.grpo_no_std: (q - value) * (size - 1) / size,
        adv.rloo_notebook: q - value + value / size,
    }
    for estimator, expected in wanted.items():
        table = AdvantageTable.build(estimator, LOG, size, outcomes=outcomes)
        assert table.expected(POLICIES, truth) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("estimator", [adv.pl_softmax, adv.top1])
def test_the_chance_of_being_first_in_ones_own_group_is_the_same_for_every_policy(
    estimator: Estimator,
) -> None:
    """1 / G by exchangeability, so differentiating through all members gives no gradient."""
    table = AdvantageTable.build(estimator, LOG, 4)
    average = np.sum(POLICIES * table.expected(POLICIES, TRUTHS), axis=1)
    assert average == pytest.approx(np.zeros(3), abs=EXACT)


def test_a_probability_of_nearly_nothing_is_like_none() -> None:
    table = AdvantageTable.build(adv.grpo, LOG, 4)
    exact = table.expected([0.5, 0.0, 0.5, 0.0], 0.7)
    for small in (1e-320, 1e-250, 1e-199, 1e-30):
        nearly = table.expected([0.5, small, 0.5, small], 0.7)
        assert nearly == pytest.approx(exact, abs=EXACT)


def test_the_true_advantage_by_hand_and_its_gradient_by_differences() -> None:
    logits, p = np.array([0.3, -0.5, 0.0, 1.1]), 0.3

    def expected_reward(z: FloatArray) -> float:
        pi = np.exp(z) / np.exp(z).sum()
        return float(pi @ (p * LOG[1] + (1.0 - p) * LOG[0]))

    step = 1e-5
    wanted = [
        (expected_reward(logits + step * e) - expected_reward(logits - step * e)) / (2.0 * step)
        for e in np.eye(4)
    ]
    policy = np.exp(logits) / np.exp(logits).sum()
    assert policy_gradient(policy, true_advantage(policy, p, LOG))[0] == pytest.approx(
        np.array(wanted), abs=1e-9
    )
    table = AdvantageTable.build(adv.rloo, LOG, 3)
    assert table.gradient(policy, p)[0] == pytest.approx(np.array(wanted), abs=1e-9)


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
def test_the_chance_of_an_equal_group(outcomes: str) -> None:
    policy, p, size = POLICIES[0], 0.7, 3
    total = 0.0
    for tokens in itertools.product(range(4), repeat=size):
        for drawn in itertools.product((0, 1), repeat=1 if outcomes == "shared" else size):
            a = drawn * (size // len(drawn))
            if len({TIED[i, k] for i, k in zip(a, tokens, strict=True)}) == 1:
                total += math.prod(policy[k] for k in tokens) * math.prod(
                    p if i else 1.0 - p for i in drawn
                )
    table = AdvantageTable.build(adv.grpo, TIED, size, outcomes=outcomes)
    assert table.frac_zero(policy, p) == pytest.approx([total])


def test_mirrored_rewards_are_enumerated_once() -> None:
    values = np.linspace(0.1, 0.9, 9)
    rewards = np.stack([np.log(1.0 - values), np.log(values)])
    for outcomes in ("shared", "independent"):
        table = AdvantageTable.build(adv.grpo, rewards, 8, outcomes=outcomes)
        assert table.n_groups == math.comb(16, 8)


def first_gains(rewards: FloatArray, groups: IntArray) -> FloatArray:
    out = np.zeros(rewards.size)
    out[np.unique(groups, return_index=True)[1]] = 1.0
    return out


def first_best(rewards: FloatArray, groups: IntArray) -> FloatArray:
    """`top1` with ties broken by position, as an argmax does."""
    block = rewards.reshape(-1, np.bincount(groups)[0])
    return (np.arange(block.shape[1]) == block.argmax(axis=1)[:, None]).ravel() - 1.0 / len(block.T)


def previous_group(rewards: FloatArray, groups: IntArray) -> FloatArray:
    """A baseline that leaks: the mean of the group before."""
    means = np.bincount(groups, rewards) / np.bincount(groups)
    return rewards - np.roll(means, 1)[groups]


def test_an_estimator_that_looks_at_the_position_is_found_and_averaged() -> None:
    values = np.linspace(0.1, 0.9, 6)
    table = AdvantageTable.build(first_gains, np.stack([-(values**2), -((1.0 - values) ** 2)]), 6)
    assert table.order_dependent
    assert table.expected(np.full(6, 1.0 / 6.0), 0.5) == pytest.approx(
        np.full((1, 6), 1.0 / 6.0), abs=0.06
    )
    ties = AdvantageTable.build(first_best, LOG, 3)
    assert ties.order_dependent
    assert ties.expected(POLICIES, TRUTHS) == pytest.approx(
        AdvantageTable.build(adv.top1, LOG, 3).expected(POLICIES, TRUTHS), abs=EXACT
    )
    assert AdvantageTable.build(previous_group, LOG, 3).order_dependent


def test_the_estimator_sees_complete_groups_side_by_side_in_one_call() -> None:
    calls: list[IntArray] = []

    def spy(rewards: FloatArray, groups: IntArray) -> FloatArray:
        calls.append(groups)
        return adv.rloo(rewards, groups)

    AdvantageTable.build(spy, LOG, 5)
    (groups,) = calls
    assert (groups == np.repeat(np.arange(groups.size // 5), 5)).all()


def test_what_cannot_be_tabulated_is_said() -> None:
    with pytest.raises(InvalidInputError, match="at most 10 different groups, got 70 with 4"):
        AdvantageTable.build(adv.grpo, LOG, 4, max_groups=10)
    with pytest.raises(InvalidInputError, match=r"one per reward, got shape \(2,\)"):
        AdvantageTable.build(lambda rewards, groups: np.zeros(2), LOG, 2)
    with pytest.raises(InvalidInputError, match=r"finite advantages, got nan for a group with the"):
        AdvantageTable.build(lambda rewards, groups: np.where(rewards < -2.0, np.nan, 0.0), LOG, 2)
    with pytest.raises(InvalidInputError, match="group_size: expected at least 2, got 1"):
        AdvantageTable.build(adv.grpo, LOG, 1)
    with pytest.raises(InvalidInputError, match="outcomes: expected one of independent, shared"):
        AdvantageTable.build(adv.grpo, LOG, 2, outcomes="both")
    with pytest.raises(InvalidInputError, match=r"rewards: expected shape \(2, 3\), got \(2, 4\)"):
        AdvantageTable.build(adv.grpo, LOG, 2).expected([0.5, 0.25, 0.25], 0.5)
    with pytest.raises(InvalidInputError, match=r"advantage: expected shape \(1, 2\)"):
        policy_gradient([0.5, 0.5], [1.0, 2.0, 3.0])
