"""Slow and obvious oracles: enumeration of everything that a group can be."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from levelhead._arrays import FloatArray

VALUES = np.array([0.05, 0.2, 0.5, 0.65, 0.9])
LOG = np.stack([np.log(1 - VALUES), np.log(VALUES)])
BRIER = np.stack([-(VALUES**2), -((1 - VALUES) ** 2)])
NORM = np.sqrt(VALUES**2 + (1 - VALUES) ** 2)
SPHERICAL = np.stack([(1 - VALUES) / NORM, VALUES / NORM])


@dataclasses.dataclass(frozen=True)
class Setting:
    """A policy over five tokens, a true probability, and the tokens' rewards by outcome."""

    policy: FloatArray
    truth: float
    rewards: FloatArray  # (2, K)

    @property
    def quality(self) -> FloatArray:
        """(K,) the expected reward of each token."""
        return (1 - self.truth) * self.rewards[0] + self.truth * self.rewards[1]

    @property
    def value(self) -> float:
        return float(self.policy @ self.quality)

    @property
    def advantage(self) -> FloatArray:
        """(K,) the true advantage."""
        return self.quality - self.value

    @property
    def imbalance(self) -> FloatArray:
        """(K,) F(k-) - (1 - F(k)): how much of the policy is below a token minus how much above."""
        below = np.cumsum(self.policy) - self.policy
        return below - (1 - np.cumsum(self.policy))

    def expected(self, function: Callable[..., FloatArray], size: int) -> FloatArray:
        """(K,) E[A_1 | k_1 = k] over the outcome and the other tokens, group by group."""
        out = np.zeros(self.policy.size)
        for outcome, chance in ((0, 1 - self.truth), (1, self.truth)):
            for others in itertools.product(range(self.policy.size), repeat=size - 1):
                weight = chance * float(np.prod(self.policy[list(others)]))
                for own in range(self.policy.size):
                    rewards = self.rewards[outcome, [own, *others]]
                    out[own] += weight * function(rewards, np.zeros(size, dtype=int))[0]
        return out


@pytest.fixture(params=["log", "brier", "spherical"])
def setting(request: pytest.FixtureRequest) -> Setting:
    table = {"log": LOG, "brier": BRIER, "spherical": SPHERICAL}[request.param]
    truth = {"log": 0.7, "brier": 0.3, "spherical": 0.85}[request.param]
    return Setting(np.array([0.1, 0.3, 0.15, 0.25, 0.2]), truth, table)
