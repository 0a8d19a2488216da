"""What a run looked like on its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray, IntArray
from levelhead.lab import sampler
from levelhead.lab.run import Run
from levelhead.lab.world import World
from levelhead.metrics import ece
from levelhead.rewards import reward_table

__all__ = ["History", "Records", "normalized"]

SAME = 12  # decimals to which rewards are compared: under Brier, 0.1 and 1 - 0.9 earn the same


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """How a run went. All but `clipped` are exact expectations under the policy, not samples.

    Attributes:
        updates: (T,) number of updates made.
        reward: (T,) expected reward.
        ece: (T,) ECE of the mean prediction, 10 bins.
        entropy: (T,) mean entropy over the questions, nats.
        clipped: (T,) share of the samples whose clipped term is strictly smaller, over the updates
            since the row before; NaN without a clip and in the first row.
        constant: (T,) share of the groups whose rewards are all equal.
        mean: (T, C) mean prediction of each category.
    """

    updates: IntArray
    reward: FloatArray
    ece: FloatArray
    entropy: FloatArray
    clipped: FloatArray
    constant: FloatArray
    mean: FloatArray


class Records:
    """Rows of the histories of a stack of runs."""

    def __init__(self, world: World, runs: Sequence[Run], every: int, clip: float | None) -> None:
        self.world, self.runs, self.every, self.clip = world, runs, every, clip
        tables = [reward_table(run.reward, world.values) for run in runs]
        self.cells = [sampler.cells_of(world, table) for table in tables]
        self.weights = world.counts.ravel().astype(np.float64)
        self.outcome = np.tile([0.0, 1.0], world.n_categories)
        self.updates: list[int] = []
        self.rows: list[list[tuple[float, ...]]] = [[] for _ in runs]
        self.means: list[list[FloatArray]] = [[] for _ in runs]
        self._clipped = np.zeros(len(runs))
        self._since = 0

    def due(self, made: int, n_updates: int) -> bool:
        return made % self.every == 0 or made == n_updates

    def add_clipped(self, share: FloatArray) -> None:
        self._clipped += share
        self._since += 1

    def take(self, made: int, policy: npt.NDArray[Any]) -> None:
        self.updates.append(made)
        for i, (cells, run) in enumerate(zip(self.cells, self.runs, strict=True)):
            pi = normalized(policy[i])
            mean = np.clip(pi @ self.world.values, 0.0, 1.0)
            joint = cells.probabilities(pi)
            questions = cells.questions / cells.questions.sum()
            with np.errstate(divide="ignore", invalid="ignore"):
                plogp = np.where(pi > 0.0, pi * np.log(pi), 0.0)
            share = self.world.counts.sum(axis=1) / self.world.n_questions
            if self.clip is None or made == 0:
                clipped = float("nan")
            else:
                clipped = float(self._clipped[i] / self._since) if self._since else 0.0
            self.rows[i].append(
                (
                    float((joint * cells.rewards).sum(axis=1) @ questions),
                    ece(np.repeat(mean, 2), self.outcome, weights=self.weights),
                    float(-plogp.sum(axis=1) @ share),
                    clipped,
                    constant_share(cells, pi, run.group_size),
                )
            )
            self.means[i].append(mean)
        self._clipped[:] = 0.0
        self._since = 0

    def history(self, i: int) -> History:
        reward, ece_, entropy, clipped, constant = np.array(self.rows[i]).T
        return History(
            np.array(self.updates),
            reward,
            ece_,
            entropy,
            clipped,
            constant,
            np.array(self.means[i]),
        )


def normalized(policy: npt.NDArray[Any]) -> FloatArray:
    """A policy in float64, rows summing to 1."""
    exact = policy.astype(np.float64)
    return exact / exact.sum(axis=-1, keepdims=True)


def constant_share(cells: sampler.Cells, policy: FloatArray, group_size: int) -> float:
    """Expected share of the groups whose rewards are all equal.

    Args:
        cells: what is sampled.
        policy: (C, K) probabilities.
        group_size: G.

    Returns:
        A number in [0, 1].
    """
    probabilities = cells.probabilities(policy)
    chance = np.empty(cells.questions.size)
    for x, (p, r) in enumerate(zip(probabilities, cells.rewards, strict=True)):
        _, kind = np.unique(np.round(r, SAME), return_inverse=True)
        chance[x] = (np.bincount(kind, p) ** group_size).sum()
    return float(chance @ cells.questions / cells.questions.sum())
