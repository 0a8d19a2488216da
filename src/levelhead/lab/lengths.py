"""What the aggregation of a loss over tokens does to the lengths of wrong answers, exactly.

A sequence's loss is the sum over its tokens, times a factor that the aggregation gives it. Where that
factor falls with the length of the sequence, a long wrong answer is punished less than a short one,
and the wrong answers that remain become long. The smallest world that shows it has one right answer
and two wrong ones; each answer is one action of a softmax policy, as long as it says.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import AdvantageFunction
from levelhead.errors import InvalidInputError

__all__ = [
    "AGGREGATIONS",
    "THREE_ANSWERS",
    "Actions",
    "Aggregation",
    "LengthBias",
    "drift",
    "expected_update",
    "seq_mean_token_mean",
    "seq_mean_token_sum",
    "seq_mean_token_sum_norm",
    "token_mean",
]

Aggregation = Callable[[IntArray], FloatArray]
"""Maps the lengths (B,) of a batch to the factors (B,) by which summed per-token losses count."""

MOST_MULTISETS = 200_000
ORDER_TOLERANCE = 1e-9
RTOL, ATOL = 1e-10, 1e-12
MOST_STEPS = 2_000
"""Steps of unit length that the logits may go before the right answer counts as unreachable."""


@dataclasses.dataclass(frozen=True)
class Actions:
    """The answers that a policy can give.

    Attributes:
        rewards: (K,) finite, higher is better; the highest is the right answer.
        lengths: (K,) int, at least 1, in tokens.
    """

    rewards: tuple[float, ...]
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.rewards) != len(self.lengths) or len(self.rewards) < 2:
            raise InvalidInputError(
                "Actions: expected two answers or more, each with a reward and a length, got "
                f"{len(self.rewards)} rewards and {len(self.lengths)} lengths"
            )
        if not all(math.isfinite(reward) for reward in self.rewards):
            raise InvalidInputError(f"rewards: expected finite numbers, got {self.rewards}")
        if not all(length >= 1 for length in self.lengths):
            raise InvalidInputError(f"lengths: expected at least 1 token each, got {self.lengths}")
        if len(set(self.rewards)) < 2:
            raise InvalidInputError(f"rewards: expected a wrong answer, got {self.rewards}")

    @property
    def right(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(K,) True for the answers with the highest reward."""
        rewards = np.asarray(self.rewards)
        return rewards == rewards.max()


THREE_ANSWERS = Actions(rewards=(1.0, 0.0, 0.0), lengths=(10, 100, 10))
"""A right answer of 10 tokens, a wrong one of 100, and a wrong one of 10."""


def seq_mean_token_mean(lengths: IntArray) -> FloatArray:
    """Mean over sequences of the mean over their tokens: the first form of GRPO.

    w_i = 1 / (B L_i)

    Args:
        lengths: (B,) tokens of each sequence, at least 1.

    Returns:
        (B,) float64 factors.

    Properties: long sequences count less per token: biased towards long wrong answers.
    Reference: arXiv:2402.03300; the bias is described in arXiv:2503.20783.

    Example:
        >>> seq_mean_token_mean(np.array([10, 100]))
        array([0.05 , 0.005])
    """
    return 1.0 / (lengths.size * np.asarray(lengths, dtype=np.float64))


def token_mean(lengths: IntArray) -> FloatArray:
    """Mean over all tokens of the batch.

    w_i = 1 / sum_j L_j

    Args:
        lengths: (B,) tokens of each sequence, at least 1.

    Returns:
        (B,) float64 factors, all equal within the batch.

    Properties: fair within a batch; a batch with a long sequence in it counts less as a whole, an
        effect that fades as 1 / B.
    Reference: arXiv:2503.14476.

    Example:
        >>> token_mean(np.array([10, 90]))
        array([0.01, 0.01])
    """
    return np.full(lengths.size, 1.0 / float(np.sum(lengths)))


def seq_mean_token_sum(lengths: IntArray) -> FloatArray:
    """Mean over sequences of the sum over their tokens.

    w_i = 1 / B

    Args:
        lengths: (B,) tokens of each sequence.

    Returns:
        (B,) float64 factors, the same whatever the lengths.

    Properties: in the direction of the exact gradient.
    Reference: arXiv:2503.20783.

    Example:
        >>> seq_mean_token_sum(np.array([10, 100]))
        array([0.5, 0.5])
    """
    return np.full(lengths.size, 1.0 / lengths.size)


def seq_mean_token_sum_norm(lengths: IntArray, *, max_length: int = 1024) -> FloatArray:
    """Mean over sequences of the sum over their tokens, by a constant length: Dr. GRPO.

    w_i = 1 / (B max_length)

    Args:
        lengths: (B,) tokens of each sequence.
        max_length: at least 1; any constant, usually the longest sequence that is allowed.

    Returns:
        (B,) float64 factors, the same whatever the lengths.

    Properties: in the direction of the exact gradient; the constant only scales the learning rate.
    Reference: arXiv:2503.20783.

    Example:
        >>> seq_mean_token_sum_norm(np.array([10, 100]), max_length=100)
        array([0.005, 0.005])
    """
    return np.full(lengths.size, 1.0 / (lengths.size * max_length))


@dataclasses.dataclass(frozen=True)
class LengthBias:
    """Where an aggregation takes the lengths of wrong answers while a policy learns the right one.

    Attributes:
        ratio: P(longest wrong answer) / P(shortest wrong answer) where `drift` stopped; 1 is unbiased.
        p_correct: P(right answer) there.
        mean_length_wrong: mean length of a wrong answer there, in tokens.
        unbiased_length_wrong: what it would be with all wrong answers equally likely, as at the start.
        path: (S, K) policy from the start to there.
        reached: whether the right answer became as likely as was asked for.
    """

    ratio: float
    p_correct: float
    mean_length_wrong: float
    unbiased_length_wrong: float
    path: FloatArray
    reached: bool


def expected_update(
    policy: FloatArray,
    weights: Aggregation,
    *,
    actions: Actions = THREE_ANSWERS,
    group_size: int = 8,
    advantage: AdvantageFunction | None = None,
) -> FloatArray:
    """Expected step of the logits for one batch, by enumeration of every group that can be drawn.

    E[ sum_i w_i A_i (e_{a_i} - pi) ],  a_1 .. a_G ~ pi, over the multisets of answers

    The batch is one group: its G sequences share the factor's denominator where there is one. With the
    exact advantage nothing else ties a group together, so that `group_size` is then the number of
    sequences in the batch, however many groups of this prompt they form.

    Args:
        policy: (K,) probabilities of the answers.
        weights: maps lengths (B,) to the factors (B,) of the sequences.
        actions: the answers, their rewards and lengths.
        group_size: sequences in the batch, at least 1 (2 for a sampled advantage).
        advantage: `(rewards, groups) -> advantages`, computed on each group; None is the exact one,
            reward minus expected reward.

    Returns:
        (K,) float64, the direction in which the logits go; sums to 0.

    Raises:
        InvalidInputError: shapes that differ, too many groups to enumerate, or a function that
            depends on the order of the sequences or returns something that is not finite.

    Example:
        >>> step = expected_update(np.full(3, 1 / 3), seq_mean_token_sum)
        >>> step.round(4)  # pi_k (r_k - mean r)
        array([ 0.2222, -0.1111, -0.1111])
    """
    pi = np.asarray(policy, dtype=np.float64)
    if pi.shape != (len(actions.rewards),):
        raise InvalidInputError(f"policy: expected shape ({len(actions.rewards)},), got {pi.shape}")
    return _Groups(actions, weights, group_size, advantage).update(pi)


def drift(
    weights: Aggregation,
    *,
    actions: Actions = THREE_ANSWERS,
    group_size: int = 8,
    advantage: AdvantageFunction | None = None,
    until: float = 0.9,
) -> LengthBias:
    """Follow the expected update from a uniform policy until the right answer is likely.

    d logits / ds = u / |u|,  u = `expected_update`,  until P(right) = `until`

    The step size is taken out, so that only the direction of the update counts: aggregations that
    differ by a constant give the same path.

    Args:
        weights: maps lengths (B,) to the factors (B,) of the sequences.
        actions: the answers, their rewards and lengths.
        group_size: sequences in the batch, at least 1 (2 for a sampled advantage).
        advantage: `(rewards, groups) -> advantages`, computed on each group; None is the exact one,
            reward minus expected reward.
        until: in (0, 1), where to stop.

    Returns:
        The ratio of long to short wrong answers there, and the path.

    Raises:
        InvalidInputError: `until` is out of range, too many groups to enumerate, or a function that
            depends on the order of the sequences or returns something that is not finite.

    Edge cases: with one wrong answer, or several of one length, the ratio is 1; where P(right) never
        gets there, `reached` is False and the numbers belong to the end of the path.

    Example:
        >>> round(drift(seq_mean_token_sum).ratio, 3), round(drift(seq_mean_token_mean).ratio, 2)
        (1.0, 2.52)
    """
    if not 0.0 < until < 1.0:
        raise InvalidInputError(f"until: expected a probability inside (0, 1), got {until}")
    groups = _Groups(actions, weights, group_size, advantage)
    right = actions.right

    def speed(_: float, logits: FloatArray) -> FloatArray:
        step = groups.update(_softmax(logits))
        size = float(np.linalg.norm(step))
        return step / size if size > 0.0 else step

    def there(_: float, logits: FloatArray) -> float:
        return float(_softmax(logits)[right].sum()) - until

    there.terminal = True  # pyright: ignore[reportFunctionMemberAccess]  # scipy's way to say so
    there.direction = 1.0  # pyright: ignore[reportFunctionMemberAccess]
    start = np.zeros(right.size)
    if there(0.0, start) >= 0.0:
        path = _softmax(start)[None, :]
        return _bias(actions, path, True)
    found = solve_ivp(speed, (0.0, float(MOST_STEPS)), start, events=there, rtol=RTOL, atol=ATOL)
    path = _softmax(found.y.T)
    return _bias(actions, path, found.status == 1)


class _Groups:
    """Every multiset of answers that a group can hold, and what the estimator says about it."""

    def __init__(
        self,
        actions: Actions,
        weights: Aggregation,
        group_size: int,
        advantage: AdvantageFunction | None,
    ) -> None:
        n_actions = len(actions.rewards)
        least = 1 if advantage is None else 2
        if group_size < least:
            raise InvalidInputError(f"group_size: expected at least {least}, got {group_size}")
        if math.comb(group_size + n_actions - 1, n_actions - 1) > MOST_MULTISETS:
            raise InvalidInputError(
                f"group_size: expected at most {MOST_MULTISETS} different groups to enumerate, got "
                f"more for {group_size} of {n_actions} answers; take a smaller group"
            )
        self.rewards = np.asarray(actions.rewards, dtype=np.float64)
        self.exact = advantage is None
        lengths = np.asarray(actions.lengths, dtype=np.int64)
        counts: list[IntArray] = []
        shares: list[FloatArray] = []
        one_group = np.zeros(group_size, dtype=np.int64)
        for chosen in itertools.combinations_with_replacement(range(n_actions), group_size):
            which = np.asarray(chosen)
            factors = _ordered("weights", weights, lengths[which])
            if advantage is not None:
                factors = factors * _ordered(
                    "advantage", lambda r: advantage(r, one_group), self.rewards[which]
                )
            counts.append(np.bincount(which, minlength=n_actions).astype(np.int64))
            held = np.bincount(which, weights=factors, minlength=n_actions)
            shares.append(np.asarray(held, dtype=np.float64))
        self.counts, self.shares = np.stack(counts), np.stack(shares)
        log_factorial = np.cumsum(np.log(np.maximum(np.arange(group_size + 1), 1)))
        self.log_orders = log_factorial[-1] - log_factorial[self.counts].sum(axis=1)

    def update(self, policy: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            logs = np.log(policy)
        logs = np.where(self.counts > 0, self.counts * np.maximum(logs, -1e300), 0.0)
        pushes = np.exp(self.log_orders + logs.sum(axis=1)) @ self.shares
        if self.exact:
            pushes = pushes * (self.rewards - policy @ self.rewards)
        return pushes - policy * pushes.sum()


def _ordered(
    name: str, function: Callable[..., FloatArray], values: FloatArray | IntArray
) -> FloatArray:
    """What a function gives each sequence of a group, once it is sure that their order is nothing."""
    out = np.asarray(function(values), dtype=np.float64)
    back = np.asarray(function(values[::-1]), dtype=np.float64)
    if out.shape != values.shape or back.shape != values.shape:
        raise InvalidInputError(f"{name}: expected shape {values.shape}, got {out.shape}")
    if not np.isfinite(out).all():
        raise InvalidInputError(f"{name}: expected finite values, got {out} for {values}")
    if not np.allclose(out, back[::-1], rtol=ORDER_TOLERANCE, atol=ORDER_TOLERANCE):
        raise InvalidInputError(
            f"{name}: expected the same for a sequence wherever it stands in the batch, got {out} for "
            f"{values} and {back} for its reverse"
        )
    return out


def _softmax(logits: FloatArray) -> FloatArray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _bias(actions: Actions, path: FloatArray, reached: bool) -> LengthBias:
    right = actions.right
    lengths = np.asarray(actions.lengths, dtype=np.float64)
    end, wrong = path[-1], lengths[~right]
    p_wrong = end[~right]
    longest, shortest = p_wrong[wrong == wrong.max()], p_wrong[wrong == wrong.min()]
    return LengthBias(
        ratio=float(longest.mean() / shortest.mean()),
        p_correct=float(end[right].sum()),
        mean_length_wrong=float(p_wrong @ wrong / p_wrong.sum()),
        unbiased_length_wrong=float(wrong.mean()),
        path=path,
        reached=reached,
    )


AGGREGATIONS: dict[str, Aggregation] = {
    "seq_mean_token_mean": seq_mean_token_mean,
    "token_mean": token_mean,
    "seq_mean_token_sum": seq_mean_token_sum,
    "seq_mean_token_sum_norm": seq_mean_token_sum_norm,
}
