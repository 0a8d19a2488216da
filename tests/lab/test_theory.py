"""Every closed form against numbers from sums and enumeration written here."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.theory import (
    aimed_probability,
    difficulty_amplification,
    effective_probability,
    large_group_advantage,
    pair_advantage,
    rank_advantage,
    std_slope,
    unanimous_push,
    weight,
)

FINE = np.linspace(0.001, 0.999, 999)
COARSE = np.array([0.1, 0.3, 0.55, 0.9])
POLICY = np.array([0.4, 0.05, 0.25, 0.3])
PLACES = [(0.7, 0.6), (0.3, 0.6), (0.6, 0.8)]
RULES = ("log", "brier", "spherical")


def table(rule: str, q: FloatArray) -> FloatArray:
    if rule == "log":
        return np.stack([np.log(1.0 - q), np.log(q)])
    if rule == "brier":
        return np.stack([-(q**2), -((1.0 - q) ** 2)])
    return np.stack([1.0 - q, q]) / np.sqrt(q**2 + (1.0 - q) ** 2)


def narrow(m: float, spread: float = 0.005) -> FloatArray:
    density = np.exp(-0.5 * ((FINE - m) / spread) ** 2)
    return density / density.sum()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("p", "m"), PLACES)
def test_where_the_standardized_update_aims(rule: str, p: float, m: float) -> None:
    """From the rewards' deviations under a narrow policy, computed here; logits add up."""
    policy, rewards = narrow(m), table(rule, FINE)
    deviation = [math.sqrt(policy @ row**2 - (policy @ row) ** 2) for row in rewards]
    yes, no = p / deviation[1], (1.0 - p) / deviation[0]
    aimed = float(aimed_probability(p, m))
    assert aimed == pytest.approx(yes / (yes + no), abs=1e-4)
    assert effective_probability(policy, p, rewards) == pytest.approx([yes / (yes + no)], rel=1e-9)
    logit = math.log(p / (1.0 - p)) + math.log(m / (1.0 - m))
    assert math.log(aimed / (1.0 - aimed)) == pytest.approx(logit)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("p", "m"), PLACES)
def test_its_slope_does_not_know_the_rule(rule: str, p: float, m: float) -> None:
    policy = narrow(m)
    advantage = large_group_advantage(policy, p, table(rule, FINE))[0]
    at = int(np.abs(FINE - m).argmin())
    slope = (advantage[at + 1] - advantage[at - 1]) / (FINE[at + 1] - FINE[at - 1])
    assert slope == pytest.approx(float(std_slope(p, 0.005)), rel=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_the_weight_is_the_slope_of_the_rule(rule: str) -> None:
    m, step = np.array([0.1, 0.5, 0.8]), 1e-6
    slope = (table(rule, m + step) - table(rule, m - step)) / (2.0 * step)
    assert weight(rule, m) * (1.0 - m) == pytest.approx(slope[1], rel=1e-6)
    assert -weight(rule, m) * m == pytest.approx(slope[0], rel=1e-6)


def test_the_large_group_limit_by_hand() -> None:
    rewards = np.array([[0.0, -2.0], [-1.0, 0.0]])
    got = large_group_advantage([0.5, 0.5], 0.75, rewards)
    assert got[0] == pytest.approx([-0.75 + 0.25, 0.75 - 0.25])
    assert np.isnan(large_group_advantage([1.0, 0.0], 0.75, rewards)[0, 0])
    assert np.isnan(effective_probability([1.0, 0.0], 0.75, rewards)[0])


def enumerated(size: int, p: float, rule: str, ranks: bool) -> FloatArray:
    """E[A_1 | k_1] by every group; ranks 2 to -2 with ties averaged, or standardized rewards."""
    out = np.zeros(4)
    for outcome, chance in ((0, 1.0 - p), (1, p)):
        row = table(rule, COARSE)[outcome]
        for k, rest in itertools.product(range(4), itertools.product(range(4), repeat=size - 1)):
            group = row[[k, *rest]]
            if ranks:
                rank = 1.0 + np.sum(group > group[0]) + 0.5 * (np.sum(group == group[0]) - 1.0)
                advantage = 2.0 - (rank - 1.0) * 4.0 / (size - 1.0)
            elif np.ptp(group) == 0.0:
                advantage = 0.0
            else:
                advantage = (group[0] - group.mean()) / group.std(ddof=1)
            out[k] += chance * math.prod(POLICY[list(rest)]) * advantage
    return out


@pytest.mark.parametrize("rule", RULES)
def test_pairs(rule: str) -> None:
    expected = enumerated(2, 0.8, rule, ranks=False)
    assert pair_advantage(POLICY, 0.8)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_ranks(rule: str, size: int) -> None:
    expected = enumerated(size, 0.8, rule, ranks=True)
    assert rank_advantage(POLICY, 0.8)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [2, 4, 7])
def test_the_push_of_unanimous_groups(size: int) -> None:
    """The slope that groups of one outcome add to a narrow policy, from every group.

    In a unanimous group the rewards are affine in the stated value, so the standardized advantage is
    that of the values, up for outcome 1 and down for outcome 0; mixed groups give it in units of the
    reward difference between outcomes, which does not grow as the spread shrinks.
    """
    p, m = 0.7, 0.6

    def slope(spread: float) -> float:
        x = m + spread * np.array([-1.0, 1.0])
        rewards = table("brier", x)
        total = np.zeros(2)
        for k, rest in itertools.product((0, 1), itertools.product((0, 1), repeat=size - 1)):
            for a in itertools.product((0, 1), repeat=size):
                group = rewards[list(a), [k, *rest]]
                if np.ptp(group) > 0.0:
                    chance = math.prod(p if one else 1.0 - p for one in a) * 0.5 ** (size - 1)
                    total[k] += chance * (group[0] - group.mean()) / group.std(ddof=1)
        return (total[1] - total[0]) * spread / (2.0 * spread)

    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=size)))
    varied = signs[np.ptp(signs, axis=1) > 0.0]
    z = (varied[:, 0] - varied.mean(axis=1)) / varied.std(axis=1, ddof=1)
    unit = float(np.sum(z * varied[:, 0])) / len(signs)
    assert slope(1e-6) / unit == pytest.approx(float(unanimous_push(p, size)), rel=1e-4)


def test_amplification_of_rare_successes() -> None:
    for size in (2, 8, 16):
        for c in range(1, size):
            rewards = np.array([1.0] * c + [0.0] * (size - c))
            expected = (1.0 - c / size) / rewards.std(ddof=1)
            assert float(difficulty_amplification(c, size)) == pytest.approx(expected)
    got = [float(difficulty_amplification(1, size)) for size in (8, 16, 64)]
    assert got == pytest.approx([2.475, 3.75, 7.875], abs=5e-4)
    half = [
        float(difficulty_amplification(1, g) / difficulty_amplification(g // 2, g))
        for g in (8, 16, 64)
    ]
    assert half == pytest.approx([2.65, 3.87, 7.94], abs=5e-3)


def test_neutral_at_one_half() -> None:
    assert float(aimed_probability(0.5, 0.8)) == pytest.approx(0.8)
    assert float(aimed_probability(0.8, 0.5)) == pytest.approx(0.8)
    assert np.isnan(aimed_probability(1.0, 0.0))
    assert float(std_slope(0.5, 0.1)) == 0.0
    assert (pair_advantage(POLICY, 0.5) == 0.0).all()
    assert (rank_advantage(POLICY, 0.5) == 0.0).all()
    assert float(unanimous_push(0.5, 3)) == 0.0


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InvalidInputError, match="rule: expected one of brier, log, spherical"):
        weight("linear", 0.5)
    with pytest.raises(InvalidInputError, match="group_size: expected at least 2, got 1"):
        unanimous_push(0.5, 1)
    with pytest.raises(InvalidInputError, match="group_size: expected at least 2, got 1"):
        difficulty_amplification(1, 1)
    with pytest.raises(InvalidInputError, match="successes: expected values from 1 to 8, got 0"):
        difficulty_amplification(0, 8)
