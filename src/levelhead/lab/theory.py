"""Closed forms: why a shared outcome and a standard deviation make a policy overconfident.

Each function is one statement about expected advantages, which the tests compare with numbers from
enumeration. Outcomes are shared by the group unless a statement says otherwise; tokens are ordered by
the probability that they state.
"""

from __future__ import annotations

import math

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.lab._laws import policies, reward_rows, truths

__all__ = [
    "aimed_probability",
    "difficulty_amplification",
    "effective_probability",
    "large_group_advantage",
    "pair_advantage",
    "rank_advantage",
    "std_slope",
    "unanimous_push",
    "weight",
]


def aimed_probability(p: ArrayLike, m: ArrayLike) -> FloatArray:
    """What dividing by the group's standard deviation aims at: not p, but further from 1/2.

    logit p_eff = logit p + logit m,  p_eff = p m / (p m + (1 - p)(1 - m))

    A narrow policy around m under a strictly proper rule of weight w has reward deviations
    sigma_1 = w(m) (1 - m) delta and sigma_0 = w(m) m delta. Dividing by them reweights the two
    outcomes, and w(m) cancels: the answer is the same for every strictly proper rule.

    Args:
        p: true probability of outcome 1, any shape that broadcasts with m.
        m: where the policy is, in (0, 1).

    Returns:
        Probability that the expected update treats as true.

    Edge cases: m = 1/2 gives p; p = 1/2 gives m, wherever the policy is it stays.
    Properties: symmetric in p and m; independent of the scoring rule.
    Reference: arXiv:2508.11800, section 4, carried to every strictly proper rule.

    Example:
        >>> float(aimed_probability(0.75, 0.75))
        0.9
    """
    truth, at = np.asarray(p, dtype=np.float64), np.asarray(m, dtype=np.float64)
    yes, no = truth * at, (1.0 - truth) * (1.0 - at)
    with np.errstate(invalid="ignore"):
        return np.asarray(yes / (yes + no))


def std_slope(p: ArrayLike, spread: ArrayLike) -> FloatArray:
    """Slope of the expected advantage in the stated probability, for a narrow policy.

    E[A_hat](m + x) = (2 p - 1) x / delta, where the exact slope is w(m) (p - m)

    Large groups, divided by their standard deviation. Neither where the policy is nor the rule
    matters: a proper rule has become the improper linear score, whose optimum is an end.

    Args:
        p: true probability of outcome 1.
        spread: standard deviation delta > 0 of the stated probability.

    Returns:
        Advantage per unit of stated probability.

    Edge cases: p = 1/2 gives 0.
    Properties: odd in p - 1/2.
    Reference: arXiv:2508.11800, section 4, carried to every strictly proper rule.

    Example:
        >>> float(std_slope(0.75, 0.125))
        4.0
    """
    truth, delta = np.asarray(p, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    return np.asarray((2.0 * truth - 1.0) / delta)


def weight(rule: str, m: ArrayLike) -> FloatArray:
    """Weight of a proper scoring rule: how much it cares about the threshold m.

    S'(m, 1) = w(m) (1 - m),  S'(m, 0) = -w(m) m

    Args:
        rule: "log", "brier" or "spherical".
        m: probabilities in (0, 1), any shape.

    Returns:
        w(m) > 0.

    Raises:
        InvalidInputError: the rule has another name.

    Edge cases: the weight of the log rule diverges at 0 and 1.
    Properties: symmetric about 1/2.
    Reference: Schervish 1989.

    Example:
        >>> float(weight("log", 0.5)), float(weight("brier", 0.5))
        (4.0, 2.0)
    """
    at = np.asarray(m, dtype=np.float64)
    if rule == "log":
        return np.asarray(1.0 / (at * (1.0 - at)))
    if rule == "brier":
        return np.full_like(at, 2.0)
    if rule == "spherical":
        return np.asarray((at**2 + (1.0 - at) ** 2) ** -1.5)
    raise unknown_name("rule", rule, ("log", "brier", "spherical"))


def _below_minus_above(policy: ArrayLike, p: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """(P, 1) the truth, and (P, K) the mass below each token minus the mass above it."""
    truth, pi = truths(p, policies(policy))
    cdf = np.cumsum(pi, axis=1)
    return truth[:, None], 2.0 * cdf - pi - cdf[:, -1:]


def pair_advantage(policy: ArrayLike, p: ArrayLike) -> FloatArray:
    """Expected advantage in groups of two divided by their standard deviation.

    E[A_hat | k] = (2 p - 1) / sqrt(2) [F(k-) - (1 - F(k))],  F the policy's cumulated probability

    Two rewards, standardized, are +-1/sqrt(2): only their order is left, which the outcome decides
    alone. Exact for every policy and every rule that grows with the stated probability under outcome 1
    and falls under outcome 0, where eps is 0 and the standard deviation has ddof = 1.

    Args:
        policy: (P, K) probabilities of tokens in ascending order of what they state, or (K,).
        p: (P,) true probabilities of outcome 1, or one.

    Returns:
        (P, K) expected advantages.

    Edge cases: p = 1/2 gives 0 for every token.
    Properties: for p > 1/2 it increases in k, so the highest token wins.
    Reference: derived here; arXiv:2508.11800 has large groups.

    Example:
        >>> pair_advantage([0.25, 0.5, 0.25], 0.75).round(4)
        array([[-0.2652,  0.    ,  0.2652]])
    """
    truth, tilt = _below_minus_above(policy, p)
    return (2.0 * truth - 1.0) / math.sqrt(2.0) * tilt


def rank_advantage(policy: ArrayLike, p: ArrayLike) -> FloatArray:
    """Expected advantage by linear ranks, from 2 for the best to -2 for the worst.

    E[A_hat | k] = 2 (2 p - 1) [F(k-) - (1 - F(k))], for every group size

    With a shared outcome the ranks of the rewards are those of the stated probabilities, or their
    reverse: ranks cannot tell a proper rule from an improper one. Exact for every policy; ties get
    average ranks.

    Args:
        policy: (P, K) probabilities of tokens in ascending order of what they state, or (K,).
        p: (P,) true probabilities of outcome 1, or one.

    Returns:
        (P, K) expected advantages.

    Edge cases: p = 1/2 gives 0 for every token.
    Properties: for p > 1/2 it increases in k, so the highest token wins.
    Reference: derived here; the ranks are those of arXiv:2602.03876.

    Example:
        >>> rank_advantage([0.25, 0.5, 0.25], 0.75)
        array([[-0.75,  0.  ,  0.75]])
    """
    truth, tilt = _below_minus_above(policy, p)
    return 2.0 * (2.0 * truth - 1.0) * tilt


def unanimous_push(p: ArrayLike, group_size: int) -> FloatArray:
    """How hard groups whose independent outcomes are all equal push, in units of 1 / spread.

    p^G - (1 - p)^G

    Where every sample has an outcome of its own, a group with both outcomes has a standard deviation
    of its own size, but in a unanimous group it comes from the stated probabilities alone and shrinks
    with their spread delta. The bias is gone only when p^G is far below delta.

    Args:
        p: true probability of outcome 1.
        group_size: G >= 2.

    Returns:
        Signed weight: positive pushes up.

    Raises:
        InvalidInputError: a group is smaller than 2.

    Edge cases: p = 1/2 gives 0; p = 1 gives 1 for every G.
    Properties: odd in p - 1/2; falls with the group size.
    Reference: derived here.

    Example:
        >>> float(unanimous_push(0.75, 2))
        0.5
    """
    if group_size < 2:
        raise InvalidInputError(f"group_size: expected at least 2, got {group_size}")
    truth = np.asarray(p, dtype=np.float64)
    return np.asarray(truth**group_size - (1.0 - truth) ** group_size)


def difficulty_amplification(successes: ArrayLike, group_size: int) -> FloatArray:
    """Advantage of a success among c successes of 0/1 rewards, divided by the standard deviation.

    sqrt((G - c)(G - 1) / (c G)); without the division it would be 1 - c/G

    Args:
        successes: c, from 1 to G, any shape.
        group_size: G >= 2.

    Returns:
        Advantage of each success (ddof = 1, eps = 0).

    Raises:
        InvalidInputError: c is not between 1 and G, or a group is smaller than 2.

    Edge cases: a group of successes only gets 0.
    Properties: falls with c: a rare success counts (G - 1) / sqrt(G).
    Reference: arXiv:2503.20783 calls it the question-level difficulty bias.

    Example:
        >>> float(difficulty_amplification(1, 16))
        3.75
    """
    if group_size < 2:
        raise InvalidInputError(f"group_size: expected at least 2, got {group_size}")
    c = np.asarray(successes, dtype=np.float64)
    if not ((c >= 1.0) & (c <= group_size)).all():
        raise InvalidInputError(f"successes: expected values from 1 to {group_size}, got {c}")
    return np.asarray(np.sqrt((group_size - c) * (group_size - 1.0) / (c * group_size)))


def _moments(
    policy: ArrayLike, p: ArrayLike, rewards: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(P,) truth, rewards (2, K), mean and deviation (2, P, 1) of each policy; 0 becomes NaN."""
    truth, pi = truths(p, policies(policy))
    table = reward_rows(rewards, pi.shape[1])
    mean = (pi @ table.T).T[:, :, None]
    variance = np.sum(pi * (table[:, None, :] - mean) ** 2, axis=2, keepdims=True)
    return truth, table, mean, np.sqrt(np.where(variance > 0.0, variance, np.nan))


def large_group_advantage(policy: ArrayLike, p: ArrayLike, rewards: ArrayLike) -> FloatArray:
    """Limit of the expected advantage divided by the standard deviation as groups grow.

    E[A_hat | k] -> p (R[1, k] - mu_1) / sigma_1 + (1 - p) (R[0, k] - mu_0) / sigma_0

    Args:
        policy: (P, K) probabilities, or (K,).
        p: (P,) true probabilities of outcome 1, or one.
        rewards: (2, K) finite, row a for outcome a.

    Returns:
        (P, K) expected advantages for infinite groups and eps = 0.

    Edge cases: a policy whose rewards do not vary has no limit and gets NaN.
    Properties: sums to zero under the policy.
    Reference: arXiv:2508.11800, section 4.

    Example:
        >>> large_group_advantage([0.5, 0.5], 0.75, [[0.0, -4.0], [-4.0, 0.0]])
        array([[-0.5,  0.5]])
    """
    truth, table, mean, deviation = _moments(policy, p, rewards)
    zero, one = (table[:, None, :] - mean) / deviation
    return truth[:, None] * one + (1.0 - truth[:, None]) * zero


def effective_probability(policy: ArrayLike, p: ArrayLike, rewards: ArrayLike) -> FloatArray:
    """The truth for which the true advantage would be proportional to the large-group one.

    p_eff = (p / sigma_1) / (p / sigma_1 + (1 - p) / sigma_0)

    Args:
        policy: (P, K) probabilities, or (K,).
        p: (P,) true probabilities of outcome 1, or one.
        rewards: (2, K) finite, row a for outcome a.

    Returns:
        (P,) probabilities that the updates of large standardized groups aim at.

    Edge cases: a policy whose rewards do not vary gets NaN.
    Properties: tends to `aimed_probability` as the policy narrows, for every strictly proper rule.
    Reference: arXiv:2508.11800, section 4.

    Example:
        >>> effective_probability([0.5, 0.5], 0.75, [[0.0, -1.0], [-2.0, 0.0]])
        array([0.6])
    """
    truth, _, _, deviation = _moments(policy, p, rewards)
    one, zero = truth / deviation[1, :, 0], (1.0 - truth) / deviation[0, :, 0]
    return np.asarray(one / (one + zero))
