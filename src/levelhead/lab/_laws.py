"""What a group draws its rewards from: distinct rewards, and the tokens and outcomes behind each.

An estimator sees rewards alone, so tokens of equal reward are one symbol to it. Counting symbols
instead of tokens is what keeps exact answers small: on a grid that is symmetric about 1/2 the
(token, outcome) pairs of a symmetric scoring rule share their rewards two by two.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from levelhead._arrays import (
    ArrayLike,
    FloatArray,
    IntArray,
    class_probabilities,
    probabilities,
    real,
)
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "chance",
    "Outcomes",
    "RewardLaw",
    "distinct",
    "policies",
    "regime",
    "reward_laws",
    "reward_rows",
    "same_values",
    "truths",
    "whole_group",
]

Outcomes = Literal["shared", "independent"]

TIE = 1e-12
"""Rewards nearer than this share of the largest one are equal: ln 0.3 and ln(1 - 0.7) must be. It is
far below the rounding at which estimators take a whole group for constant, since ranks and maxima
tell smaller differences apart."""


def distinct(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """The distinct values in ascending order, and the position of each value among them."""
    order = np.argsort(values, axis=None, kind="stable")
    ascending = values.ravel()[order]
    fresh = np.diff(ascending, prepend=-np.inf) > TIE * np.abs(ascending).max(initial=0.0)
    index = np.empty(values.size, dtype=np.int64)
    index[order] = np.cumsum(fresh) - 1
    return ascending[fresh], index.reshape(values.shape)


def same_values(a: FloatArray, b: FloatArray) -> bool:
    """Whether two sets of distinct rewards are equal, by the rule that makes rewards equal."""
    if a.size != b.size:
        return False
    return bool(np.abs(a - b).max(initial=0.0) <= TIE * np.abs(a).max(initial=0.0))


@dataclasses.dataclass(frozen=True)
class RewardLaw:
    """One law from which a group's members draw their rewards.

    Attributes:
        values: (S,) distinct rewards, ascending.
        index: outcome -> (K,) position in `values` of each token's reward under that outcome. One
            entry where the group shares its outcome, two where every member has its own.
    """

    values: FloatArray
    index: dict[int, IntArray]

    def weights(self, policy: FloatArray, p: FloatArray) -> FloatArray:
        """(P, S) probability of each distinct reward."""
        shared = len(self.index) == 1
        out = np.zeros((policy.shape[0], self.values.size))
        for outcome, index in self.index.items():
            share = policy if shared else policy * chance(p, outcome)[:, None]
            out += share @ (index[:, None] == np.arange(self.values.size))
        return out

    def per_token(self, of_symbol: FloatArray, out: FloatArray) -> None:
        """Writes what is known per symbol, (P, S), to the tokens of each outcome: (2, P, K)."""
        for outcome, index in self.index.items():
            out[outcome] = of_symbol[:, index]


def reward_laws(rewards: FloatArray, outcomes: Outcomes) -> list[RewardLaw]:
    """One law per outcome where the group shares it; one law of both where it does not."""
    if outcomes == "shared":
        laws: list[RewardLaw] = []
        for outcome in (0, 1):
            values, index = distinct(rewards[outcome])
            laws.append(RewardLaw(values, {outcome: index}))
        return laws
    values, index = distinct(rewards)
    return [RewardLaw(values, {0: index[0], 1: index[1]})]


def chance(p: FloatArray, outcome: int) -> FloatArray:
    """Probability of an outcome where p is that of outcome 1."""
    return p if outcome == 1 else 1.0 - p


def policies(policy: ArrayLike) -> FloatArray:
    """`policy` as (P, K) probabilities; one row may come without its axis."""
    return class_probabilities("policy", np.atleast_2d(np.asarray(policy, dtype=np.float64)))


def truths(p: ArrayLike, policy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`p` as (P,) probabilities and the policy with as many rows: one of either serves for all."""
    truth = probabilities("p", np.atleast_1d(np.asarray(p, dtype=np.float64)))
    rows, size = policy.shape[0], truth.size
    if rows != size and 1 not in (rows, size):
        raise InvalidInputError(f"p: expected {rows} values, one per policy, got {size}")
    many = max(rows, size)
    return np.broadcast_to(truth, many), np.broadcast_to(policy, (many, policy.shape[1]))


def reward_rows(rewards: ArrayLike, n_tokens: int | None = None) -> FloatArray:
    """`rewards` as a finite (2, K) table: row a holds the rewards where the outcome is a."""
    table = np.asarray(rewards, dtype=np.float64)
    wanted = "K" if n_tokens is None else str(n_tokens)
    if table.ndim != 2 or table.shape[0] != 2 or table.shape[1] != (n_tokens or table.shape[1]):
        raise InvalidInputError(f"rewards: expected shape (2, {wanted}), got {table.shape}")
    if not np.isfinite(table).all():
        raise InvalidInputError("rewards: expected finite values, got NaN or infinity")
    return table


def regime(outcomes: str) -> Outcomes:
    """`outcomes` if it names a regime."""
    if outcomes not in ("shared", "independent"):
        raise unknown_name("outcomes", outcomes, ("shared", "independent"))
    return outcomes


def whole_group(group_size: int) -> int:
    """`group_size` if a group has at least two members."""
    if not real("group_size", group_size).is_integer():
        raise InvalidInputError(f"group_size: expected a whole number, got {group_size}")
    if group_size < 2:
        raise InvalidInputError(f"group_size: expected at least 2, got {group_size}")
    return int(group_size)
