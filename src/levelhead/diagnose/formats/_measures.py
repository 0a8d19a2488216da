"""How many formats there are: shares, entropy, effective number, distance from the start."""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, unmasked, vector
from levelhead.errors import InvalidInputError

__all__ = [
    "COLLAPSED",
    "collapse_step",
    "effective_number",
    "entropy",
    "jensen_shannon",
    "kl_divergence",
    "kl_optimum",
    "replicator_step",
]

COLLAPSED = 0.1
"""Share of the start's diversity, N_eff - 1, at which it counts as gone."""

IN_A_ROW = 3
"""Evaluations in a row for which it must be."""


def entropy(counts: ArrayLike, *, correct: bool = True) -> FloatArray:
    """Entropy of the formats in nats.

    `H = -sum_f p_f ln p_f + (F_seen - 1) / (2 n)`; the last term is Miller and Madow's correction of
    the plug-in's bias, which is downward.

    Args:
        counts: (..., F) counts >= 0, or shares with `correct=False`.
        correct: whether to correct.

    Returns:
        (...) nats; NaN where all counts are 0.

    Raises:
        InvalidInputError: a count is negative or not finite.

    Edge cases: one format alone has entropy 0.

    Reference: G. A. Miller (1955), Note on the bias of information estimates.

    Example:
        >>> float(entropy([50, 30, 20], correct=False).round(4))
        1.0297
    """
    c = _counts(counts)
    n = c.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = c / n[..., None]
        terms = np.where(p > 0.0, p * np.log(p), 0.0)
        bias = (np.count_nonzero(c, axis=-1) - 1) / (2.0 * n) if correct else 0.0
        found = np.maximum(-terms.sum(axis=-1), 0.0) + bias
    return np.where(n > 0.0, found, np.nan)


def effective_number(counts: ArrayLike, *, correct: bool = True) -> FloatArray:
    """How many formats of equal share would have the same entropy: `N_eff = e^H`.

    Args:
        counts: (..., F) counts >= 0, or shares with `correct=False`.
        correct: whether the entropy is corrected as in `entropy`.

    Returns:
        (...) numbers from 1; NaN where all counts are 0.

    Raises:
        InvalidInputError: a count is negative or not finite.

    Example:
        >>> float(effective_number([0.97, 0.02, 0.01], correct=False).round(2))
        1.17
    """
    return np.exp(entropy(counts, correct=correct))


def jensen_shannon(counts: ArrayLike, start: ArrayLike) -> FloatArray:
    """Jensen-Shannon divergence from the start in nats.

    `JS = (KL(P || M) + KL(P0 || M)) / 2` with `M = (P + P0) / 2`.

    Args:
        counts: (..., F) counts now.
        start: (F,) counts at the start.

    Returns:
        (...) numbers from 0 to ln 2; NaN where all counts are 0.

    Raises:
        InvalidInputError: a count is negative or not finite, or the lengths differ.

    Edge cases: a format that the start does not have but `counts` has somewhere counts as half a
        sample at the start.

    Example:
        >>> float(jensen_shannon([[0, 10]], [10, 10])[0].round(3))
        0.216
    """
    c, c0 = _counts(counts), _counts(start)
    if c0.ndim != 1 or c.shape[-1] != c0.size:
        raise InvalidInputError(f"start: expected shape ({c.shape[-1]},), got {c0.shape}")
    seen = (c > 0.0).reshape(-1, c0.size).any(axis=0)
    c0 = np.where(seen & (c0 == 0.0), 0.5, c0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = c / c.sum(axis=-1, keepdims=True), c0 / c0.sum()
    middle = (p + q) / 2.0
    return np.maximum(_kl(p, middle) + _kl(np.broadcast_to(q, p.shape), middle), 0.0) / 2.0


def kl_divergence(shares: ArrayLike, reference: ArrayLike) -> float:
    """`KL(P || Q) = sum_f p_f ln(p_f / q_f)` in nats.

    Args:
        shares: (F,) shares, or counts.
        reference: (F,) those to compare with.

    Returns:
        A number >= 0; infinite where the reference lacks a format that `shares` has.

    Raises:
        InvalidInputError: a share is negative or not finite, or the lengths differ.

    Example:
        >>> round(kl_divergence([0.97, 0.02, 0.01], [0.5, 0.3, 0.2]), 3)
        0.559
    """
    p, q = _shares("shares", shares), _shares("reference", reference)
    if p.size != q.size:
        raise InvalidInputError(f"reference: expected {p.size} shares, got {q.size}")
    return float(_kl(p, q))


def kl_optimum(start: ArrayLike, accuracy: ArrayLike, beta: float) -> FloatArray:
    """What reward against a KL penalty settles at: `pi_f ~ pi0_f e^(a_f / beta)`.

    Args:
        start: (F,) shares of the reference policy.
        accuracy: (F,) expected reward of each format.
        beta: weight of the KL penalty, > 0.

    Returns:
        (F,) shares.

    Raises:
        InvalidInputError: lengths differ, or beta is not above 0.

    Properties: the format of the highest accuracy wins as beta falls, whatever its initial share.

    Example:
        >>> p = kl_optimum([0.5, 0.3, 0.2], [0.5, 0.6, 0.55], 0.1)
        >>> float(effective_number(p, correct=False).round(2))
        2.81
    """
    p, a = _shares("start", start), vector("accuracy", accuracy)
    beta = real("beta", beta)
    if a.size != p.size:
        raise InvalidInputError(f"accuracy: expected {p.size} values, got {a.size}")
    if not beta > 0.0:
        raise InvalidInputError(f"beta: expected a number above 0, got {beta}")
    with np.errstate(divide="ignore"):
        logit = np.log(p) + a / beta
    tilted = np.exp(logit - logit.max())
    return tilted / tilted.sum()


def replicator_step(shares: ArrayLike, accuracy: ArrayLike, rate: float) -> FloatArray:
    """One step of `d ln pi_f / dt = a_f - mean a`, exact for constant accuracies.

    Args:
        shares: (F,) shares now.
        accuracy: (F,) expected reward of each format.
        rate: length of the step, >= 0.

    Returns:
        (F,) shares afterwards: `pi_f e^(rate a_f)`, normalized.

    Raises:
        InvalidInputError: lengths differ, or the rate is negative.

    Properties: equal accuracies move nothing; what moves shares then is drift.

    Example:
        >>> replicator_step([0.5, 0.5], [1.0, 0.0], 0.0)
        array([0.5, 0.5])
    """
    rate = real("rate", rate)
    if not rate >= 0.0:
        raise InvalidInputError(f"rate: expected a number >= 0, got {rate}")
    if rate == 0.0:
        return _shares("shares", shares)
    return kl_optimum(shares, accuracy, 1.0 / rate)


def collapse_step(
    steps: ArrayLike, numbers: ArrayLike, *, start: float | None = None
) -> int | None:
    """The first step from which formats count as collapsed.

    The first of three evaluations in a row with `N_eff - 1 <= 0.1 (N_eff,0 - 1)`.

    Args:
        steps: (T,) ascending.
        numbers: (T,) effective numbers of formats.
        start: that at the start; the first of `numbers` unless given.

    Returns:
        The step, or None where there is none or where the start had one format alone.

    Raises:
        InvalidInputError: lengths differ, or there is none.

    Example:
        >>> collapse_step([0, 10, 20, 30, 40], [2.8, 2.5, 1.17, 1.1, 1.1])
        20
    """
    t, values = vector("steps", steps), vector("numbers", numbers)
    if t.size != values.size or not t.size:
        raise InvalidInputError(f"numbers: expected {max(t.size, 1)} values, got {values.size}")
    first = float(values[0]) if start is None else start
    if not first > 1.0:
        return None
    row = 0
    for i, value in enumerate(values):
        row = row + 1 if value - 1.0 <= COLLAPSED * (first - 1.0) else 0
        if row == IN_A_ROW:
            return int(t[i - IN_A_ROW + 1])
    return None


def pooled(counts: IntArray, steps: IntArray, least: int) -> tuple[IntArray, IntArray, IntArray]:
    """Consecutive steps put together until each point has enough samples.

    Args:
        counts: (T, F).
        steps: (T,) ascending.
        least: samples that a point needs.

    Returns:
        (B, F) counts, (B,) last step of each point, (T,) the point of each step. What is left at the
        end joins the last point.
    """
    point = np.zeros(steps.size, np.int64)
    here, b = 0, 0
    for i, n in enumerate(counts.sum(axis=1)):
        if here >= least:
            b, here = b + 1, 0
        point[i] = b
        here += int(n)
    if b and here < least:
        point[point == b] = b - 1
        b -= 1
    found = np.zeros((b + 1, counts.shape[1]), np.int64)
    np.add.at(found, point, counts)
    last = np.zeros(b + 1, np.int64)
    np.maximum.at(last, point, steps)
    return found, last, point


def _kl(p: FloatArray, q: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0.0, p * np.log(p / q), np.where(np.isnan(p), np.nan, 0.0))
    return terms.sum(axis=-1)


def _counts(values: ArrayLike) -> FloatArray:
    c = np.asarray(unmasked("counts", values), dtype=np.float64)
    if c.ndim == 0 or not c.shape[-1]:
        raise InvalidInputError(f"counts: expected shape (..., F), got {c.shape}")
    bad = ~(np.isfinite(c) & (c >= 0.0))
    if bad.any():
        raise InvalidInputError(f"counts: expected finite numbers >= 0, got {c[bad][0]}")
    return c


def _shares(name: str, values: ArrayLike) -> FloatArray:
    p = vector(name, values)
    if not p.size or not np.isfinite(p).all() or (p < 0.0).any() or not p.sum() > 0.0:
        raise InvalidInputError(f"{name}: expected shares >= 0 with a sum above 0, got {p}")
    return p / p.sum()
