"""Where an estimator takes a policy when every update is the expected one.

The update is logits += rate x (expected advantage), mirror ascent: the step that the gradient
pi_k (A_k - mean A) takes when it is divided by pi_k. Its fixed points are those of the gradient, but for
one thing. Every policy with all its mass on one token is stationary for the plain softmax gradient,
whatever the advantages say, and training stalls near such policies; here the logits of all other tokens
still move, so the dynamics goes on to a place that it has a reason to stay at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, vector
from levelhead.errors import InvalidInputError
from levelhead.lab._laws import policies, truths
from levelhead.lab.policy import softmax

__all__ = ["FixedPoints", "fixed_points"]

STEPS = 400
RATE = 0.5  # standard deviations of the advantage under the policy, per step
LARGEST_STEP = 4.0  # of any logit, in the same unit, as far tokens lie many deviations away
DEPTH = 50.0  # logits stay within this of the highest, so that a token of 2e-22 can come back
GROW, SHRINK = 1.1, 0.5  # of the rate, after steps that agree with the last and that reverse it
TOLERANCE = 1e-6
SETTLED = 1e-3
ENDS = 0.05
TINY = 1e-300  # keeps 0 / 0 away


@dataclasses.dataclass(frozen=True)
class FixedPoints:
    """Where the expected update takes the policy, for each true probability.

    Attributes:
        p: (P,) true probabilities.
        policy: (P, K) final probabilities of the tokens.
        mean: (P,) mean stated probability.
        sd: (P,) standard deviation of the stated probability.
        mode: (P,) the stated probability with the most mass.
        at_ends: (P,) mass on the lowest and highest token and on what lies within 0.05 of 0 or 1.
        steps: (P,) updates until the policy was at rest, or all of them.
        excess: (P,) by how much the best token still exceeds the policy, in the size of the advantages.
        converged: (P,) whether that is at most a thousandth.
    """

    p: FloatArray
    policy: FloatArray
    mean: FloatArray
    sd: FloatArray
    mode: FloatArray
    at_ends: FloatArray
    steps: IntArray
    excess: FloatArray
    converged: BoolArray


def fixed_points(
    expected: Callable[[FloatArray, FloatArray], FloatArray],
    p: ArrayLike,
    values: ArrayLike,
    *,
    steps: int = STEPS,
    lr: float = RATE,
    start: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> FixedPoints:
    """Follow the expected update from a starting policy until no token is better than the policy.

    logits_k += rate (A_k - mean A) / sd A,  mean and sd of the advantage under the policy

    Divided by its deviation, the advantage of a policy that narrows stays of one size, so that a
    policy narrows at a steady rate. The rate of each policy is halved whenever a step reverses the
    last one, which settles mixtures. A policy is at rest where max_k A_k - mean A is at most
    `tolerance` times the size of the advantages, the largest |A_k - mean A| that the starting policy
    has at p, at 0 or at 1: where the outcomes cancel at p, what is left is rounding.

    Args:
        expected: (policy (P, K), p (P,)) -> (P, K) expected advantages, each row for itself:
            `expectation(...)` or `AdvantageTable.expected`. Rows at rest are not asked for again.
        p: (P,) true probabilities of outcome 1.
        values: (K,) the stated probabilities, ascending.
        steps: most updates.
        lr: the first rate.
        start: (P, K) or (K,) probabilities to start from; uniform by default.
        tolerance: what counts as at rest.

    Returns:
        The policies where they came to rest, or after the last step.

    Raises:
        InvalidInputError: an argument outside its range, or advantages of another shape.

    Edge cases: at p = 1/2 a standardized estimator is neutral once the policy is narrow: where it
        rests depends on the start.
    Properties: deterministic; unchanged when the advantages are scaled, or shifted by a constant.
    Reference: mirror ascent is the natural gradient of a softmax policy (Kakade 2001).

    Example:
        >>> from levelhead.lab.expectation import expectation
        >>> values = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
        >>> rewards = np.stack([np.log(1 - values), np.log(values)])
        >>> fixed_points(expectation("rloo", rewards, 8), [0.3, 0.7], values).mean.round(3)
        array([0.3, 0.7])
        >>> fixed_points(expectation("grpo", rewards, 8), [0.3, 0.7], values).mean.round(3)
        array([0.1, 0.9])
    """
    v = vector("values", values)
    if steps < 1 or not lr > 0.0:
        raise InvalidInputError(f"steps, lr: expected numbers above 0, got {steps} and {lr}")
    first = np.full(v.size, 1.0 / v.size) if start is None else start
    truth, pi = truths(p, policies(first))
    if pi.shape[1] != v.size:
        raise InvalidInputError(
            f"start: expected {v.size} tokens, one per value, got {pi.shape[1]}"
        )
    policy, taken, left = _follow(expected, truth, pi, steps, lr, tolerance)
    mean = policy @ v
    ends = (v <= max(ENDS, float(v.min()))) | (v >= min(1.0 - ENDS, float(v.max())))
    return FixedPoints(
        p=truth.copy(),
        policy=policy,
        mean=mean,
        sd=np.sqrt(np.sum(policy * (v - mean[:, None]) ** 2, axis=1)),
        mode=v[policy.argmax(axis=1)],
        at_ends=policy[:, ends].sum(axis=1),
        steps=taken,
        excess=left,
        converged=left <= max(SETTLED, tolerance),
    )


def _follow(
    expected: Callable[[FloatArray, FloatArray], FloatArray],
    truth: FloatArray,
    pi: FloatArray,
    steps: int,
    lr: float,
    tolerance: float,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Final policies, updates taken, and the relative excess of the best token at the end."""
    logits = _bounded(np.log(np.maximum(pi, math.exp(-DEPTH))))
    rate = np.full(truth.size, lr)
    sizes = [_excess(expected, pi, at) for at in (truth, 0.0 * truth, 0.0 * truth + 1.0)]
    size = np.abs(sizes).max(axis=(0, 2))
    last = np.zeros(pi.shape)
    taken = np.full(truth.size, steps)
    left = np.zeros(truth.size)
    active = np.arange(truth.size)
    for step in range(steps + 1):
        policy = softmax(logits[active])
        excess = _excess(expected, policy, truth[active])
        best = excess.max(axis=1)
        left[active] = best / np.maximum(size[active], TINY)
        moving = best > tolerance * size[active]
        taken[active[~moving]] = step
        active, policy, excess = active[moving], policy[moving], excess[moving]
        if active.size == 0 or step == steps:
            break
        turned = np.sum(policy * excess * last[active], axis=1) < 0.0
        rate[active] = np.where(turned, rate[active] * SHRINK, np.minimum(rate[active] * GROW, lr))
        deviation = np.sqrt(np.sum(policy * excess**2, axis=1, keepdims=True))
        scaled = np.clip(excess / np.maximum(deviation, TINY), -LARGEST_STEP, LARGEST_STEP)
        logits[active] = _bounded(logits[active] + rate[active, None] * scaled)
        last[active] = excess
    return softmax(logits), taken, left


def _excess(
    expected: Callable[[FloatArray, FloatArray], FloatArray], policy: FloatArray, p: FloatArray
) -> FloatArray:
    """(P, K) by how much each token's expected advantage exceeds the policy's."""
    advantage = np.asarray(expected(policy, p), dtype=np.float64)
    if advantage.shape != policy.shape:
        raise InvalidInputError(
            f"expected: expected advantages of shape {policy.shape}, got {advantage.shape}"
        )
    return advantage - np.sum(policy * advantage, axis=1, keepdims=True)


def _bounded(logits: FloatArray) -> FloatArray:
    return np.maximum(logits - logits.max(axis=1, keepdims=True), -DEPTH)
