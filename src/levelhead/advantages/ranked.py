"""Advantages from the order of a group's rewards: ranks, the first, softmax shares.

Where the members of a group share an outcome, the order of their scores is the order of their
predictions, whatever the scoring rule; what uses the order alone cannot tell a proper rule from an
improper one.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real
from levelhead.advantages._groups import (
    EPS,
    centered,
    constant,
    ddof_or_error,
    eps_or_error,
    extremes,
    grouped,
    spread,
)
from levelhead.advantages._table import Estimator
from levelhead.errors import InvalidInputError

__all__ = ["max_at_k", "pl_softmax", "pl_zscore", "rank_linear", "top1"]


def rank_linear(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """Ranks within the group, spread evenly from 2 for the best to -2 for the worst.

    A_i = 2 - 4 (rank_i - 1) / (G - 1), rank 1 the highest reward, equal rewards their average rank

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in [-2, 2]; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: a group with fewer than two rewards that count gets 0; so does a constant one, also
        where its rewards differ by a float32's rounding (a range of at most 2**-22 of the largest);
        what cannot be scored gets 0 and has no rank.
    Properties: per group; centered; unchanged by every increasing transformation of the rewards;
        biased: with a shared outcome E[A] = 2 (2p - 1) (F(k-) - (1 - F(k))) for any scoring rule,
        F the policy's distribution function, so predictions go to the extremes.
    Reference: group ordinal policy optimization (arXiv:2602.03876).

    Example:
        >>> rank_linear([0.9, 0.1, 0.5, 0.5, 0.2], [7, 7, 7, 7, 7])
        array([ 2. , -2. ,  0.5,  0.5, -1. ])
    """
    return grouped(rewards, groups, valid).apply(_rank_linear)


def _rank_linear(block: FloatArray) -> FloatArray:
    size = block.shape[1]
    out = _above_minus_below(block) * (-2.0 / (size - 1))
    out[constant(block)] = 0.0
    return out + 0.0  # no negative zeros


def _above_minus_below(block: FloatArray) -> FloatArray:
    """How many of the group are higher, minus how many are lower: 2 rank - (G + 1)."""
    order = np.argsort(block, axis=1, kind="stable")
    ordered = np.take_along_axis(block, order, axis=1)
    size = block.shape[1]
    place: IntArray = np.arange(size, dtype=np.int64)
    new = np.ones(block.shape, dtype=np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.ones(block.shape, dtype=np.bool_)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, place, size)[:, ::-1], axis=1)[:, ::-1]
    out = np.empty(block.shape)
    np.put_along_axis(out, order, (size - 1.0 - last) - first, axis=1)
    return out


def top1(rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None) -> FloatArray:
    """One for the first in the group, shared by those who tie, minus the chance of a draw by lot.

    A_i = 1[r_i = max r] / #{j: r_j = max r} - 1 / G

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in [-1 / G, 1 - 1 / G]; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: a group with fewer than two rewards that count gets 0; so does a constant one, also
        where its rewards differ by a float32's rounding (a range of at most 2**-22 of the largest);
        what cannot be scored gets 0 and is no opponent.
    Properties: per group; centered; unbiased for the probability of being first among frozen
        opponents, not for the expected reward: a policy becomes a lottery between both ends, whose
        mean looks calibrated while no single prediction is.
    Reference: the limit of `pl_softmax` for tau -> 0.

    Example:
        >>> top1([0.9, 0.1, 0.9, 0.5], [7, 7, 7, 7])
        array([ 0.25, -0.25,  0.25, -0.25])
    """
    return grouped(rewards, groups, valid).apply(_top1)


def _top1(block: FloatArray) -> FloatArray:
    best = (block == extremes(block)[1][:, None]).astype(np.float64)
    out = best / np.einsum("ij->i", best)[:, None] - 1.0 / block.shape[1]
    out[constant(block)] = 0.0
    return out


def pl_softmax(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    tau: float = 1.0,
) -> FloatArray:
    """The probability of being ranked first by Plackett-Luce at a fixed temperature, minus 1 / G.

    A_i = exp(r_i / tau) / sum_j exp(r_j / tau) - 1 / G

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        tau: > 0, temperature in the unit of `rewards`; about 1 or more for log and Brier scores.

    Returns:
        (N,) float64 in [-1 / G, 1 - 1 / G]; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or a tau that is not above 0.

    Edge cases: a group with fewer than two rewards that count, or a constant one, gets 0; what cannot
        be scored gets 0 and is no opponent.
    Properties: per group; centered; bounded influence; unbiased for the probability of being first
        among frozen opponents, near a concentrated policy proportional to the gradient of the expected
        reward. With the log score and tau = 1 it is a share of a parimutuel pool, which is calibrated;
        small tau gives the lottery of `top1`.
    Reference: Luce 1959; Plackett 1975.

    Example:
        >>> pl_softmax([0.0, 0.0, np.log(2.0)], [7, 7, 7]).round(4)
        array([-0.0833, -0.0833,  0.1667])
    """
    if not 0.0 < real("tau", tau) < np.inf:
        raise InvalidInputError(f"tau: expected a finite number above 0, got {tau}")
    return grouped(rewards, groups, valid).apply(lambda block: _pl_softmax(block, tau))


def _pl_softmax(block: FloatArray, tau: float = 1.0) -> FloatArray:
    with np.errstate(over="ignore"):  # -inf is as good as -1e308 here
        weights = np.exp((block - extremes(block)[1][:, None]) / tau)
    weights /= np.einsum("ij->i", weights)[:, None]
    weights -= 1.0 / block.shape[1]
    return weights


def pl_zscore(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    ddof: int = 1,
    eps: float = EPS,
) -> FloatArray:
    """The probability of being ranked first by Plackett-Luce on standardized rewards, minus 1 / G.

    A_i = exp(z_i) / sum_j exp(z_j) - 1 / G,  z_i = (r_i - mean r) / (std r + eps)

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        ddof: 1 divides the squares by G - 1, 0 by G.
        eps: >= 0, in the unit of `rewards`.

    Returns:
        (N,) float64 in [-1 / G, 1 - 1 / G]; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or an option outside its
            range.

    Edge cases: a group with fewer than two rewards that count gets 0; so does a constant one, also
        where its rewards differ by a float32's rounding (a range of at most 2**-22 of the largest);
        what cannot be scored gets 0 and is no opponent.
    Properties: per group; centered; biased: the temperature depends on the shared outcome, as the
        divisor of `grpo` does.
    Reference: Plackett 1975, on the advantages of arXiv:2402.03300.

    Example:
        >>> pl_zscore([1.0, 0.0, 0.0, 0.0], [7, 7, 7, 7], eps=0.0).round(4)
        array([ 0.4612, -0.1537, -0.1537, -0.1537])
    """
    ddof, eps = ddof_or_error(ddof), eps_or_error(eps)
    return grouped(rewards, groups, valid).apply(lambda block: _pl_zscore(block, ddof, eps))


def _pl_zscore(block: FloatArray, ddof: int = 1, eps: float = EPS) -> FloatArray:
    deviations = centered(block)
    scale = spread(deviations, ddof) + eps
    scale[constant(block) | (scale == 0.0)] = np.inf
    return _pl_softmax(deviations / scale[:, None])


def max_at_k(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """What the best of the group adds to the second best; nothing for the others.

    A_i = (r_(1) - r_(2)) 1[r_i = r_(1)],  r_(1) >= r_(2) >= ... the ordered rewards of the group

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 >= 0 in the unit of `rewards`.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: equal best rewards get 0, as none of them adds anything; so do a constant group and one
        with fewer than two rewards that count; what cannot be scored gets 0.
    Properties: per group; not centered; summed over the group unbiased for E[max r], k the group's
        size, with the maximum of the others as the baseline; not for the expected reward, and not
        calibrated by design.
    Reference: Tang et al. 2025 (arXiv:2503.19595); verl divides it by the group's deviation
        (`grpo_passk`).

    Example:
        >>> max_at_k([0.5, 2.0, 1.0], [7, 7, 7])
        array([0., 1., 0.])
    """
    return grouped(rewards, groups, valid).apply(_max_at_k)


def _max_at_k(block: FloatArray) -> FloatArray:
    best = block.argmax(axis=1)[:, None]
    two = np.partition(block, block.shape[1] - 2, axis=1)[:, -2:]
    out = np.zeros(block.shape)
    np.put_along_axis(out, best, (two[:, 1] - two[:, 0])[:, None], axis=1)
    return out


RANK_LINEAR = Estimator(
    name="rank_linear",
    function=rank_linear,
    dense=_rank_linear,
    scope="group",
    gradient="biased",
    factor=None,
    centered=True,
    fixed_point="extremes",
    reference="arXiv:2602.03876",
)
TOP1 = Estimator(
    name="top1",
    function=top1,
    dense=_top1,
    scope="group",
    gradient="other",
    factor=None,
    centered=True,
    fixed_point="lottery",
    reference="Plackett 1975, temperature 0",
)
PL_SOFTMAX = Estimator(
    name="pl_softmax",
    function=pl_softmax,
    dense=_pl_softmax,
    scope="group",
    gradient="other",
    factor=None,
    centered=True,
    fixed_point="truth",
    reference="Plackett 1975",
)
PL_ZSCORE = Estimator(
    name="pl_zscore",
    function=pl_zscore,
    dense=_pl_zscore,
    scope="group",
    gradient="biased",
    factor=None,
    centered=True,
    fixed_point="extremes",
    reference="Plackett 1975, on standardized rewards",
)
MAX_AT_K = Estimator(
    name="max_at_k",
    function=max_at_k,
    dense=_max_at_k,
    scope="group",
    gradient="other",
    factor=None,
    centered=False,
    fixed_point="none",
    reference="arXiv:2503.19595",
)
