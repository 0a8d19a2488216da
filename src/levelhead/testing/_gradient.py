"""The expected policy gradient of an estimator, by enumeration of everything that can happen.

A policy over K probability tokens with logits theta, a group of G draws from it and one outcome that
the group shares: K^G 2 cases, each with its probability. All probabilities are whole multiples of
some 1 / D, so the cases can also be laid out as one batch in which each occurs as often as it is
likely: for an estimator that looks at the whole batch, the limit of infinitely many groups.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import AdvantageFunction
from levelhead.testing._contract import FAILURES, ContractError

__all__ = ["Difference", "World", "difference", "worlds"]

VALUES = (0.1, 0.3, 0.6, 0.9)
POLICIES = ((2, 2, 2, 2), (1, 1, 2, 4), (5, 1, 1, 1))  # eighths
OUTCOMES = ((3, 1), (1, 1), (1, 3))  # odds of 0 against 1
SIZES = (2, 3, 4)
TWO_VALUES = (0.6, 0.98)  # where p = 0.75 is nearer to the lower one, and GRPO raises the upper one
TWO_POLICIES, LARGE_SIZE = ((1, 1), (1, 3)), 8  # an estimator may be another one in large groups
LARGEST_BATCH = 10_000  # groups; a batch of 8^4 4 would tell nothing that 8^3 4 does not


@dataclasses.dataclass(frozen=True)
class World:
    """One policy, one probability of the outcome and one size of group, under the log score.

    Attributes:
        policy: (K,) whole shares of the tokens: four of `VALUES`, or two of `TWO_VALUES`.
        odds: of outcome 0 against outcome 1, whole numbers.
        size: G.
    """

    policy: tuple[int, ...]
    odds: tuple[int, int]
    size: int

    def __str__(self) -> str:
        shares = ", ".join(str(share) for share in self.policy)
        return (
            f"G = {self.size}, p = {self.truth:g} and a policy of ({shares}) / {sum(self.policy)}"
        )

    @property
    def truth(self) -> float:
        """The probability of outcome 1."""
        return self.odds[1] / sum(self.odds)

    @property
    def probabilities(self) -> FloatArray:
        """(K,) of the tokens."""
        return np.array(self.policy) / sum(self.policy)

    @property
    def scores(self) -> FloatArray:
        """(2, K) the log score of each token by outcome."""
        values = np.array(VALUES if len(self.policy) == len(VALUES) else TWO_VALUES)
        return np.log(np.stack([1.0 - values, values]))

    @property
    def exact(self) -> FloatArray:
        """(K,) the gradient of the expected score with respect to the logits."""
        expected = (1.0 - self.truth) * self.scores[0] + self.truth * self.scores[1]
        pi = self.probabilities
        return pi * (expected - pi @ expected)

    def cases(self) -> tuple[IntArray, FloatArray, IntArray]:
        """Every case: tokens (M, G), their rewards (M, G), and how often it happens (M,)."""
        drawn = np.array(list(itertools.product(range(len(self.policy)), repeat=self.size)))
        often = np.array(self.policy)[drawn].prod(axis=1)
        tokens = np.tile(drawn, (len(self.odds), 1))
        rewards = np.concatenate([row[drawn] for row in self.scores])
        return tokens, rewards, np.outer(self.odds, often).ravel()

    def gradient(
        self, estimator: AdvantageFunction, label: str, *, whole: bool, visits: int
    ) -> FloatArray:
        """(K,) the expectation of mean_i A_i d log pi(k_i) / d theta.

        Args:
            estimator: what is examined; it is copied before, as it may have a memory.
            label: what to call it in an error.
            whole: lay the cases out as one batch, each as often as it is likely.
            visits: how often every group has been seen before, with the same rewards for all.

        Raises:
            ContractError: it raises, or what it returns is not one finite number per reward.
        """
        tokens, rewards, times = self.cases()
        if whole:
            tokens, rewards = np.repeat(tokens, times, axis=0), np.repeat(rewards, times, axis=0)
            times = np.ones(tokens.shape[0], dtype=np.int64)
        ids: IntArray = np.arange(tokens.shape[0], dtype=np.int64)
        groups = np.repeat(ids, self.size)
        earlier = self.scores[1, np.arange(self.size) % len(self.policy)]
        try:
            function = copy.deepcopy(estimator)
            for _ in range(visits):
                function(np.tile(earlier, tokens.shape[0]), groups)
            found = np.asarray(function(rewards.ravel(), groups), dtype=np.float64)
        except FAILURES as error:
            raise ContractError(
                f"{label}: expected advantages for {tokens.size} rewards in groups of {self.size}, "
                f"got {type(error).__name__}: {error}; for {self}"
            ) from error
        if found.shape != groups.shape or not np.isfinite(found).all():
            raise ContractError(
                f"{label}: expected {tokens.size} finite advantages for groups of {self.size}, got "
                f"shape {found.shape} with {np.count_nonzero(~np.isfinite(found))} that are not "
                f"finite; for {self}"
            )
        advantages = found.reshape(tokens.shape)
        pi = self.probabilities
        weights = times / times.sum()
        direction = np.eye(pi.size)[tokens] - pi  # (M, G, K)
        return np.einsum("m,mg,mgk->k", weights, advantages, direction) / self.size


@dataclasses.dataclass(frozen=True)
class Difference:
    """How an expected gradient differs from the exact one.

    Attributes:
        factor: the multiple of the exact gradient that is nearest to it.
        angle: between the two, in degrees; 180 for the opposite direction.
        gap: the largest absolute difference to a declared multiple, NaN where none is declared.
    """

    factor: float
    angle: float
    gap: float


def difference(got: FloatArray, exact: FloatArray, declared: float | None) -> Difference:
    """Compare two gradients (K,)."""
    factor = float(got @ exact / (exact @ exact))
    across = float(np.linalg.norm(got - factor * exact))
    along = factor * float(np.linalg.norm(exact))
    angle = math.degrees(math.atan2(across, along)) if across or along else 90.0
    gap = math.nan if declared is None else float(np.abs(got - declared * exact).max())
    return Difference(factor, angle, gap)


def worlds(sizes: Sequence[int] = SIZES, *, whole: bool = False) -> Iterator[World]:
    """Every policy with every probability and every size; small batches only where `whole`.

    In the end large groups over two tokens, which are few enough to enumerate.
    """
    small = itertools.product(sizes, POLICIES, OUTCOMES)
    large = itertools.product((LARGE_SIZE,), TWO_POLICIES, OUTCOMES)
    for size, policy, odds in itertools.chain(small, large):
        if not whole or sum(policy) ** size * sum(odds) <= LARGEST_BATCH:
            yield World(policy, odds, size)
