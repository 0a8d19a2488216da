"""How hard an advantage estimator pushes on prompts of each pass rate, by enumeration."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy import stats

from levelhead import advantages
from levelhead._arrays import ArrayLike, FloatArray, IntArray, integers, probabilities, real
from levelhead._registry import load_callable
from levelhead.advantages import AdvantageFunction
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "EstimatorCounts",
    "amplification",
    "count_advantages",
    "flip_share",
    "update_by_counts",
    "update_by_rate",
]

CONTEXT = 256
"""Groups of the batch that an estimator sees beside the one that is looked at."""

RARE = 0.05
"""The pass rate at which amplification is given as one number."""

Scope = Literal["group", "batch", "first visit"]


@dataclasses.dataclass(frozen=True)
class EstimatorCounts:
    """The advantages of a group with 0/1 rewards, by how many of them are 1.

    Attributes:
        name: of the estimator.
        group_size: G.
        success: (G + 1,) advantage of a right sample where c = 0..G are right; NaN for c = 0.
        failure: (G + 1,) advantage of a wrong sample; NaN for c = G.
        scope: whether a `group` decides alone, or a `batch` of uniformly spread pass rates beside it
            decides too, or it is the `first visit` of an estimator with a memory.
    """

    name: str
    group_size: int
    success: FloatArray
    failure: FloatArray
    scope: Scope

    @property
    def update(self) -> FloatArray:
        """(G + 1,) the update of a group: the sum of |advantage| over its samples."""
        c = np.arange(self.group_size + 1)
        up = np.where(c > 0, c * np.abs(np.nan_to_num(self.success)), 0.0)
        down = (self.group_size - c) * np.abs(np.nan_to_num(self.failure))
        return up + np.where(c < self.group_size, down, 0.0)


def count_advantages(
    estimator: str | AdvantageFunction,
    group_size: int,
    *,
    options: Mapping[str, Any] | None = None,
    batch: ArrayLike | None = None,
) -> EstimatorCounts:
    """What an estimator gives right and wrong samples of a group, for every number of right ones.

    With `grpo` (ddof 1) a right one gets sqrt((G - c) (G - 1) / (c G)): (G - 1) / sqrt(G) where it is
    the only one.

    Args:
        estimator: a name of `levelhead.advantages.TABLE`, `module:function`, or a function
            `(rewards, groups) -> advantages`.
        group_size: G, 2 to 1024.
        options: keyword arguments of the estimator, such as `ddof`.
        batch: (M,) right samples in each group of the batch around it, 0..G; uniform unless given.
            Only estimators whose statistics go over the batch see it.

    Returns:
        The advantages by count.

    Raises:
        InvalidInputError: no such estimator, an option that it does not have, a size outside its
            range, or a function that returns something else than one finite number per sample.

    Edge cases: c = 0 has no right sample and c = G no wrong one: NaN. An estimator with a memory is
        looked at where it has none yet.
    Properties: every count is one call of the estimator itself, so what it does is what is shown.

    Example:
        >>> by_count = count_advantages("grpo", 8)
        >>> (by_count.success[[1, 4]] / by_count.success[4]).round(2)
        array([2.65, 1.  ])
    """
    size = size_or_error(group_size)
    name, function, scope = _resolved(estimator, options or {})
    context = _context(size, batch) if scope == "batch" else np.zeros(0, np.int64)
    around = (np.arange(size) < context[:, None]).astype(np.float64).ravel()
    groups: IntArray = np.repeat(np.arange(context.size + 1), size)
    success, failure = np.full(size + 1, np.nan), np.full(size + 1, np.nan)
    for c in range(size + 1):
        own = (np.arange(size) < c).astype(np.float64)
        rewards = np.concatenate([around, own])
        out = _called(name, function, rewards, groups)[-size:]
        if c > 0:
            success[c] = out[:c].mean()
        if c < size:
            failure[c] = out[c:].mean()
    return EstimatorCounts(name, size, success, failure, scope)


def size_or_error(group_size: int) -> int:
    """A whole number from 2 to 1024."""
    if isinstance(group_size, bool) or not 2 <= real("group_size", group_size) <= 1024:
        raise InvalidInputError(
            f"group_size: expected a whole number from 2 to 1024, got {group_size}"
        )
    if int(group_size) != group_size:
        raise InvalidInputError(f"group_size: expected a whole number, got {group_size}")
    return int(group_size)


def _resolved(
    estimator: str | AdvantageFunction, options: Mapping[str, Any]
) -> tuple[str, AdvantageFunction, Scope]:
    scope: Scope = "batch"  # of a function of the user's nothing is known
    if not isinstance(estimator, str):
        name, function = getattr(estimator, "__name__", "function"), estimator
    elif ":" in estimator:
        name, function = estimator, load_callable(estimator)
    elif estimator in advantages.TABLE:
        row = advantages.TABLE[estimator]
        name, function = row.name, row.function
        scope = {"batch": "batch", "history": "first visit"}.get(row.scope, "group")  # type: ignore[assignment]
    else:
        raise unknown_name("estimator", estimator, advantages.TABLE)
    return name, functools.partial(function, **options) if options else function, scope


def _context(size: int, batch: ArrayLike | None) -> IntArray:
    """Right samples in the other groups; every count equally often is a uniform pass rate."""
    if batch is None:
        if size >= CONTEXT:  # every count twice would take most of a minute
            return np.round(np.linspace(0, size, CONTEXT)).astype(np.int64)
        return np.tile(np.arange(size + 1), max(2, CONTEXT // (size + 1)))
    return integers("batch", batch, np.size(batch), below=size + 1)


def _called(
    name: str, function: AdvantageFunction, rewards: FloatArray, groups: IntArray
) -> FloatArray:
    try:
        out = np.asarray(function(rewards, groups), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"estimator {name}: expected a function of rewards and groups that takes these options, "
            f"it raised {error}"
        ) from error
    if out.shape != rewards.shape or not np.isfinite(out).all():
        raise InvalidInputError(
            f"estimator {name}: expected one finite advantage for each of {rewards.size} rewards, got "
            f"shape {out.shape}{'' if out.shape != rewards.shape else ' with others'}"
        )
    return out


def update_by_rate(by_count: EstimatorCounts, rate: ArrayLike) -> FloatArray:
    """The expected update of a group whose prompt has some pass rate.

    U(p) = E_{c ~ Binomial(G, p)} [ sum_i |A_i| ], exact

    Args:
        by_count: the estimator.
        rate: (M,) pass rates in [0, 1].

    Returns:
        (M,) expected updates, in the unit of the advantages.

    Raises:
        InvalidInputError: rates outside of [0, 1].

    Edge cases: a rate of 0 or 1 gets what a constant group gets: 0 for every centered estimator.
    Properties: for advantages that are rewards minus their mean it is 2 (G - 1) p (1 - p).

    Example:
        >>> update_by_rate(count_advantages("grpo_no_std", 8), [0.5])
        array([3.5])
    """
    p = probabilities("rate", rate)
    c = np.arange(by_count.group_size + 1)
    return np.asarray(stats.binom.pmf(c, by_count.group_size, p[:, None]) @ by_count.update)


def update_by_counts(
    by_count: EstimatorCounts, passed: ArrayLike, samples: ArrayLike
) -> FloatArray:
    """The expected update of a group of prompts of which some samples were seen.

    The unbiased estimate: G of the n samples drawn without putting back, c ~ Hypergeometric(n, c_n, G).
    With n < G there is none, and c is Beta-binomial: predicted from a uniform prior.

    Args:
        by_count: the estimator.
        passed: (P,) right samples of each prompt.
        samples: (P,) samples of each prompt, >= 1.

    Returns:
        (P,) expected updates.

    Raises:
        InvalidInputError: counts outside their range.

    Edge cases: with n >= G a prompt that was never solved gets what a group of failures gets; with
        n < G the prior gives it some update.
    Properties: for n >= G its mean over samples is `update_by_rate`, for every pass rate.

    Example:
        >>> update_by_counts(count_advantages("grpo_no_std", 4), [0, 2], [4, 4])
        array([0., 2.])
    """
    pairs, where = _pairs(passed, samples)
    return (_chances(pairs, by_count.group_size) @ by_count.update)[where]


def expected_batch(passed: ArrayLike, samples: ArrayLike, group_size: int) -> IntArray:
    """Right samples in the groups of a batch with the pass rates of some prompts, at even quantiles."""
    pairs, where = _pairs(passed, samples)
    chance = np.bincount(where, minlength=len(pairs)) @ _chances(pairs, group_size)
    places = (np.arange(CONTEXT) + 0.5) / CONTEXT
    found = np.searchsorted(np.cumsum(chance) / chance.sum(), places)
    return np.minimum(found, group_size).astype(np.int64)


def _pairs(passed: ArrayLike, samples: ArrayLike) -> tuple[IntArray, IntArray]:
    """The distinct (passed, samples), and which of them each prompt has."""
    n = integers("samples", samples, np.size(samples))
    k = integers("passed", passed, n.size)
    wrong = (k > n) | (n < 1)
    if wrong.any():
        i = int(wrong.argmax())
        raise InvalidInputError(
            f"passed and samples: expected 0 <= passed <= samples and samples >= 1, got {k[i]} of "
            f"{n[i]} at index {i}"
        )
    pairs, where = np.unique(np.stack([k, n], axis=1), axis=0, return_inverse=True)
    return pairs, where.ravel()


def _chances(pairs: IntArray, size: int) -> FloatArray:
    """(M, G + 1) how likely a group of G has c right samples, for each (passed, samples)."""
    c = np.arange(size + 1)
    return np.array(
        [
            stats.hypergeom.pmf(c, total, right, size)
            if total >= size
            else stats.betabinom.pmf(c, size, 1 + right, 1 + total - right)
            for right, total in pairs
        ]
    ).reshape(-1, size + 1)


def amplification(by_count: EstimatorCounts) -> float | None:
    """How much too much a rarely solved prompt weighs beside one at even odds.

    U(0.05) / U(0.5) over the same ratio of 4 p (1 - p), the gradient of the pass rate

    Args:
        by_count: the estimator, from `count_advantages`.

    Returns:
        1 where it is the gradient; None where a prompt at even odds gets no update.
    """
    at = update_by_rate(by_count, [RARE, 0.5])
    return float(at[0] / at[1] / (4.0 * RARE * (1.0 - RARE))) if at[1] > 0.0 else None


def flip_share(
    estimator: str | AdvantageFunction,
    group_size: int,
    *,
    guess: float = 0.2,
    medium: tuple[float, float] = (0.5, 0.1),
    hard: tuple[float, float] = (0.0, 0.03),
    options: Mapping[str, Any] | None = None,
) -> float | None:
    """The share of hard prompts from which on training drifts toward guessing instead of reasoning.

    A model guesses with one probability g whatever the prompt. The drift of logit g on a kind of prompt
    is E[A_i (z_i - g)], z_i whether sample i guessed. Given its reward, what the others earn does not
    depend on z_i, so with q = g lucky + (1 - g) reason

    drift = g (1 - g) (lucky - reason) sum_c Binomial(c; G - 1, q) (A_right(c + 1) - A_wrong(c));
    share = -drift(medium) / (drift(hard) - drift(medium))

    Args:
        estimator: as of `count_advantages`.
        group_size: G, 2 to 1024.
        guess: g, in (0, 1).
        medium: how often a medium prompt is solved by reasoning, and by guessing.
        hard: the same of a hard prompt.
        options: keyword arguments of the estimator.

    Returns:
        The share in [0, 1], or None where one kind wins at every share.

    Raises:
        InvalidInputError: as `count_advantages`, or a probability outside its range.

    Edge cases: where both drifts have one sign there is no share: None. Below the share the medium
        prompts win.
    Properties: a reward minus its mean has the share of the true gradient, the gap of the one kind
        over the sum of both gaps, for any G and any g.
    Reference: arXiv:2605.28388 on what too hard samples do; the model is ours.

    Example:
        >>> round(flip_share("grpo_no_std", 8), 3), round(flip_share("grpo", 8), 3)
        (0.93, 0.905)
    """
    if not 0.0 < real("guess", guess) < 1.0:
        raise InvalidInputError(f"guess: expected a number in (0, 1), got {guess}")
    for name, pair in (("medium", medium), ("hard", hard)):
        if len(pair) != 2:
            raise InvalidInputError(f"{name}: expected two probabilities, got {len(pair)}")
        probabilities(name, pair)
    by_count = count_advantages(estimator, group_size, options=options)
    toward_medium, toward_hard = (_drift(by_count, guess, *pair) for pair in (medium, hard))
    apart = toward_hard - toward_medium
    if apart == 0.0:
        return None
    share = -toward_medium / apart
    return float(share) if 0.0 <= share <= 1.0 else None


def _drift(by_count: EstimatorCounts, guess: float, reason: float, lucky: float) -> float:
    """g (1 - g) (lucky - reason) (E[A | right] - E[A | wrong]) over the rewards of the others."""
    size = by_count.group_size
    right = guess * lucky + (1.0 - guess) * reason
    others = stats.binom.pmf(np.arange(size), size - 1, right)
    gain = float(others @ (by_count.success[1:] - by_count.failure[:-1]))
    return guess * (1.0 - guess) * (lucky - reason) * gain
