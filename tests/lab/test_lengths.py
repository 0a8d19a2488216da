"""Length bias against updates derived by hand, full enumeration and a plain loop of small steps."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.lab.lengths import (
    AGGREGATIONS,
    THREE_ANSWERS,
    Actions,
    drift,
    expected_update,
    seq_mean_token_mean,
    seq_mean_token_sum,
    seq_mean_token_sum_norm,
    token_mean,
)

EXACT = 1e-12
EULER = 2e-3
"""What a path of 20,000 small steps may be off."""

POLICY = np.array([0.5, 0.2, 0.3])


def centered(rewards, groups):
    return rewards - rewards.mean()


def standardized(rewards, groups):
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)


def by_ordered_groups(policy, weights, actions, group_size, advantage):
    """All K^G ordered groups, one after the other."""
    rewards, lengths = np.array(actions.rewards), np.array(actions.lengths)
    exact = rewards - policy @ rewards
    total = np.zeros(policy.size)
    for drawn in itertools.product(range(policy.size), repeat=group_size):
        which = np.array(drawn)
        factors = weights(lengths[which])
        a = exact[which] if advantage is None else advantage(rewards[which], np.zeros(group_size))
        score = np.eye(policy.size)[which] - policy
        total += np.prod(policy[which]) * (factors * a) @ score
    return total


# -- the aggregations ------------------------------------------------------------------------------


def test_the_factors_by_hand():
    lengths = np.array([10, 30, 60])
    assert seq_mean_token_mean(lengths) == pytest.approx([1 / 30, 1 / 90, 1 / 180], abs=EXACT)
    assert token_mean(lengths) == pytest.approx([0.01] * 3, abs=EXACT)
    assert seq_mean_token_sum(lengths) == pytest.approx([1 / 3] * 3, abs=EXACT)
    assert seq_mean_token_sum_norm(lengths, max_length=50) == pytest.approx([1 / 150] * 3)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_factor_times_summed_losses_is_the_mean_that_the_name_says(name):
    """The scalar loss itself, from a matrix of per-token losses with a mask."""
    rng = np.random.default_rng(0)
    lengths = np.array([3, 7, 1, 5])
    mask = np.arange(7) < lengths[:, None]
    losses = rng.normal(size=mask.shape)
    sums = (losses * mask).sum(axis=1)
    scalar = {
        "seq_mean_token_mean": np.mean(
            [row[:len_].mean() for row, len_ in zip(losses, lengths, strict=True)]
        ),
        "token_mean": losses[mask].mean(),
        "seq_mean_token_sum": sums.mean(),
        "seq_mean_token_sum_norm": (sums / 1024).mean(),
    }[name]
    assert AGGREGATIONS[name](lengths) @ sums == pytest.approx(scalar, abs=EXACT)


# -- the expected update ---------------------------------------------------------------------------


def test_the_update_of_a_constant_factor_is_the_policy_gradient():
    """pi_k (r_k - mean r) / 1, by hand: mean r = 1/2."""
    got = expected_update(POLICY, seq_mean_token_sum)
    assert got == pytest.approx([0.25, -0.1, -0.15], abs=EXACT)


def test_the_update_of_one_over_length_by_hand():
    """Pushes pi A / L = (0.25/10, -0.1/100, -0.15/10) = (25, -1, -15) / 1000, with the sum 9/1000."""
    got = expected_update(POLICY, seq_mean_token_mean)
    assert got == pytest.approx([0.025 - 0.0045, -0.001 - 0.0018, -0.015 - 0.0027], abs=EXACT)


def test_the_update_of_the_token_mean_over_pairs_by_hand():
    """Two sequences: 1 / (L_i + L_j) is 1/20 unless one is long (1/110), or both (1/200).

    E[1/(L + L_j)] is 0.8/20 + 0.2/110 for the short ones and 0.8/110 + 0.2/200 for the long one.
    """
    short = Fraction(8, 200) + Fraction(2, 1100)
    long_ = Fraction(8, 1100) + Fraction(1, 1000)
    pushes = [
        2 * Fraction(1, 4) * short,
        -2 * Fraction(1, 10) * long_,
        -2 * Fraction(3, 20) * short,
    ]
    want = [
        float(x - Fraction(p, 10) * sum(pushes)) for x, p in zip(pushes, (5, 2, 3), strict=True)
    ]
    assert expected_update(POLICY, token_mean, group_size=2) == pytest.approx(want, abs=EXACT)


@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize("advantage", [None, centered, standardized])
def test_multisets_give_what_all_ordered_groups_give(name, advantage):
    actions = Actions(rewards=(1.0, 0.0, 0.3), lengths=(7, 40, 12))
    got = expected_update(
        POLICY, AGGREGATIONS[name], actions=actions, group_size=4, advantage=advantage
    )
    want = by_ordered_groups(POLICY, AGGREGATIONS[name], actions, 4, advantage)
    assert got == pytest.approx(want, abs=EXACT)
    assert got.sum() == pytest.approx(0.0, abs=EXACT)


@pytest.mark.parametrize("group_size", [2, 5, 8])
def test_centering_within_the_group_costs_one_in_g_and_nothing_else(group_size):
    """Where the factor depends on the own length alone."""
    for weights in (seq_mean_token_mean, seq_mean_token_sum):
        exact = expected_update(POLICY, weights, group_size=group_size)
        sampled = expected_update(POLICY, weights, group_size=group_size, advantage=centered)
        assert sampled == pytest.approx((group_size - 1) / group_size * exact, abs=EXACT)


def test_the_update_agrees_with_drawing_groups():
    rng = np.random.default_rng(1)
    draws, group = 200_000, 8
    which = rng.choice(3, size=(draws, group), p=POLICY)
    rewards, lengths = (
        np.array(THREE_ANSWERS.rewards)[which],
        np.array(THREE_ANSWERS.lengths)[which],
    )
    push = (rewards - rewards.mean(axis=1, keepdims=True)) / lengths.sum(axis=1, keepdims=True)
    each = np.stack([(push * (which == k)).sum(axis=1) for k in range(3)], axis=1)
    each -= POLICY * push.sum(axis=1, keepdims=True)
    want = expected_update(POLICY, token_mean, advantage=centered)
    error = each.std(axis=0) / np.sqrt(draws)
    assert (np.abs(each.mean(axis=0) - want) < 4 * error).all()


def test_an_answer_that_is_never_given_is_not_touched():
    got = expected_update(np.array([0.5, 0.0, 0.5]), token_mean)
    assert got[1] == 0.0
    assert np.isfinite(got).all()


# -- the drift -------------------------------------------------------------------------------------


def small_steps(weights, until=0.9, step=1e-3):
    """Plain steps along the exact pushes, by the mean factor of each answer under the policy."""
    rewards, lengths = np.array(THREE_ANSWERS.rewards), np.array(THREE_ANSWERS.lengths, dtype=float)
    logits = np.zeros(3)
    while True:
        pi = np.exp(logits) / np.exp(logits).sum()
        if pi[0] >= until:
            return pi[1] / pi[2]
        push = pi * weights(lengths, pi) * (rewards - pi @ rewards)
        u = push - pi * push.sum()
        logits += step * u / np.abs(u).max()


def test_the_published_ratios():
    """1.000 without lengths in the factor and 2.52 with 1 / length, at P(right) = 0.9."""
    assert drift(seq_mean_token_sum).ratio == pytest.approx(1.0, abs=1e-9)
    assert drift(seq_mean_token_sum_norm).ratio == pytest.approx(1.0, abs=1e-9)
    assert drift(seq_mean_token_mean).ratio == pytest.approx(2.52, abs=0.005)


def test_the_ratio_is_that_of_small_steps():
    assert small_steps(lambda n, pi: np.ones_like(n)) == pytest.approx(1.0, abs=EXACT)
    want = small_steps(lambda n, pi: 1 / n)
    assert drift(seq_mean_token_mean).ratio == pytest.approx(want, abs=EULER)
    earlier = small_steps(lambda n, pi: 1 / n, until=0.6)
    assert drift(seq_mean_token_mean, until=0.6).ratio == pytest.approx(earlier, abs=EULER)


def test_the_drift_stops_where_it_is_told_and_reports_what_is_there():
    found = drift(seq_mean_token_mean, until=0.8)
    assert found.reached
    assert found.p_correct == pytest.approx(0.8, abs=1e-8)
    assert found.path[0] == pytest.approx([1 / 3] * 3, abs=EXACT)
    assert found.path.sum(axis=1) == pytest.approx(1.0, abs=EXACT)
    _, long_, short = found.path[-1]
    assert found.ratio == pytest.approx(long_ / short, abs=EXACT)
    assert found.mean_length_wrong == pytest.approx((100 * long_ + 10 * short) / (long_ + short))
    assert found.unbiased_length_wrong == 55.0


def test_a_constant_leaves_no_trace():
    base = drift(seq_mean_token_mean)
    for scale in (1e-6, 1e6):
        scaled = drift(lambda n, s=scale: s * seq_mean_token_mean(n))
        assert scaled.ratio == pytest.approx(base.ratio, abs=1e-6)


@pytest.mark.parametrize("advantage", [centered, standardized])
def test_a_sampled_advantage_changes_nothing_for_factors_of_the_own_length(advantage):
    """Both wrong answers share one reward, so only their factors tell them apart.

    Centering is proportional. With the std the pushes on right and wrong are as if the reward had
    another size, equal and opposite, which takes the same path.
    """
    for weights in (seq_mean_token_mean, seq_mean_token_sum):
        assert drift(weights, advantage=advantage).ratio == pytest.approx(
            drift(weights).ratio, abs=1e-6
        )


def test_the_bias_of_the_token_mean_fades_with_the_batch():
    """1 / sum L falls where a long answer is in the batch: by 90 tokens in many, so as 1 / B."""
    ratios = {size: drift(token_mean, group_size=size).ratio for size in (1, 8, 32, 64)}
    assert ratios[1] == pytest.approx(drift(seq_mean_token_mean).ratio, abs=1e-6)
    assert ratios[1] > ratios[8] > ratios[32] > ratios[64] > 1.0
    assert (ratios[32] - 1) / (ratios[64] - 1) == pytest.approx(2.0, abs=0.1)


def token_mean_factors(pi, size):
    """E[1 / sum L] given the own answer: n of the others are long, n ~ Bin(size - 1, P(long))."""
    n = np.arange(size)
    others = stats.binom.pmf(n, size - 1, pi[1])
    return np.array([others @ (1 / (10 * (size - 1) + 90 * n + own)) for own in (10, 100, 10)])


@pytest.mark.parametrize(("size", "quoted"), [(8, 1.38), (64, 1.04)])
def test_the_token_mean_by_counting_the_long_answers_among_the_others(size, quoted):
    want = size * POLICY * token_mean_factors(POLICY, size) * ([1, 0, 0] - POLICY[0])
    want -= POLICY * want.sum()
    assert expected_update(POLICY, token_mean, group_size=size) == pytest.approx(want, abs=EXACT)
    want = small_steps(lambda n, pi: token_mean_factors(pi, size))
    assert drift(token_mean, group_size=size).ratio == pytest.approx(want, abs=EULER)
    assert want == pytest.approx(quoted, abs=0.005)


def test_a_long_right_answer_or_equal_lengths_are_handled():
    same = Actions(rewards=(1.0, 0.0, 0.0), lengths=(10, 50, 50))
    assert drift(seq_mean_token_mean, actions=same).ratio == pytest.approx(1.0, abs=1e-9)
    pair = Actions(rewards=(0.0, 1.0), lengths=(5, 500))
    assert drift(token_mean, actions=pair, group_size=4).ratio == 1.0
    assert drift(seq_mean_token_sum, until=0.2).path.shape == (1, 3)


def test_a_right_answer_that_is_never_reached_is_said():
    found = drift(seq_mean_token_sum, advantage=lambda r, g: r.mean() - r)
    assert not found.reached
    assert found.p_correct < 0.01


# -- what is refused -------------------------------------------------------------------------------


def by_place(lengths):
    return 1.0 / np.arange(1, lengths.size + 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: drift(token_mean, until=1.0),
            "until: expected a probability inside (0, 1), got 1.0",
        ),
        (lambda: drift(token_mean, group_size=0), "group_size: expected at least 1, got 0"),
        (
            lambda: drift(token_mean, group_size=1, advantage=centered),
            "group_size: expected at least 2, got 1",
        ),
        (
            lambda: drift(token_mean, group_size=1000),
            "group_size: expected at most 200000 different groups to enumerate, got more for 1000 of",
        ),
        (lambda: drift(lambda n: n[:1] * 1.0), "weights: expected shape (8,), got (1,)"),
        (lambda: drift(lambda n: n * np.nan), "weights: expected finite values, got [nan"),
        (lambda: drift(by_place), "weights: expected the same for a sequence wherever it stands"),
        (
            lambda: drift(token_mean, advantage=lambda r, g: r * np.arange(r.size)),
            "advantage: expected the same for a sequence wherever it stands",
        ),
        (
            lambda: expected_update(np.array([0.5, 0.5]), token_mean),
            "policy: expected shape (3,), got (2,)",
        ),
        (
            lambda: Actions((1.0,), (1,)),
            "Actions: expected two answers or more, each with a reward",
        ),
        (lambda: Actions((1.0, 0.0), (1,)), "Actions: expected two answers or more"),
        (lambda: Actions((1.0, np.inf), (1, 1)), "rewards: expected finite numbers, got"),
        (
            lambda: Actions((1.0, 0.0), (1, 0)),
            "lengths: expected at least 1 token each, got (1, 0)",
        ),
        (lambda: Actions((1.0, 1.0), (1, 2)), "rewards: expected a wrong answer, got (1.0, 1.0)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert str(caught.value).startswith(message)
