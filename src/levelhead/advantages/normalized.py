"""Advantages that divide by a standard deviation: of the group, of the others, or of the batch.

What the deviation depends on decides everything. Divided by a statistic of the same group, whose
members share an outcome, a proper scoring rule loses its optimum and predictions drift to the
extremes. Divided by a statistic of many groups (or of earlier visits, see `EmaStd`), which one
outcome hardly enters, the advantage is only rescaled.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray
from levelhead.advantages._groups import (
    EPS,
    ROUNDING,
    centered,
    constant,
    ddof_or_error,
    eps_or_error,
    grouped,
    spread,
    total_spread,
)
from levelhead.advantages._table import Estimator

__all__ = ["batch_std", "grpo", "loo_std", "reinforce_pp"]


def grpo(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    ddof: int = 1,
    eps: float = EPS,
) -> FloatArray:
    """A reward minus the mean of its group, divided by the group's standard deviation.

    A_i = (r_i - mean r) / (std r + eps)

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        ddof: 1 divides the squares by G - 1, as torch does; 0 by G.
        eps: >= 0, in the unit of `rewards`: 1e-6 in verl, 1e-4 in TRL, 1e-8 in the code of
            understand-r1-zero, 1e-5 in the notebook of arXiv:2508.11800. Far above the standard
            deviation it turns GRPO into `grpo_no_std` / eps.

    Returns:
        (N,) float64 without a unit, at most (G - 1) / sqrt(G) in size for ddof = 1; sums to zero
        within each group.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or an option outside its
            range.

    Edge cases: a group with fewer than two rewards that count gets 0; so does a constant one, also
        where its rewards differ by a float32's rounding (a range of at most 2**-22 of the largest);
        what cannot be scored gets 0 and is in no statistic. With G = 2 only the sign is left.
    Properties: per group; centered; biased: under a proper scoring rule with a shared outcome
        predictions drift to the extremes; with 0/1 rewards, groups with a rare outcome count more.
    Reference: Shao et al. 2024 (arXiv:2402.03300); the bias: Bereket and Leskovec 2025
        (arXiv:2508.11800).

    Example:
        >>> grpo([1.0, 0.0, 0.0, 0.0], [7, 7, 7, 7], eps=0.0)
        array([ 1.5, -0.5, -0.5, -0.5])
    """
    ddof, eps = ddof_or_error(ddof), eps_or_error(eps)
    return grouped(rewards, groups, valid).apply(lambda block: _grpo(block, ddof, eps))


def _grpo(block: FloatArray, ddof: int = 1, eps: float = EPS) -> FloatArray:
    deviations = centered(block)
    scale = spread(deviations, ddof) + eps
    scale[constant(block)] = np.inf
    scale[scale == 0.0] = np.inf  # squares of less than 1e-160 vanish
    deviations /= scale[:, None]
    return deviations


def batch_std(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    ddof: int = 1,
    eps: float = EPS,
) -> FloatArray:
    """A reward minus the mean of its group, divided by the standard deviation of the batch.

    A_i = (r_i - mean_g r) / (std_batch r + eps)

    The standard deviation is that of all rewards that count, so it contains what groups differ by.

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        ddof: 1 divides the squares by the number of rewards minus 1, 0 by the number.
        eps: >= 0, in the unit of `rewards`.

    Returns:
        (N,) float64 without a unit; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or an option outside its
            range.

    Edge cases: a group with fewer than two rewards that count, or a constant one, gets 0, but its
        rewards are part of the batch; so does everything in a batch that is constant up to a
        float32's rounding; what cannot be scored gets 0. A batch of one group is `grpo`.
    Properties: per batch; centered; proportional in the limit of many groups, where the deviation no
        longer depends on one outcome.
    Reference: TRL's `scale_rewards="batch"`; Hu et al. 2025 (arXiv:2501.03262), the variant with a
        group baseline, which takes the deviation after the means are subtracted.

    Example:
        >>> batch_std([1.0, 0.0, 3.0, 2.0], [7, 7, 8, 8], eps=0.0).round(4)
        array([ 0.3873, -0.3873,  0.3873, -0.3873])
    """
    ddof, eps = ddof_or_error(ddof), eps_or_error(eps)
    layout = grouped(rewards, groups, valid)
    return _by_batch(layout.apply(centered), layout.values(), ddof, eps)


def _by_batch(numerator: FloatArray, values: FloatArray, ddof: int, eps: float) -> FloatArray:
    scale = total_spread(values, ddof)
    return numerator / (scale + eps) if scale > 0.0 else np.zeros_like(numerator)


def _batch_std(block: FloatArray) -> FloatArray:
    return _by_batch(centered(block), block.ravel(), 1, EPS)


def reinforce_pp(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    ddof: int = 1,
    eps: float = EPS,
) -> FloatArray:
    """Rewards whitened over the batch: minus its mean, divided by its standard deviation.

    A_i = (r_i - mean_batch r) / (std_batch r + eps)

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order; checked, and otherwise without effect.
        valid: (N,) booleans, False for what must not count, or None.
        ddof: 1 divides the squares by the number of rewards minus 1, 0 by the number.
        eps: >= 0, in the unit of `rewards`.

    Returns:
        (N,) float64 without a unit; sums to zero over the batch.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or an option outside its
            range.

    Edge cases: no statistic of a group enters, so a group of one and a constant group are whitened
        like any other; a batch of one reward, or one that is constant up to a float32's rounding,
        gets 0; what cannot be scored gets 0 and is in no statistic.
    Properties: per batch; not centered within groups; proportional in the limit of many rewards, with
        a bias of order 1 / N, as the own reward is in the mean; more variance than a group's baseline.
    Reference: Hu et al. 2025 (arXiv:2501.03262); token weights of a loss are not part of it.

    Example:
        >>> reinforce_pp([1.0, 0.0, 3.0, 2.0], [7, 7, 8, 8], eps=0.0).round(4)
        array([-0.3873, -1.1619,  1.1619,  0.3873])
    """
    ddof, eps = ddof_or_error(ddof), eps_or_error(eps)
    layout = grouped(rewards, groups, valid)
    values = layout.values()
    whitened = _whitened(values, ddof, eps)
    if layout.scorable is None:
        return whitened
    out = np.zeros(layout.rewards.size)
    out[layout.scorable] = whitened
    return out


def _whitened(values: FloatArray, ddof: int, eps: float) -> FloatArray:
    if values.size == 0:
        return np.zeros(0)
    return _by_batch(centered(values.reshape(1, -1))[0], values, ddof, eps)


def _reinforce_pp(block: FloatArray) -> FloatArray:
    return _whitened(block.ravel(), 1, EPS).reshape(block.shape)


def loo_std(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    ddof: int = 1,
    eps: float = EPS,
) -> FloatArray:
    """A reward minus the mean of the others, divided by the standard deviation of the others.

    A_i = (r_i - mean_{j != i} r_j) / (std_{j != i} r_j + eps)

    Where the others are equal they say nothing about the scale, and the deviation is left undivided:
    A_i = r_i - mean_{j != i} r_j. Divided by eps it would be a million for one success among failures.

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        ddof: 1 divides the squares of the G - 1 others by G - 2, 0 by G - 1.
        eps: >= 0, in the unit of `rewards`.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: lengths that differ, a reward that is infinite, or an option outside its
            range.

    Edge cases: "equal" is up to a float32's rounding (a range of at most 2**-22 of the largest of the
        others); with G = 2 there is one other, and the result is `rloo`; a group with fewer than two
        rewards that count, or a constant one up to that rounding, gets 0; what cannot be scored
        gets 0.
    Properties: per group; not centered; biased: it takes away the influence of the own reward, not
        that of the shared outcome, so predictions still drift to the extremes.
    Reference: NeMo-RL with leave-one-out baseline and normalized rewards (its issue 1518 and pull
        requests 1519, 4158 and 4161 on how that explodes).

    Example:
        >>> loo_std([0.0, 1.0, 3.0, 1.0], [7, 7, 7, 7], eps=0.0).round(4)
        array([-1.4434, -0.2182,  4.0415, -0.2182])
    """
    ddof, eps = ddof_or_error(ddof), eps_or_error(eps)
    return grouped(rewards, groups, valid).apply(lambda block: _loo_std(block, ddof, eps))


def _loo_std(block: FloatArray, ddof: int = 1, eps: float = EPS) -> FloatArray:
    size = block.shape[1]
    deviations = centered(block) * (size / (size - 1))
    deviations[constant(block)] = 0.0
    if size == 2:
        return deviations
    squares, same = _others(block)
    scale = np.sqrt(squares / (size - 1 - ddof)) + eps
    scale[same | (scale == 0.0)] = 1.0
    return deviations / scale


_Moments = tuple[IntArray, FloatArray, FloatArray]
"""Of sets of samples, one for each of M rows in B groups at once: how many (M,), their mean and their
summed squared deviations (M, B). A set of none has the mean 0."""


def _others(block: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Of the others of each sample: their summed squared deviations, and whether they are equal.

    Sets of neighbors are merged two by two up to halves; then, from the halves down, those outside of
    a set are those outside of the set it came from and its twin. The own share is never subtracted
    from a sum over the whole group, which would cancel.
    """
    columns = np.ascontiguousarray(block.T)
    size = columns.shape[0]
    levels: list[_Moments] = []
    sets = np.ones(size, np.int64), columns, np.zeros_like(columns)
    while sets[0].size > 2:
        if sets[0].size % 2:
            sets = _with_empty(sets)
        levels.append(sets)
        sets = _merged(_every_second(sets, 0), _every_second(sets, 1))
    outside: _Moments = (sets[0][::-1], sets[1][::-1], sets[2][::-1])
    for level in reversed(levels):
        half = level[0].size // 2
        outside = (outside[0][:half], outside[1][:half], outside[2][:half])  # no twin of nothing
        left = _merged(outside, _every_second(level, 1))
        right = _merged(outside, _every_second(level, 0))
        outside = (
            np.stack([left[0], right[0]], axis=1).reshape(-1),
            np.stack([left[1], right[1]], axis=1).reshape(level[1].shape),
            np.stack([left[2], right[2]], axis=1).reshape(level[2].shape),
        )
    low, high = _lowest_other(columns), -_lowest_other(-columns)
    same = high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return outside[2][:size].T, same.T


def _merged(a: _Moments, b: _Moments) -> _Moments:
    """Of the unions, row by row. Everything added is a square, so nothing cancels."""
    count = a[0] + b[0]
    share = (b[0] / np.maximum(count, 1))[:, None]
    apart = b[1] - a[1]
    mean = apart * share
    mean += a[1]
    apart *= apart
    apart *= a[0][:, None] * share
    apart += a[2]
    apart += b[2]
    return count, mean, apart


def _every_second(sets: _Moments, first: int) -> _Moments:
    return sets[0][first::2], sets[1][first::2], sets[2][first::2]


def _with_empty(sets: _Moments) -> _Moments:
    """One more set, of no samples."""
    nothing = np.zeros((1, sets[1].shape[1]))
    return (
        np.append(sets[0], 0),
        np.concatenate([sets[1], nothing]),
        np.concatenate([sets[2], nothing]),
    )


def _lowest_other(columns: FloatArray) -> FloatArray:
    """(G, B) the smallest of the others."""
    place = columns.argmin(axis=0)
    every: IntArray = np.arange(columns.shape[1], dtype=np.int64)
    rest = columns.copy()
    rest[place, every] = np.inf
    out = np.empty_like(columns)
    out[:] = columns[place, every]
    out[place, every] = rest.min(axis=0)
    return out


BATCH_STD = Estimator(
    name="batch_std",
    function=batch_std,
    dense=_batch_std,
    scope="batch",
    gradient="proportional",
    factor=None,
    centered=True,
    fixed_point="truth",
    reference="TRL, scale_rewards='batch'",
)
REINFORCE_PP = Estimator(
    name="reinforce_pp",
    function=reinforce_pp,
    dense=_reinforce_pp,
    scope="batch",
    gradient="proportional",
    factor=None,
    centered=False,
    fixed_point="truth",
    reference="Hu et al. 2025 (arXiv:2501.03262)",
)
GRPO = Estimator(
    name="grpo",
    function=grpo,
    dense=_grpo,
    scope="group",
    gradient="biased",
    factor=None,
    centered=True,
    fixed_point="extremes",
    reference="Shao et al. 2024 (arXiv:2402.03300)",
)
LOO_STD = Estimator(
    name="loo_std",
    function=loo_std,
    dense=_loo_std,
    scope="group",
    gradient="biased",
    factor=None,
    centered=False,
    fixed_point="extremes",
    reference="NeMo-RL",
)
