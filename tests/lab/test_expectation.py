"""Expected advantages without enumeration, against enumeration, moments and sampling."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

import levelhead.advantages as adv
from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.exact import AdvantageTable
from levelhead.lab.expectation import (
    NAMES,
    StdExpectation,
    expectation,
    expected_advantage,
    expected_group_std,
    group_std_given,
)

CLOSE = 1e-8
BATCH = ("batch_std", "reinforce_pp", "ema_std")

VALUES = np.array([0.05, 0.3, 0.5, 0.92])
LOG = np.stack([np.log(1.0 - VALUES), np.log(VALUES)])
TIED = np.array([[0.0, 0.0, -1.0, -2.0], [-3.0, -1.0, -1.0, 0.0]])
POLICIES = np.array(
    [[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.25, 0.25], [0.0, 0.0, 1.0, 0.0], [1e-6, 1e-9, 1e-3, 0.0]]
)
POLICIES[3, 3] = 1.0 - POLICIES[3].sum()
TRUTHS = np.array([0.7, 0.2, 0.5, 0.95])


def fine(n_tokens: int = 99) -> tuple[FloatArray, FloatArray]:
    values = np.linspace(0.01, 0.99, n_tokens)
    return values, np.stack([np.log(1.0 - values), np.log(values)])


def brute_force(
    dense: Callable[[FloatArray], FloatArray],
    rewards: FloatArray,
    policy: FloatArray,
    p: float,
    size: int,
    outcomes: str,
) -> FloatArray:
    """E[A_1 | k_1] from the matrix of every ordered group, one weight each."""
    groups = np.array(list(itertools.product(range(policy.size), repeat=size)))
    own, weight = groups[:, 0], np.prod(policy[groups[:, 1:]], axis=1)
    out = np.zeros(policy.size)
    drawn = [(0,) * size, (1,) * size]
    if outcomes == "independent":
        drawn = list(itertools.product((0, 1), repeat=size))
    for a in drawn:
        chance = math.prod(p if i else 1.0 - p for i in (a[:1] if outcomes == "shared" else a))
        advantage = dense(rewards[np.array(a), groups])[:, 0]
        out += np.bincount(own, chance * weight * advantage, policy.size)
    return out


@pytest.mark.parametrize("rewards", [LOG, TIED], ids=["log", "tied"])
@pytest.mark.parametrize("outcomes", ["shared", "independent"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BATCH])
def test_every_name_equals_enumeration(name: str, outcomes: str, rewards: FloatArray) -> None:
    for size in (2, 4):
        got = expected_advantage(name, POLICIES, TRUTHS, rewards, size, outcomes=outcomes)
        for row in range(4):
            expected = brute_force(
                adv.TABLE[name].dense, rewards, POLICIES[row], TRUTHS[row], size, outcomes
            )
            assert got[row] == pytest.approx(expected, abs=CLOSE), (size, row)


def test_the_names_are_those_of_the_table() -> None:
    assert sorted(NAMES) == sorted(adv.TABLE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("grpo", {"eps": 1e-2, "ddof": 0}),
        ("grpo", {"eps": 0.0}),
        ("grpo", {"eps": 50.0}),
        ("loo_std", {"eps": 0.1, "ddof": 0}),
        ("pl_softmax", {"tau": 0.02}),
        ("pl_softmax", {"tau": 10.0}),
        ("pl_zscore", {"eps": 0.5, "ddof": 0}),
    ],
)
def test_options_reach_the_formula(name: str, options: dict[str, float]) -> None:
    estimator = functools.partial(adv.TABLE[name].function, **options)
    for outcomes in ("shared", "independent"):
        table = AdvantageTable.build(estimator, LOG, 5, outcomes=outcomes)
        got = expected_advantage(name, POLICIES, TRUTHS, LOG, 5, outcomes=outcomes, **options)  # pyright: ignore
        assert got == pytest.approx(table.expected(POLICIES, TRUTHS), abs=CLOSE)


def sampled(
    advantages: FloatArray, tokens: FloatArray, n_tokens: int
) -> tuple[FloatArray, FloatArray]:
    """Mean advantage of each token and its standard error, by groups (the rows)."""
    mean, error = np.zeros(n_tokens), np.zeros(n_tokens)
    for k in range(n_tokens):
        total = np.sum(advantages * (tokens == k), axis=1)
        number = np.sum(tokens == k, axis=1)
        if number.any():
            mean[k] = total.sum() / number.sum()
            error[k] = np.std(total - mean[k] * number) * math.sqrt(len(total)) / number.sum()
    return mean, error


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
@pytest.mark.parametrize("name", ["batch_std", "reinforce_pp"])
def test_the_limit_of_a_large_batch_is_what_large_batches_give(name: str, outcomes: str) -> None:
    rng = np.random.default_rng(0)
    many, size, p = 40_000, 4, 0.7
    tokens = rng.choice(4, (many, size), p=POLICIES[0])
    drawn = rng.random((many, size if outcomes == "independent" else 1)) < p
    batch = LOG[np.broadcast_to(drawn, tokens.shape).astype(int), tokens]
    mean, error = sampled(adv.TABLE[name].dense(batch), tokens, 4)
    got = expected_advantage(name, POLICIES[0], p, LOG, size, outcomes=outcomes)[0]
    own = 1.0 / math.sqrt(many)  # of the batch's mean and deviation, which all tokens share
    assert (np.abs(got - mean) < 4.0 * np.hypot(error, own)).all()


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
def test_the_limit_of_a_long_memory_is_what_it_settles_at(outcomes: str) -> None:
    """The memory is updated by groups that vary, so it holds their mean deviation."""
    rng = np.random.default_rng(1)
    visits, size, p = 30_000, 3, 0.7
    tokens = rng.choice(4, (visits, size), p=POLICIES[0])
    drawn = rng.random((visits, size if outcomes == "independent" else 1)) < p
    rewards = TIED[np.broadcast_to(drawn, tokens.shape).astype(int), tokens]
    deviation = rewards.std(axis=1, ddof=1)
    settled = deviation[deviation > 0.0].mean()
    exact = (1.0 - 1.0 / size) * expected_advantage("rloo", POLICIES[0], p, TIED, size)[0]
    got = expected_advantage("ema_std", POLICIES[0], p, TIED, size, outcomes=outcomes, eps=0.0)[0]
    assert got * settled == pytest.approx(exact, rel=0.01)
    alone = expected_advantage("ema_std", POLICIES[2], p, TIED, size, eps=0.0)
    assert alone == pytest.approx(
        (1.0 - 1.0 / size) * expected_advantage("rloo", POLICIES[2], p, TIED, size)
    )


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_the_expected_deviation_equals_enumeration(outcomes: str, ddof: int) -> None:
    size, policy, p = 4, POLICIES[0], 0.7
    wanted = float(
        policy
        @ brute_force(
            lambda block: np.repeat(block.std(axis=1, ddof=ddof)[:, None], size, axis=1),
            TIED,
            policy,
            p,
            size,
            outcomes,
        )
    )
    got = expected_group_std(policy, p, TIED, size, outcomes=outcomes, ddof=ddof)
    assert got == pytest.approx([wanted], abs=CLOSE)


def test_the_deviation_of_a_large_group_is_that_of_the_policy() -> None:
    values, rewards = fine()
    policy = np.exp(-0.5 * ((values - 0.6) / 0.2) ** 2)
    policy /= policy.sum()
    mean = rewards @ policy
    deviation = np.sqrt(((rewards - mean[:, None]) ** 2) @ policy)
    got = group_std_given(policy, rewards, 4000)[:, 0]
    assert got == pytest.approx(deviation, rel=1e-3)
    assert (got < deviation).all()


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
@pytest.mark.parametrize("size", [4, 8, 64])
def test_finer_steps_change_nothing(size: int, outcomes: str) -> None:
    rewards = fine(60)[1]
    rng = np.random.default_rng(2)
    policy = np.stack([rng.dirichlet(np.full(60, c)) for c in (0.1, 1.0, 10.0)])
    coarse = StdExpectation(rewards, size, outcomes=outcomes).expected(policy, 0.7)
    halved = StdExpectation(rewards, size, outcomes=outcomes, refine=2).expected(policy, 0.7)
    assert coarse == pytest.approx(halved, abs=1e-9)
    assert np.abs(np.sum(policy * coarse, axis=1)).max() < 1e-9


def test_a_thousand_to_a_group() -> None:
    """Against the moments, whose error falls as 1/G, and against 800 sampled groups."""
    values = np.linspace(1.0 / 101.0, 100.0 / 101.0, 100)
    rewards = np.stack([np.log(1.0 - values), np.log(values)])
    policy = values**4.7 * (1.0 - values) ** 2.0
    policy /= policy.sum()
    p, likely = 0.7, policy > 1e-3
    mean = rewards @ policy
    deviation = np.sqrt(((rewards - mean[:, None]) ** 2) @ policy)
    limit = p * (rewards[1] - mean[1]) / deviation[1]
    limit += (1.0 - p) * (rewards[0] - mean[0]) / deviation[0]
    thousand = expected_advantage("grpo", policy, p, rewards, 1000)[0]
    double = expected_advantage("grpo", policy, p, rewards, 2000)[0]
    gap = np.abs(thousand - limit)[likely].max()
    assert 1e-5 < gap < 0.02
    assert np.abs(double - limit)[likely].max() == pytest.approx(gap / 2.0, rel=0.1)
    rng = np.random.default_rng(3)
    tokens = rng.choice(100, (800, 1000), p=policy)
    # stratified over the outcome, whose share is known: every group under both
    both = [adv.TABLE["grpo"].dense(row[tokens]) for row in rewards]
    got, error = sampled((1.0 - p) * both[0] + p * both[1], tokens, 100)
    assert (np.abs(got - thousand)[likely] < 4.0 * error[likely]).all()


def test_nothing_to_divide_by() -> None:
    equal = np.zeros((2, 3))
    policy = np.array([0.2, 0.3, 0.5])
    for name in NAMES:
        if name != "reinforce":
            got = expected_advantage(name, policy, 0.7, equal, 3, eps=0.0)
            assert got == pytest.approx(np.zeros((1, 3))), name
    pair = expected_advantage("loo_std", [0.5, 0.5], 1.0, [[0.0, 0.0], [0.0, 4.0]], 2)
    assert pair[0].tolist() == [-2.0, 2.0]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InvalidInputError, match="estimator: expected one of .*did you mean 'grpo'"):
        expectation("gpro", LOG, 4)
    with pytest.raises(
        InvalidInputError, match="no closed form is known for 'pl_zscore', and enum"
    ):
        expectation("pl_zscore", fine()[1], 8)
    with pytest.raises(InvalidInputError, match="tau: expected a finite number above 0, got 0"):
        expectation("pl_softmax", LOG, 4, tau=0.0)
    with pytest.raises(InvalidInputError, match="eps: expected a finite number >= 0, got -1"):
        expectation("grpo", LOG, 4, eps=-1.0)
    with pytest.raises(InvalidInputError, match="ddof: expected 0 or 1, got 2"):
        expectation("grpo", LOG, 4, ddof=2)
    with pytest.raises(InvalidInputError, match=r"rewards: expected shape \(2, 2\), got \(2, 4\)"):
        expectation("top1", LOG, 4)([0.5, 0.5], 0.5)


@pytest.mark.parametrize("option", ["a", None, [1.0]])
def test_options_that_are_no_numbers_are_refused(option) -> None:
    table = [[0.0, -4.0], [-4.0, 0.0]]
    for name, estimator in (("eps", "grpo"), ("tau", "pl_softmax")):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected a number, got "):
            expected_advantage(estimator, [0.5, 0.5], 0.5, table, 4, **{name: option})
    with pytest.raises(InvalidInputError, match="^group_size: expected a number, got "):
        expected_advantage("grpo", [0.5, 0.5], 0.5, table, option)
    with pytest.raises(InvalidInputError, match="^group_size: expected a whole number, got 2.5$"):
        expected_advantage("grpo", [0.5, 0.5], 0.5, table, 2.5)  # pyright: ignore
