"""Exact expectations on the tabular policy: what an estimator does on average, without sampling.

A policy puts probabilities on K tokens; the token k earns `rewards[a, k]` where the outcome is a.
The expected advantage of a token under an estimator decides where the policy is driven. For an
estimator that treats the members of a group alike it is a sum over multisets of rewards, and the
advantages in that sum do not depend on the policy: `AdvantageTable` asks the estimator for them once.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from scipy.special import gammaln

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.advantages import AdvantageFunction
from levelhead.errors import InvalidInputError
from levelhead.lab._laws import (
    Outcomes,
    RewardLaw,
    chance,
    policies,
    regime,
    reward_laws,
    reward_rows,
    same_values,
    truths,
    whole_group,
)

__all__ = [
    "AdvantageTable",
    "policy_gradient",
    "true_advantage",
]

MAX_GROUPS = 200_000
RESHUFFLED = 1_000  # groups that are shown to the estimator a second time, in another order
ORDER_TOLERANCE = 1e-4  # of the largest advantage: float32 estimators round, position does more
LEAST = 1e-200
"""Stands in for probability 0. The expectation given one's own token is a polynomial in the
probabilities, so this moves it by 1e-200, and own tokens of probability 0 need no case of their own."""


def true_advantage(policy: ArrayLike, p: ArrayLike, rewards: ArrayLike) -> FloatArray:
    """Advantage of every token: its expected reward minus that of the policy.

    A_k = p (R[1, k] - mu_1) + (1 - p) (R[0, k] - mu_0),  mu_a = sum_k pi_k R[a, k]

    Args:
        policy: (P, K) probabilities, or (K,) for all p.
        p: (P,) true probabilities of outcome 1, or one for all policies.
        rewards: (2, K) finite, row a for outcome a, any unit.

    Returns:
        (P, K) in the unit of `rewards`.

    Edge cases: a token of probability 0 has an advantage like any other.
    Properties: sums to zero under the policy; linear in p.
    Reference: appendix A.1 of arXiv:2508.11800, whose last lines lose two signs.

    Example:
        >>> true_advantage([0.5, 0.5], 0.75, [[0.0, -4.0], [-4.0, 0.0]])
        array([[-1.,  1.]])
    """
    table = reward_rows(rewards)
    truth, pi = truths(p, policies(policy))
    table = reward_rows(table, pi.shape[1])
    q = truth[:, None] * table[1] + (1.0 - truth[:, None]) * table[0]
    return q - np.sum(pi * q, axis=1, keepdims=True)


def policy_gradient(policy: ArrayLike, advantage: ArrayLike) -> FloatArray:
    """Expected update direction of the logits of a softmax policy.

    g_k = pi_k (A_k - sum_j pi_j A_j)

    Args:
        policy: (P, K) probabilities, or (K,).
        advantage: (P, K) expected advantage of each token, any unit.

    Returns:
        (P, K), to be added to the logits.

    Raises:
        InvalidInputError: the shapes differ.

    Edge cases: a policy with all its mass on one token gets 0, whatever the advantages are.
    Properties: sums to zero; unchanged when a constant is added to the advantages.
    Reference: Williams 1992.

    Example:
        >>> policy_gradient([[0.5, 0.5]], [[1.0, -1.0]])
        array([[ 0.5, -0.5]])
    """
    pi = policies(policy)
    a = np.atleast_2d(np.asarray(advantage, dtype=np.float64))
    if a.shape != pi.shape:
        raise InvalidInputError(f"advantage: expected shape {pi.shape}, got {a.shape}")
    return pi * (a - np.sum(pi * a, axis=1, keepdims=True))


@dataclasses.dataclass(frozen=True)
class _Piece:
    """The multisets of one law's rewards, and what the estimator says about each."""

    law: RewardLaw
    counts: FloatArray  # (S, M) how often each reward is in each multiset
    log_ways: FloatArray  # (M,) log multinomial coefficients
    moment: FloatArray  # (M, S) count x advantage / G

    def expected(self, policy: FloatArray, p: FloatArray) -> FloatArray:
        """(P, S) expected advantage of a member whose own reward is given."""
        q = np.maximum(self.law.weights(policy, p), LEAST)
        weight = np.log(q) @ self.counts
        weight += self.log_ways
        return np.exp(weight, out=weight) @ self.moment / q


@dataclasses.dataclass(frozen=True)
class AdvantageTable:
    """The advantages of one estimator on every group that can occur, and their expectations.

    E[A_hat | own token k] = sum over multisets m of  w_m n_k A_k(m) / (G pi_k),
    w_m = G! prod_j pi_j^{n_j} / n_j!

    Symbols are distinct rewards, so a shared outcome needs C(K + G - 1, G) multisets per outcome and
    independent outcomes C(S + G - 1, G), S the number of distinct rewards of both outcomes.
    An estimator whose advantages depend on the other prompts of its batch has no such table: what
    would be tabulated is its behavior in a batch of every multiset once.

    Attributes:
        rewards: (2, K) the rewards it was built for.
        group_size: G.
        outcomes: "shared" by a group, or "independent" for every member.
        n_groups: how many groups the estimator was shown, without the repeated ones.
        order_dependent: whether a second order of the same groups changed an advantage: the order of
            their members, or which groups they stand beside.
        pieces: one per law of rewards; internal.
    """

    rewards: FloatArray
    group_size: int
    outcomes: Outcomes
    n_groups: int
    order_dependent: bool
    pieces: tuple[_Piece, ...]

    @classmethod
    def build(
        cls,
        estimator: AdvantageFunction,
        rewards: ArrayLike,
        group_size: int,
        *,
        outcomes: str = "shared",
        seed: int = 0,
        max_groups: int = MAX_GROUPS,
    ) -> AdvantageTable:
        """Ask the estimator, in one call, for the advantages of every multiset of rewards.

        The groups are complete and their members stand together, in a random order. Members of equal
        reward are averaged, so a tie that is broken by position is broken by lot.

        Args:
            estimator: (rewards (N,), groups (N,)) -> advantages (N,).
            rewards: (2, K) finite, row a for outcome a.
            group_size: G >= 2.
            outcomes: "shared" or "independent".
            seed: of the orders within the groups.
            max_groups: refuse beyond this many groups.

        Returns:
            The table.

        Raises:
            InvalidInputError: too many groups, or the estimator's answer has the wrong length or is
                not finite.

        Example:
            >>> def no_std(rewards, groups):
            ...     return rewards - (np.bincount(groups, rewards) / np.bincount(groups))[groups]
            >>> table = AdvantageTable.build(no_std, [[0.0, -4.0], [-4.0, 0.0]], 2)
            >>> table.expected([0.5, 0.5], 0.75)
            array([[-0.5,  0.5]])
        """
        table = reward_rows(rewards)
        size = whole_group(group_size)
        kind = regime(outcomes)
        laws = reward_laws(table, kind)
        sets = _sets_of(laws)
        many = sum(math.comb(law.values.size + size - 1, size) for law in sets)
        if many > max_groups:
            raise InvalidInputError(
                f"group_size: expected at most {max_groups} different groups, got {many} with "
                f"{max(law.values.size for law in sets)} distinct rewards and G = {size}; use fewer "
                "tokens or smaller groups"
            )
        members = [_multisets(law.values.size, size) for law in sets]
        shown = [law.values[one] for law, one in zip(sets, members, strict=True)]
        answers, moved = _ask(estimator, np.concatenate(shown), seed)
        done: list[tuple[RewardLaw, FloatArray, FloatArray, FloatArray]] = []
        first = 0
        for law, one in zip(sets, members, strict=True):
            done.append((law, *_moments(one, answers[first : first + len(one)], law.values.size)))
            first += len(one)
        pieces = tuple(
            next(
                _Piece(law, counts, ways, moment)
                for known, counts, ways, moment in done
                if same_values(known.values, law.values)
            )
            for law in laws
        )
        return cls(table, size, kind, many, moved, pieces)

    def expected_given(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(2, P, K) expected advantage given one's own token and outcome, row a for outcome a."""
        truth, pi = truths(p, policies(policy))
        reward_rows(self.rewards, pi.shape[1])
        out = np.empty((2, *pi.shape))
        for piece in self.pieces:
            piece.law.per_token(piece.expected(pi, truth), out)
        return out

    def expected(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(P, K) expected advantage given one's own token, for policies (P, K) and truths (P,)."""
        zero, one = self.expected_given(policy, p)
        truth = np.atleast_1d(np.asarray(p, dtype=np.float64))[:, None]
        return zero + truth * (one - zero)

    def gradient(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(P, K) expected update of the logits, an ascent direction."""
        expected = self.expected(policy, p)
        return policy_gradient(np.broadcast_to(policies(policy), expected.shape), expected)

    def frac_zero(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(P,) probability of a group whose rewards are all equal, from which nothing is learned."""
        truth, pi = truths(p, policies(policy))
        total = np.zeros(truth.size)
        for piece in self.pieces:
            same = np.sum(piece.law.weights(pi, truth) ** self.group_size, axis=1)
            outcomes = list(piece.law.index)
            total += same if len(outcomes) == 2 else same * chance(truth, outcomes[0])
        return total


def _sets_of(laws: list[RewardLaw]) -> list[RewardLaw]:
    """One law for each different set of rewards: a symmetric rule has one set for both outcomes."""
    found: list[RewardLaw] = []
    for law in laws:
        if not any(same_values(law.values, other.values) for other in found):
            found.append(law)
    return found


def _multisets(n_symbols: int, size: int) -> IntArray:
    """(M, G) every multiset of `size` symbols, as sorted members."""
    every = itertools.combinations_with_replacement(range(n_symbols), size)
    flat = np.fromiter(itertools.chain.from_iterable(every), np.int64)
    return flat.reshape(-1, size)


def _ask(estimator: AdvantageFunction, groups: FloatArray, seed: int) -> tuple[FloatArray, bool]:
    """The advantages (M, G) of groups (M, G), and whether another order changes them."""
    many, size = groups.shape
    rng = np.random.default_rng(seed)
    again = rng.choice(many, min(many, RESHUFFLED), replace=False)  # beside other groups, too
    which = np.concatenate([np.arange(many), again])
    order = np.argsort(rng.random((which.size, size)), axis=1)
    shown = np.take_along_axis(groups[which], order, axis=1)
    ids = np.repeat(np.arange(which.size), size)
    got = np.asarray(estimator(shown.ravel(), ids), dtype=np.float64)
    if got.shape != (shown.size,):
        raise InvalidInputError(
            f"estimator: expected {shown.size} advantages, one per reward, got shape {got.shape}"
        )
    bad = ~np.isfinite(got)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"estimator: expected finite advantages, got {got[i]} for a group with the rewards "
            f"{shown[i // size].tolist()}"
        )
    back = np.empty_like(shown)
    np.put_along_axis(back, order, got.reshape(shown.shape), axis=1)
    scale = max(float(np.abs(got).max(initial=0.0)), np.finfo(np.float64).tiny)
    change = float(np.abs(back[many:] - back[again]).max(initial=0.0))
    return back[:many], change > ORDER_TOLERANCE * scale


def _moments(
    members: IntArray, advantages: FloatArray, n_symbols: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Counts (S, M), log multinomial coefficients (M,), and count x advantage / G (M, S)."""
    many, size = members.shape
    cell = (np.arange(many)[:, None] * n_symbols + members).ravel()
    counts = np.bincount(cell, minlength=many * n_symbols).reshape(many, n_symbols)
    total = np.bincount(cell, advantages.ravel(), many * n_symbols).reshape(many, n_symbols)
    log_ways = gammaln(size + 1.0) - gammaln(counts + 1.0).sum(axis=1)
    return np.ascontiguousarray(counts.T, dtype=np.float64), log_ways, total / size
