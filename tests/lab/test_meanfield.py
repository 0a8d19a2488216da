"""Where the expected update ends, against what theory says it must do."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import levelhead.advantages as adv
from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.exact import AdvantageTable
from levelhead.lab.expectation import expectation
from levelhead.lab.meanfield import fixed_points

NINE = np.linspace(0.1, 0.9, 9)
FINE = np.linspace(0.01, 0.99, 99)
TRUTHS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
RULES = ("log", "brier", "spherical")


def table(rule: str, q: FloatArray) -> FloatArray:
    if rule == "log":
        return np.stack([np.log(1.0 - q), np.log(q)])
    if rule == "brier":
        return np.stack([-(q**2), -((1.0 - q) ** 2)])
    return np.stack([1.0 - q, q]) / np.sqrt(q**2 + (1.0 - q) ** 2)


@functools.cache
def tabulated(name: str, rule: str) -> AdvantageTable:
    return AdvantageTable.build(adv.TABLE[name].function, table(rule, NINE), 8)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["rloo", "grpo_no_std", "pl_softmax"])
def test_calibrated_estimators_end_at_the_truth(name: str, rule: str) -> None:
    got = fixed_points(tabulated(name, rule).expected, TRUTHS, NINE)
    assert got.converged.all()
    assert got.mean == pytest.approx(TRUTHS, abs=1e-3)
    assert got.mode == pytest.approx(TRUTHS)
    assert got.sd.max() < 0.02


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["batch_std", "reinforce_pp", "ema_std"])
def test_a_deviation_from_elsewhere_is_harmless(name: str, rule: str) -> None:
    got = fixed_points(expectation(name, table(rule, FINE), 8), TRUTHS, FINE)
    assert got.converged.all()
    assert got.mean == pytest.approx(TRUTHS, abs=1e-3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["grpo", "rank_linear", "loo_std"])
def test_a_deviation_of_the_group_and_ranks_end_at_the_extremes(name: str, rule: str) -> None:
    got = fixed_points(tabulated(name, rule).expected, TRUTHS, NINE)
    assert got.converged.all()
    assert got.mode[[0, 1, 3, 4]] == pytest.approx([0.1, 0.1, 0.9, 0.9])
    assert got.at_ends[[0, 1, 3, 4]].min() > 0.95
    assert got.mean[2] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_the_best_alone_is_a_lottery(rule: str) -> None:
    got = fixed_points(tabulated("top1", rule).expected, TRUTHS, NINE)
    assert got.converged.all()
    assert got.at_ends.min() > 0.99
    assert got.mean[1:4] == pytest.approx(TRUTHS[1:4], abs=0.05)
    assert got.sd[1:4].min() > 0.3
    assert (got.policy[1:4, [0, -1]] > 0.2).all()
    assert got.mean[[0, 4]] == pytest.approx([0.1, 0.9], abs=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_grpo_on_99_tokens(rule: str) -> None:
    truths = [0.1, 0.3, 0.45, 0.55, 0.7, 0.9]
    got = fixed_points(expectation("grpo", table(rule, FINE), 8), truths, FINE)
    assert got.converged.all()
    assert got.mean == pytest.approx([0.01] * 3 + [0.99] * 3, abs=1e-3)
    assert got.steps.max() < 100


def test_independent_outcomes_hurt_small_groups_most() -> None:
    truths = np.array([0.3, 0.7])
    mean = {
        size: fixed_points(
            expectation("grpo", table("log", FINE), size, outcomes="independent"),
            truths,
            FINE,
            steps=60,
        ).mean
        for size in (4, 16, 64)
    }
    assert mean[4] == pytest.approx([0.01, 0.99], abs=1e-3)
    assert mean[16][0] < 0.25 < mean[64][0] < 0.3 + 1e-9
    assert mean[64] == pytest.approx(truths, abs=0.02)
    assert mean[16] + mean[16][::-1] == pytest.approx([1.0, 1.0], abs=1e-6)


def test_a_point_mass_in_the_wrong_place_moves_on() -> None:
    """The plain gradient is 0 there, and training stalls; the better tokens are found all the same."""
    start = np.eye(99)[60]
    expected = expectation("grpo", table("log", FINE), 8)
    got = fixed_points(expected, [0.7], FINE, start=start)
    assert (got.mode[0], bool(got.converged[0])) == (0.99, True)
    exact = fixed_points(expectation("rloo", table("log", FINE), 8), [0.7], FINE, start=start)
    assert exact.mean == pytest.approx([0.7], abs=1e-3)


def test_scale_and_shift_of_the_advantages_do_not_matter() -> None:
    expected = tabulated("grpo", "log").expected
    one = fixed_points(expected, TRUTHS, NINE)
    other = fixed_points(lambda pi, p: 1e-5 * expected(pi, p) + 7e-5, TRUTHS, NINE)
    assert other.policy == pytest.approx(one.policy, abs=1e-6)


def test_neutral_where_the_outcomes_cancel() -> None:
    got = fixed_points(expectation("rank_linear", table("log", FINE), 8), [0.5], FINE)
    assert (got.steps[0], bool(got.converged[0])) == (0, True)
    assert got.policy[0] == pytest.approx(np.full(99, 1.0 / 99.0))
    assert got.at_ends == pytest.approx([10.0 / 99.0])


def test_what_has_not_arrived_says_so() -> None:
    got = fixed_points(expectation("grpo", table("log", FINE), 8), [0.6], FINE, steps=3)
    assert (got.steps[0], bool(got.converged[0])) == (3, False)
    assert got.excess[0] > 1e-3


def test_what_is_wrong_is_said() -> None:
    expected = tabulated("rloo", "log").expected
    with pytest.raises(
        InvalidInputError, match="steps, lr: expected numbers above 0, got 0 and 0.5"
    ):
        fixed_points(expected, [0.5], NINE, steps=0)
    with pytest.raises(InvalidInputError, match="start: expected 9 tokens, one per value, got 2"):
        fixed_points(expected, [0.5], NINE, start=[0.5, 0.5])
    with pytest.raises(InvalidInputError, match=r"expected: expected advantages of shape \(1, 9\)"):
        fixed_points(lambda pi, p: pi[0], [0.5], NINE)
