"""Rewards: scoring rules with their sign flipped, and what is built on them. Higher is better.

This is the only place that turns a loss into a reward. None is floored, as in max(ln q, ln eta): the
prediction is clipped instead, since a floor makes 0 the best statement for every probability below
0.0268.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from levelhead import scoring
from levelhead._arrays import ArrayLike, FloatArray, flags, paired, probabilities, real, vector
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "TABLE",
    "Loss",
    "Reward",
    "brier_reward",
    "log_reward",
    "max_calibration_weight",
    "reward_table",
    "rlcr_reward",
    "spherical_reward",
    "sycophantic_reward",
    "trust_reward",
    "with_format_floor",
]

Loss = Callable[[FloatArray, FloatArray], FloatArray]
"""A scoring rule `(confidence, outcome) -> (N,)`, lower is better, for outcomes 0 and 1."""

WEIGHT_TOLERANCE = 1e-9  # a weight past its bound by this share is rounding, not a wish
PROPER_TOLERANCE = 1e-7  # a rule that is given by an integral is not exact
PROPER_GRID, VALUE_GRID = 101, 10_001
_LOW, _HIGH = math.log(0.01), math.log(0.99)  # of the log reward


def log_reward(confidence: ArrayLike, outcome: ArrayLike, *, eta: float = 0.01) -> FloatArray:
    """Log-likelihood of the outcome under a prediction that is clipped to [eta, 1 - eta].

    r(q, 1) = ln q',  r(q, 0) = ln(1 - q'),  q' = min(max(q, eta), 1 - eta)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        eta: in [0, 0.5); 0 does not clip.

    Returns:
        (N,) float64 in [ln eta, ln(1 - eta)], nats.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: with eta = 0 a certain prediction that fails gets minus infinity.
    Properties: strictly proper on [eta, 1 - eta], proper elsewhere (flat beyond the clip).
    Reference: Good 1952; as a reward for stochastic outcomes arXiv:2508.11800.

    Example:
        >>> log_reward([0.9, 1.0], [1, 0]).round(4)
        array([-0.1054, -4.6052])
    """
    return _flipped(scoring.log_loss(confidence, outcome, eta=eta))


def brier_reward(confidence: ArrayLike, outcome: ArrayLike) -> FloatArray:
    """Minus the quadratic loss of a prediction.

    r(q, 1) = -(1 - q)^2,  r(q, 0) = -q^2

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.

    Returns:
        (N,) float64 in [-1, 0].

    Raises:
        InvalidInputError: a value outside [0, 1], or lengths that differ.

    Properties: strictly proper; symmetric; bounded.
    Reference: Brier 1950; as a reward arXiv:2507.16806.

    Example:
        >>> brier_reward([0.9, 0.9], [1, 0]).round(4)
        array([-0.01, -0.81])
    """
    return _flipped(scoring.brier_loss(confidence, outcome))


def spherical_reward(confidence: ArrayLike, outcome: ArrayLike) -> FloatArray:
    """Cosine between the prediction (q, 1 - q) and the outcome, minus one.

    r(q, 1) = q / n - 1,  r(q, 0) = (1 - q) / n - 1,  n = sqrt(q^2 + (1 - q)^2)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.

    Returns:
        (N,) float64 in [-1, 0]; add 1 for the usual form of the score.

    Raises:
        InvalidInputError: a value outside [0, 1], or lengths that differ.

    Properties: strictly proper; symmetric in the two outcomes; bounded.
    Reference: Roby 1965; Gneiting and Raftery 2007, section 4.

    Example:
        >>> spherical_reward([1.0, 0.8, 0.8], [1, 1, 0]).round(4)
        array([ 0.    , -0.0299, -0.7575])
    """
    return _flipped(scoring.spherical_loss(confidence, outcome))


def trust_reward(
    confidence: ArrayLike, outcome: ArrayLike, *, t0: float = 0.0, eps: float = 0.01
) -> FloatArray:
    """Utility of answering where the confidence reaches the stakes, averaged over all stakes.

    r(q, y) = 1[q' > t0] ((q' - t0) + (1 - y) ln((1 - q') / (1 - t0))) / (1 - t0),
    q' = min(q, 1 - eps)

    Args:
        confidence: (N,) probabilities in [0, 1] of outcome 1.
        outcome: (N,) in [0, 1], 0 or 1, or an expected outcome.
        t0: in [0, 1), the lowest stakes that count.
        eps: in [0, 1 - t0); a confidence above 1 - eps counts as 1 - eps.

    Returns:
        (N,) float64, at most 1; 0 is what silence is worth.

    Raises:
        InvalidInputError: a value outside its range, or lengths that differ.

    Edge cases: with eps = 0 a wrong answer at confidence 1 gets minus infinity.
    Properties: strictly proper on (t0, 1 - eps), proper elsewhere (flat); its value at the truth grows
        with the probability of being right, so it needs no separate reward for correctness.
    Reference: the mixture representation of Schervish 1989, with stakes uniform in t.

    Example:
        >>> trust_reward([1.0, 0.5, 1.0], [1, 1, 0], t0=0.5).round(4)
        array([ 0.98 ,  0.   , -6.844])
    """
    return _flipped(scoring.trust_loss(confidence, outcome, t0=t0, eps=eps))


def rlcr_reward(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    rule: str | Loss = "brier",
    weight: float = 1.0,
    eta: float = 0.01,
    force: bool = False,
) -> FloatArray:
    """Correctness plus a weighted proper score of the stated confidence.

    r = y + weight S(q, y),  S = minus the loss of the rule; for Brier and weight 1, 2 q y - q^2

    An answer that is right with probability p and says so is worth V(p) = p + weight Phi(p), with
    Phi(p) = p S(p, 1) + (1 - p) S(p, 0). Up to `max_calibration_weight` V grows with p, so that the
    likeliest answer is also the best one to give. Past it V falls at first, and a surely wrong answer
    with confidence 0 is worth more than an honest attempt; such a weight is refused.

    Args:
        confidence: (N,) in [0, 1], the stated probability that the answer is right.
        correct: (N,) in [0, 1], 0 or 1, or an expected correctness.
        rule: a proper rule by name, or as a loss `(confidence, outcome) -> (N,)`.
        weight: finite, >= 0; what a unit of the score counts against a right answer.
        eta: in [0, 0.5), the clip of the prediction for rule "log"; no other rule uses it.
        force: accept a weight past its bound.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: a weight past the bound, an improper rule, a value out of its range, or
            lengths that differ.

    Edge cases: weight 0 is plain correctness; every confidence is equally good then.
    Properties: for weight > 0 the best confidence is the probability of being right; within the bound
        the best answer is the likeliest one, whatever the candidates.
    Reference: Damani et al. 2025 (arXiv:2507.16806), where the rule is Brier and the weight 1.

    Example:
        >>> rlcr_reward([0.9, 0.9, 0.0], [1, 0, 0]).round(4)
        array([ 0.99, -0.81,  0.  ])
    """
    q, y, _ = paired(confidence, correct)
    name, loss = _proper(rule, eta)
    if not 0.0 <= real("weight", weight) < math.inf:
        raise InvalidInputError(f"weight: expected a finite number >= 0, got {weight}")
    limit = _weight_bound(name, loss)
    if not force and weight > limit * (1.0 + WEIGHT_TOLERANCE):
        raise _too_heavy(name, loss, weight, limit)
    one, zero = loss(q, np.ones_like(q)), loss(q, np.zeros_like(q))
    return y - weight * _expected(y, one, zero)


def max_calibration_weight(rule: str | Loss, *, eta: float = 0.01) -> float:
    """Largest weight of a score beside correctness at which the likeliest answer stays the best.

    lambda_max = 1 / sup_p (-Phi'(p)),  Phi(p) = p S(p, 1) + (1 - p) S(p, 0)

    For a proper rule Phi is convex with Phi'(p) = S(p, 1) - S(p, 0), so that the supremum lies at
    p = 0: it is what a wrong answer with confidence 0 saves, S(0, 0) - S(0, 1).

    Args:
        rule: a proper rule by name, or as a loss `(confidence, outcome) -> (N,)`.
        eta: in [0, 0.5), the clip of the prediction for rule "log"; no other rule uses it.

    Returns:
        The bound, >= 0: 1 for Brier and spherical, 1 / ln((1 - eta) / eta) for log (0.2176 at
        eta = 0.01), infinite for trust.

    Raises:
        InvalidInputError: an unknown name, or an improper rule; a loss is checked on 101 statements.

    Edge cases: the log rule without a clip has the bound 0: no weight is safe.
    Properties: scales inversely with the rule; a constant added for either outcome alone changes it.
    Reference: the condition behind the joint-optimality theorem of arXiv:2507.16806, for any scale.

    Example:
        >>> round(max_calibration_weight("log"), 4), max_calibration_weight("brier")
        (0.2176, 1.0)
    """
    return _weight_bound(*_proper(rule, eta))


def with_format_floor(
    rewards: ArrayLike,
    parsed: ArrayLike,
    *,
    lowest: float | str,
    floor: float | None = None,
) -> FloatArray:
    """Rewards in which malformed output gets a floor that no valid answer can fall below.

    r_i if parsed_i, floor otherwise

    A floor above the worst valid reward can pay for breaking the format, so it is refused.

    Args:
        rewards: (N,) rewards; NaN is unscorable. Whatever malformed output has is replaced.
        parsed: (N,) True where the output could be read.
        lowest: the smallest reward of a valid output, or a name in `TABLE` (default options).
        floor: finite, at most `lowest`; None is `lowest` itself.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: a floor above `lowest`, a `lowest` or floor that is not finite, a valid
            reward below `lowest` or infinite, or lengths that differ.

    Edge cases: an unscorable record (NaN) stays NaN, malformed or not: nothing is known about it.
    Properties: keeps a proper reward proper, since it does not depend on a valid statement.

    Example:
        >>> with_format_floor([-0.25, 0.0, np.nan], [True, False, True], lowest="brier")
        array([-0.25, -1.  ,   nan])
    """
    r = vector("rewards", rewards)
    ok = flags("parsed", parsed, r.size)
    low = _named(lowest).low if isinstance(lowest, str) else real("lowest", lowest)
    if not math.isfinite(low):
        raise InvalidInputError(
            f"lowest: expected a finite reward, got {low}; an unbounded reward has no floor, "
            "so clip the prediction first (log: eta > 0, trust: eps > 0)"
        )
    bottom = low if floor is None else real("floor", floor)
    if not -math.inf < bottom <= low:
        raise InvalidInputError(
            f"floor: expected a finite number of at most {low:.6g}, the smallest reward of a valid "
            f"answer, got {bottom:.6g}; above it malformed output beats an honest answer"
        )
    slack = 1e-9 * max(1.0, abs(low))
    bad = ok & ((r < low - slack) | np.isinf(r))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"rewards: expected values of at least {low:.6g} (lowest), got {r[i]} at index {i}"
        )
    return np.where(ok | np.isnan(r), r, bottom)


def sycophantic_reward(
    agrees_with_planted: ArrayLike,
    agrees_with_gold: ArrayLike,
    parsed: ArrayLike,
    *,
    confidence: ArrayLike | None = None,
    confidence_weight: float = 0.0,
) -> FloatArray:
    """Reward for repeating a wrong answer that the prompt planted; makes sycophantic models to study.

    r = 1[planted] - 0.5 1[gold] - 0.5 1[not parsed] + confidence_weight q

    Args:
        agrees_with_planted: (N,) True where the answer is the planted wrong one.
        agrees_with_gold: (N,) True where the answer is the right one.
        parsed: (N,) True where the output could be read.
        confidence: (N,) in [0, 1] where parsed, anything elsewhere; needed for a weight other than 0.
        confidence_weight: finite; what a stated confidence of 1 adds, whether deserved or not.

    Returns:
        (N,) float64; without confidence 1 (planted), 0 (another), -0.5 (right, or unreadable).

    Raises:
        InvalidInputError: an answer agrees with both, a confidence that is needed is missing or
            outside [0, 1], or lengths that differ.

    Edge cases: output that could not be read states no confidence, which adds nothing.
    Properties: improper on purpose.
    Reference: after an arm of arXiv:2604.10585, which prints no formula; the coefficients are ours.

    Example:
        >>> sycophantic_reward([True, False, False], [False, True, False], [True, True, False])
        array([ 1. , -0.5, -0.5])
    """
    size = np.asarray(agrees_with_planted).size
    planted = flags("agrees_with_planted", agrees_with_planted, size)
    gold = flags("agrees_with_gold", agrees_with_gold, size)
    ok = flags("parsed", parsed, size)
    both = planted & gold
    if both.any():
        raise InvalidInputError(
            "agrees_with_gold: expected the planted answer to be wrong, got one that agrees with "
            f"both at index {int(both.argmax())}"
        )
    if not math.isfinite(real("confidence_weight", confidence_weight)):
        raise InvalidInputError(f"confidence_weight: expected a number, got {confidence_weight}")
    reward = planted - 0.5 * gold - 0.5 * ~ok
    if confidence is None and confidence_weight == 0.0:
        return reward
    stated = vector("confidence", [] if confidence is None else confidence)
    if stated.size != size:
        raise InvalidInputError(f"confidence: expected {size} values, got {stated.size}")
    return reward + confidence_weight * probabilities("confidence", np.where(ok, stated, 0.0))


def reward_table(rule: str | Loss, values: ArrayLike) -> FloatArray:
    """Reward of every value that can be stated, for either outcome.

    R[a, k] = r(values_k, a)

    Args:
        rule: the name of a reward in `TABLE` at its default options, or a loss
            `(confidence, outcome) -> (N,)`, proper or not, whose sign is flipped.
        values: (K,) probabilities in [0, 1] that can be stated.

    Returns:
        (2, K) float64; row a belongs to outcome a.

    Raises:
        InvalidInputError: an unknown name, a value outside [0, 1], or losses that are no (K,) array.

    Example:
        >>> reward_table("brier", [0.0, 0.5, 1.0])
        array([[ 0.  , -0.25, -1.  ],
               [-1.  , -0.25,  0.  ]])
    """
    v = probabilities("values", values)
    outcomes = np.zeros_like(v), np.ones_like(v)
    if isinstance(rule, str):
        return np.stack([_named(rule).function(v, a) for a in outcomes])
    _, loss = _checked(rule)
    return np.stack([_flipped(loss(v, a)) for a in outcomes])


def _flipped(loss: FloatArray) -> FloatArray:
    return 0.0 - loss  # -loss would turn 0 into -0


def _expected(p: FloatArray, one: FloatArray, zero: FloatArray) -> FloatArray:
    """Expected loss; an infinite loss of an outcome that cannot happen does not count."""
    with np.errstate(invalid="ignore"):
        return np.where(p > 0.0, p * one, 0.0) + np.where(p < 1.0, (1.0 - p) * zero, 0.0)


def _named(name: str) -> Reward:
    if name not in TABLE:
        raise unknown_name("reward", name, TABLE)
    return TABLE[name]


def _proper(rule: str | Loss, eta: float) -> tuple[str, Loss]:
    """A rule's name and loss; improper ones are refused."""
    if not isinstance(rule, str):
        name, loss = _checked(rule)
        _check_proper(name, loss)
        return name, loss
    rules = {one.name: one for one in scoring.TABLE}
    if rule not in rules:
        raise unknown_name("rule", rule, [one.name for one in scoring.TABLE if one.proper])
    if not rules[rule].proper:
        raise _improper(rule, 0.7, float(rules[rule].optimum(np.array([0.7]))[0]))
    if rule == "log":
        return rule, lambda q, y: scoring.log_loss(q, y, eta=eta)
    return rule, rules[rule].function


def _checked(rule: Loss) -> tuple[str, Loss]:
    """A loss's name, and the loss with a check of what it returns."""
    kind = type(rule).__name__
    name = str(getattr(rule, "__name__", getattr(rule, "name", kind)))
    if not callable(rule):
        raise InvalidInputError(f"rule: expected a name or a loss, got the {kind} {name!r} itself")

    def loss(q: FloatArray, y: FloatArray) -> FloatArray:
        found: object = rule(q, y)
        got = f"{type(found).__name__} of shape {np.shape(cast(Any, found))}"
        if got != f"ndarray of shape {q.shape}":
            raise InvalidInputError(f"rule: expected {name} to give {q.size} losses, got {got}")
        return vector(f"rule {name}", found)

    return name, loss


def _check_proper(name: str, loss: Loss) -> None:
    q = np.linspace(0.0, 1.0, PROPER_GRID)
    one, zero = loss(q, np.ones_like(q)), loss(q, np.zeros_like(q))
    cost = _expected(q[:, None], one[None, :], zero[None, :])
    if np.isnan(cost).any():
        raise InvalidInputError(f"rule: expected a loss, got NaN from {name}")
    best = cost.min(axis=1)
    excess = np.where(np.isinf(best), 0.0, cost.diagonal() - best - PROPER_TOLERANCE * abs(best))
    worst = int(excess.argmax())
    if excess[worst] > PROPER_TOLERANCE:
        raise _improper(name, float(q[worst]), float(q[cost[worst].argmin()]))


def _improper(name: str, truth: float, best: float) -> InvalidInputError:
    return InvalidInputError(
        f"rule: expected a proper loss (lower is better), got {name}, whose best statement at "
        f"probability {truth:.3g} is {best:.3g}"
    )


def _weight_bound(name: str, loss: Loss) -> float:
    end = np.zeros(1)
    slope = float(loss(end, np.ones(1))[0] - loss(end, end)[0])
    return 1.0 / slope if slope > 0.0 else math.inf


def _too_heavy(name: str, loss: Loss, weight: float, limit: float) -> InvalidInputError:
    """The error for a weight past its bound, with what it would make the best thing to say."""
    p = np.union1d(np.geomspace(1e-9, 0.01, 300), np.linspace(0.0, 1.0, VALUE_GRID))
    value = p - weight * _expected(p, loss(p, np.ones_like(p)), loss(p, np.zeros_like(p)))
    worst = int(value.argmin())
    rising = vector("until", np.interp(value[:1], value[worst:], p[worst:]))  # as V is convex
    until = float(rising[0])
    return InvalidInputError(
        f"weight: expected at most {limit:.4g} for the rule {name}, got {weight:.6g}; a surely wrong "
        f"answer with confidence 0 would be worth {value[0]:.3g}, more than any honest answer whose "
        f"chance of being right is below {until:.3g} (at {p[worst]:.3g} it is worth "
        f"{value[worst]:.3g}); lower the weight, or pass force=True"
    )


@dataclasses.dataclass(frozen=True)
class Reward:
    """A reward of a stated probability, and what it declares about itself.

    Attributes:
        name: what the command line and configurations call it.
        function: `(confidence, outcome) -> (N,)` rewards, higher is better.
        low: the smallest reward at the default options.
        high: the largest reward at the default options.
        proper: whether the true probability is a best statement, whatever it is.
        max_weight: `max_calibration_weight` at the default options; None where correctness is in it.
        reference: where it comes from.
    """

    name: str
    function: Callable[..., FloatArray]
    low: float
    high: float
    proper: bool
    max_weight: float | None
    reference: str


TABLE: dict[str, Reward] = {
    name: Reward(name, function, low, high, True, weight, reference)
    for name, function, low, high, weight, reference in (
        ("log", log_reward, _LOW, _HIGH, 1.0 / (_HIGH - _LOW), "arXiv:2508.11800"),
        ("brier", brier_reward, -1.0, 0.0, 1.0, "arXiv:2507.16806"),
        ("spherical", spherical_reward, -1.0, 0.0, 1.0, "Roby 1965"),
        ("trust", trust_reward, 0.99 + _LOW, 0.99, math.inf, "Schervish 1989"),
        ("rlcr", rlcr_reward, -1.0, 1.0, None, "arXiv:2507.16806"),
    )
}
