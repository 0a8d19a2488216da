"""The gradient with the answer summed out, and the sampled one that it replaces.

A response is a prefix z (the reasoning) and an answer: one of K tokens, or anything else, which is
invalid. The prefix is sampled; the answer's contribution is a sum over K + 1 known probabilities, so
there is no reason to sample it too. Both estimators here are leave-one-out in the prefix.
"""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.errors import InvalidInputError
from levelhead.lab._laws import reward_rows

__all__ = ["prefix_gradient", "rb_gradient", "sampled_gradient"]

SUM_TOLERANCE = 1e-6


def prefix_gradient(
    prefix: ArrayLike, answer: ArrayLike, p: float, rewards: ArrayLike, *, floor: float
) -> tuple[FloatArray, FloatArray]:
    """Exact gradient of the expected reward in the logits of prefix and answer.

    J = sum_z pi(z) Q(z),  Q(z) = sum_k pi(k|z) q_k + pi_inv(z) floor,  q = p R[1] + (1 - p) R[0]
    dJ/dz = pi(z) (Q(z) - J),  dJ/d(z, k) = pi(z) pi(k|z) (q_k - Q(z))

    Args:
        prefix: (Z,) probabilities of the prefixes.
        answer: (Z, K) probabilities of the tokens after each prefix; what a row lacks to 1 is the
            probability of an invalid answer.
        p: true probability of outcome 1.
        rewards: (2, K) finite, row a for outcome a.
        floor: reward of an invalid answer.

    Returns:
        (Z,) for the prefix logits and (Z, K + 1) for the answer logits, the invalid one last.

    Raises:
        InvalidInputError: the probabilities are not.

    Edge cases: without invalid mass the last column is 0.
    Properties: both parts sum to zero over the logits of one softmax.
    Reference: Williams 1992.

    Example:
        >>> z, k = prefix_gradient([1.0], [[0.5, 0.25]], 1.0, [[0, 0], [1.0, 3.0]], floor=-1.0)
        >>> k
        array([[ 0. ,  0.5, -0.5]])
    """
    pz, pk, table = _model(prefix, answer, rewards, floor)
    q = p * table[1] + (1.0 - p) * table[0]
    value = pk @ q
    return pz * (value - pz @ value), pz[:, None] * pk * (q - value[:, None])


def rb_gradient(
    prefix: ArrayLike,
    answer: ArrayLike,
    rewards: ArrayLike,
    prefixes: ArrayLike,
    outcomes: ArrayLike,
    *,
    floor: float,
) -> tuple[FloatArray, FloatArray]:
    """Gradient estimate of each group from its prefixes alone, the answers summed out.

    Rbar(z, a) = sum_k pi(k|z) R[a, k] + pi_inv(z) floor
    g_z = mean_i (1[z = z_i] - pi(z)) (Rbar_i - mean_{j != i} Rbar_j)
    g_zk = mean_i 1[z = z_i] pi(k|z) (R[a, k] - Rbar(z, a))

    The probabilities of the K tokens are never renormalized: that would turn the expected reward of
    the policy into that of a policy which cannot fail.

    Args:
        prefix: (Z,) probabilities of the prefixes.
        answer: (Z, K) probabilities of the tokens after each prefix, the rest invalid.
        rewards: (2, K) finite, row a for outcome a.
        prefixes: (B, G) sampled prefixes, G >= 2 per group.
        outcomes: (B,) outcome of each group, 0 or 1.
        floor: reward of an invalid answer.

    Returns:
        (B, Z) for the prefix logits and (B, Z, K + 1) for the answer logits, the invalid one last.

    Raises:
        InvalidInputError: shapes or probabilities are wrong.

    Edge cases: with one prefix g_z is 0 and g_zk is exact given the outcome.
    Properties: unbiased; its variance is at most that of `sampled_gradient`.
    Reference: Casella and Robert 1996; arXiv:2505.21493 sums an answer out likewise.

    Example:
        >>> r = [[0.0, 0.0], [1.0, 3.0]]
        >>> z, k = rb_gradient([1.0], [[0.5, 0.25]], r, [[0, 0]], [1], floor=-1.0)
        >>> k
        array([[[ 0. ,  0.5, -0.5]]])
    """
    pz, pk, table = _model(prefix, answer, rewards, floor)
    z, a = _samples(prefixes, outcomes, pz.size)
    mean = (pk @ table.T).T  # (2, Z)
    drawn = z[:, :, None] == np.arange(pz.size)
    share = drawn.mean(axis=1)
    inside = pk * (table[:, None, :] - mean[:, :, None])  # (2, Z, K + 1)
    return _prefix_part(mean[a[:, None], z], drawn, pz), share[:, :, None] * inside[a]


def sampled_gradient(
    prefix: ArrayLike,
    answer: ArrayLike,
    rewards: ArrayLike,
    prefixes: ArrayLike,
    answers: ArrayLike,
    outcomes: ArrayLike,
    *,
    floor: float,
) -> tuple[FloatArray, FloatArray]:
    """Gradient estimate of each group from sampled prefixes and sampled answers (leave-one-out).

    A_i = r_i - mean_{j != i} r_j,  g_z = mean_i (1[z = z_i] - pi(z)) A_i,
    g_zk = mean_i 1[z = z_i] (1[k = k_i] - pi(k|z)) A_i

    Args:
        prefix: (Z,) probabilities of the prefixes.
        answer: (Z, K) probabilities of the tokens after each prefix, the rest invalid.
        rewards: (2, K) finite, row a for outcome a.
        prefixes: (B, G) sampled prefixes, G >= 2 per group.
        answers: (B, G) sampled tokens, K for an invalid answer.
        outcomes: (B,) outcome of each group, 0 or 1.
        floor: reward of an invalid answer.

    Returns:
        (B, Z) for the prefix logits and (B, Z, K + 1) for the answer logits, the invalid one last.

    Raises:
        InvalidInputError: shapes or probabilities are wrong.

    Edge cases: a group of equal rewards gives 0.
    Properties: unbiased.
    Reference: Ahmadian et al. 2024 (arXiv:2402.14740).

    Example:
        >>> r = [[0.0, 0.0], [1.0, 3.0]]
        >>> z, k = sampled_gradient([1.0], [[0.5, 0.5]], r, [[0, 0]], [[0, 1]], [1], floor=-1.0)
        >>> k
        array([[[-1.,  1.,  0.]]])
    """
    pz, pk, table = _model(prefix, answer, rewards, floor)
    z, a = _samples(prefixes, outcomes, pz.size)
    k = np.asarray(answers)
    if k.shape != z.shape or k.min() < 0 or k.max() >= pk.shape[1]:
        raise InvalidInputError(
            f"answers: expected shape {z.shape} and values from 0 to {pk.shape[1] - 1}, "
            f"got shape {k.shape}"
        )
    reward = table[a[:, None], k]
    drawn = z[:, :, None] == np.arange(pz.size)
    size = z.shape[1]
    advantage = (reward - reward.mean(axis=1, keepdims=True)) * (size / (size - 1.0))
    score = (k[:, :, None] == np.arange(pk.shape[1])) - pk[z]
    inside = np.einsum("bgz,bgk,bg->bzk", drawn, score, advantage) / size
    return _prefix_part(reward, drawn, pz), inside


def _prefix_part(reward: FloatArray, drawn: np.ndarray, pz: FloatArray) -> FloatArray:
    """Leave-one-out gradient in the prefix logits, (B, Z), from what each member earned (B, G)."""
    size = reward.shape[1]
    advantage = (reward - reward.mean(axis=1, keepdims=True)) * (size / (size - 1.0))
    return np.einsum("bgz,bg->bz", drawn - pz, advantage) / size


def _model(
    prefix: ArrayLike, answer: ArrayLike, rewards: ArrayLike, floor: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Prefix (Z,), answer with its invalid column (Z, K + 1), rewards with the floor (2, K + 1)."""
    pz = np.asarray(prefix, dtype=np.float64)
    pk = np.asarray(answer, dtype=np.float64)
    if pz.ndim != 1 or pk.ndim != 2 or pk.shape[0] != pz.size:
        raise InvalidInputError(
            f"answer: expected shape (Z, K) with Z = {pz.size} prefixes, got {pk.shape}"
        )
    invalid = 1.0 - pk.sum(axis=1)
    if pz.min() < 0.0 or abs(pz.sum() - 1.0) > SUM_TOLERANCE:
        raise InvalidInputError(f"prefix: expected probabilities that sum to 1, got {pz.tolist()}")
    if pk.min() < 0.0 or invalid.min() < -SUM_TOLERANCE:
        raise InvalidInputError(
            "answer: expected rows of probabilities that sum to at most 1, the rest being invalid"
        )
    table = reward_rows(rewards, pk.shape[1])
    full = np.concatenate([table, np.full((2, 1), float(floor))], axis=1)
    return pz, np.concatenate([pk, np.maximum(invalid, 0.0)[:, None]], axis=1), full


def _samples(
    prefixes: ArrayLike, outcomes: ArrayLike, n_prefixes: int
) -> tuple[IntArray, IntArray]:
    z, a = np.asarray(prefixes), np.asarray(outcomes)
    if z.ndim != 2 or z.shape[1] < 2 or z.min() < 0 or z.max() >= n_prefixes:
        raise InvalidInputError(
            f"prefixes: expected shape (B, G) with G >= 2 and values below {n_prefixes}, "
            f"got shape {z.shape}"
        )
    if a.shape != z.shape[:1] or not np.isin(a, (0, 1)).all():
        raise InvalidInputError(
            f"outcomes: expected {len(z)} values, 0 or 1, one per group, got shape {a.shape}"
        )
    return z.astype(np.int64), a.astype(np.int64)
