"""Advantages that subtract a baseline and divide by nothing.

They keep the unit of the rewards, and the expected gradient is that of the expected reward, times a
known factor. Under a proper scoring rule they leave a policy calibrated.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, real
from levelhead.advantages._groups import centered, grouped
from levelhead.advantages._table import Estimator, group_mean_factor, one
from levelhead.errors import InvalidInputError

__all__ = ["gae", "grpo_no_std", "reinforce", "rloo", "rloo_notebook"]


def reinforce(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """The reward itself, without a baseline.

    A_i = r_i

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order; checked, and otherwise without effect.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in the unit of `rewards`.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: what cannot be scored gets 0; a group of one and a constant group get their reward,
        as no statistic of the group enters.
    Properties: per sample; not centered; unbiased, with the largest variance.
    Reference: Williams 1992.

    Example:
        >>> reinforce([1.0, 0.0, float("nan")], [7, 7, 7])
        array([1., 0., 0.])
    """
    layout = grouped(rewards, groups, valid)
    return layout.scattered([_reinforce(dense) for dense in layout.dense()])


def _reinforce(block: FloatArray) -> FloatArray:
    return block.copy()


def rloo(rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None) -> FloatArray:
    """Leave-one-out advantage: a reward minus the mean of the others in its group.

    A_i = r_i - sum_{j in g(i), j != i} r_j / (G - 1) = (r_i - mean r) G / (G - 1)

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in the unit of `rewards`; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: a group with fewer than two rewards that count, or a constant one, gets 0; what cannot
        be scored gets 0 and is in nobody's baseline.
    Properties: per group; centered; unbiased: E[A_i | own sample] is the true advantage.
    Reference: Kool et al. 2019; Ahmadian et al. 2024 (arXiv:2402.14740).

    Example:
        >>> rloo([1.0, 0.0, 1.0], [7, 7, 7])
        array([ 0.5, -1. ,  0.5])
    """
    return grouped(rewards, groups, valid).apply(_rloo)


def _rloo(block: FloatArray) -> FloatArray:
    size = block.shape[1]
    deviations = centered(block)
    deviations *= size / (size - 1)
    return deviations


def grpo_no_std(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """A reward minus the mean of its group: GRPO without its standard deviation.

    A_i = r_i - mean r

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in the unit of `rewards`; sums to zero within each group.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: a group with fewer than two rewards that count, or a constant one, gets 0; what cannot
        be scored gets 0 and is in no mean.
    Properties: per group; centered; proportional with factor (G - 1) / G. Groups of different sizes
        therefore count differently; `rloo` does not have that.
    Reference: Liu et al. 2025 (arXiv:2503.20783), the advantage of Dr. GRPO.

    Example:
        >>> grpo_no_std([1.0, 0.0, 1.0, 0.0], [7, 7, 7, 7])
        array([ 0.5, -0.5,  0.5, -0.5])
    """
    return grouped(rewards, groups, valid).apply(centered)


def rloo_notebook(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """A reward minus the sum of the others divided by G, as in a published notebook.

    A_i = r_i - sum_{j in g(i), j != i} r_j / G = r_i - mean r + r_i / G

    Its baseline does not contain the own reward, so the gradient is unbiased; it is too small by the
    factor (G - 1) / G, so E[A_i] is the true advantage plus V / G, V the expected reward.

    Args:
        rewards: (N,) finite, or NaN (cannot be scored); any unit, higher is better.
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.

    Returns:
        (N,) float64 in the unit of `rewards`.

    Raises:
        InvalidInputError: lengths that differ, or a reward that is infinite.

    Edge cases: a constant group gets r / G; a group of one keeps its reward, as the sum over no
        others is 0; what cannot be scored gets 0.
    Properties: per group; not centered; unbiased, with more variance than `rloo`.
    Reference: Bereket and Leskovec 2025 (arXiv:2508.11800), the synthetic experiment's code.

    Example:
        >>> rloo_notebook([1.0, 0.0, 1.0, 0.0], [7, 7, 7, 7])
        array([ 0.75, -0.5 ,  0.75, -0.5 ])
    """
    layout = grouped(rewards, groups, valid)
    return layout.scattered([_rloo_notebook(dense) for dense in layout.dense()])


def _rloo_notebook(block: FloatArray) -> FloatArray:
    return centered(block) + block / block.shape[1]


def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    gamma: float = 1.0,
    lam: float = 1.0,
) -> FloatArray:
    """Generalized advantage estimation over the tokens of each sequence.

    A_t = sum_{l >= 0} (gamma lam)^l delta_{t+l},  delta_t = r_t + gamma V_{t+1} - V_t

    Time is counted in tokens that count: t + 1 is the next one under the mask, and V is 0 after the
    last. Padding on either side and tokens that the policy did not write (the output of a tool) are
    skipped: the sum is carried through them undiscounted.

    Args:
        rewards: (N, T) finite rewards of tokens; what is masked is not read.
        values: (N, T) finite values V(s_t) of a critic, in the unit of `rewards`.
        mask: (N, T) booleans (or 0 and 1), True where a token counts, or None for all.
        gamma: in [0, 1], discount.
        lam: in [0, 1]; 1 takes the whole return, 0 the one-step error.

    Returns:
        (N, T) float64, 0 where the mask is False.

    Raises:
        InvalidInputError: shapes that differ, a number that is not finite where the mask is True, or
            gamma or lam outside [0, 1].

    Edge cases: a sequence without a token that counts gets 0; a reward on a masked token is lost, so
        put the reward of a sequence on its last token that counts.
    Properties: per token; for gamma = lam = 1 the reward to go minus V(s_t), unbiased for any V; biased
        for lam < 1 unless V is exact.
    Reference: Schulman et al. 2016 (arXiv:1506.02438).

    Example:
        >>> gae([[0.0, 0.0, 1.0]], [[0.5, 0.25, 0.75]])
        array([[0.5 , 0.75, 0.25]])
    """
    r, v, counts = _sequences(rewards, values, mask)
    for name, number in (("gamma", gamma), ("lam", lam)):
        if not 0.0 <= real(name, number) <= 1.0:
            raise InvalidInputError(f"{name}: expected a number in [0, 1], got {number}")
    out = np.zeros_like(r)
    after, following = np.zeros(r.shape[0]), np.zeros(r.shape[0])
    for t in range(r.shape[1] - 1, -1, -1):
        here = counts[:, t]
        error = r[:, t] + gamma * following - v[:, t]
        after = np.where(here, error + gamma * lam * after, after)
        following = np.where(here, v[:, t], following)
        out[:, t] = np.where(here, after, 0.0)
    return out


def _sequences(
    rewards: ArrayLike, values: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    r, v = _matrix("rewards", rewards), _matrix("values", values)
    if v.shape != r.shape:
        raise InvalidInputError(f"values: expected shape {r.shape} as rewards have, got {v.shape}")
    counts = np.ones(r.shape, dtype=np.bool_) if mask is None else np.asarray(mask)
    if counts.shape != r.shape:
        raise InvalidInputError(
            f"mask: expected shape {r.shape} as rewards have, got {counts.shape}"
        )
    if not np.isin(counts, (0, 1)).all():
        raise InvalidInputError("mask: expected only 0 and 1 (1 counts), got other numbers")
    counts = counts.astype(np.bool_)
    for name, array in (("rewards", r), ("values", v)):
        bad = counts & ~np.isfinite(array)
        if bad.any():
            row, t = (int(i) for i in np.argwhere(bad)[0])
            raise InvalidInputError(
                f"{name}: expected finite numbers where the mask is 1, got {array[row, t]} in row "
                f"{row} at token {t}"
            )
    return np.where(counts, r, 0.0), np.where(counts, v, 0.0), counts


def _matrix(name: str, values: ArrayLike) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name}: expected numbers of shape (N, T)") from error
    if array.ndim != 2:
        raise InvalidInputError(f"{name}: expected shape (N, T), got {array.shape}")
    return array


REINFORCE = Estimator(
    name="reinforce",
    function=reinforce,
    dense=_reinforce,
    scope="sample",
    gradient="unbiased",
    factor=one,
    centered=False,
    fixed_point="truth",
    reference="Williams 1992",
)
RLOO = Estimator(
    name="rloo",
    function=rloo,
    dense=_rloo,
    scope="group",
    gradient="unbiased",
    factor=one,
    centered=True,
    fixed_point="truth",
    reference="Ahmadian et al. 2024 (arXiv:2402.14740)",
)
GRPO_NO_STD = Estimator(
    name="grpo_no_std",
    function=grpo_no_std,
    dense=centered,
    scope="group",
    gradient="proportional",
    factor=group_mean_factor,
    centered=True,
    fixed_point="truth",
    reference="Liu et al. 2025 (arXiv:2503.20783)",
)
RLOO_NOTEBOOK = Estimator(
    name="rloo_notebook",
    function=rloo_notebook,
    dense=_rloo_notebook,
    scope="group",
    gradient="unbiased",
    factor=one,
    centered=False,
    fixed_point="truth",
    reference="Bereket and Leskovec 2025 (arXiv:2508.11800), published code",
)
