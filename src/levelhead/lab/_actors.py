"""What a run does in a rollout: which sampler it needs, and what it learns besides the policy."""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import TABLE
from levelhead.lab import sampler
from levelhead.lab._batches import Remembered, Whole
from levelhead.lab.policy import AdamW
from levelhead.lab.run import Run
from levelhead.lab.world import World
from levelhead.rewards import reward_table

__all__ = ["Actor", "actor_of"]

EPS = 1e-6  # of the estimators that are taken apart instead of being called: their default


class _Source(Protocol):
    def draw(self, policy: FloatArray) -> sampler.Sums: ...


class Actor:
    """What a run does in a rollout."""

    value: FloatArray | None = None

    def __init__(self, source: _Source, n_samples: int) -> None:
        self.source, self.n_samples = source, n_samples

    def draw(self, policy: FloatArray) -> sampler.Sums:
        return self.source.draw(policy)


class _Exact:
    """The gradient of the expected reward given the observed outcomes, without a sample."""

    def __init__(self, cells: sampler.Cells, world: World, rewards: FloatArray) -> None:
        rates = world.empirical_rates if world.outcomes == "shared" else world.rates
        questions = world.counts.sum(axis=1)
        p = np.where(questions > 0, rates, 0.0)[:, None]
        self.sums = questions[:, None] * (p * rewards[1] + (1.0 - p) * rewards[0])

    def draw(self, policy: FloatArray) -> sampler.Sums:
        return sampler.Sums(self.sums * policy)


class _Valued(Actor):
    """PPO: the baseline is a value of the category, learned by one step on each rollout."""

    def __init__(
        self, cells: sampler.Cells, run: Run, rng: np.random.Generator, signed: bool
    ) -> None:
        n_samples = int(cells.questions.sum()) * run.group_size
        source = sampler.Counted(cells, run.group_size, rng, self._advantage, signed=signed)
        super().__init__(source, n_samples)
        self.cells = cells
        self.samples = np.zeros(cells.n_categories)
        np.add.at(self.samples, cells.category, cells.questions * run.group_size)
        self.value = np.zeros(cells.n_categories)
        self.adam = AdamW(self.value.shape, lr=run.value_lr, weight_decay=run.weight_decay)

    def _advantage(self, counts: IntArray) -> FloatArray:
        value = np.zeros(self.cells.n_categories) if self.value is None else self.value
        advantages = self.cells.rewards - value[self.cells.category][:, None]
        earned = np.zeros(value.size)
        np.add.at(earned, self.cells.category, (counts * self.cells.rewards).sum(axis=1))
        self.value = self.adam.step(value, 2.0 * (self.samples * value - earned) / self.n_samples)
        return advantages


class _Batched:
    """A group's numerators divided by the standard deviation of all rewards of the rollout."""

    def __init__(self, groups: sampler.Grouped, eps: float, ddof: int) -> None:
        self.groups, self.eps, self.ddof = groups, eps, ddof

    def draw(self, policy: FloatArray) -> sampler.Sums:
        sums = self.groups.draw(policy)
        spread = _spread(self.groups.counts, self.groups.cells.rewards, self.ddof)
        if spread == 0.0:
            return sums  # all zeros, as no two rewards differ
        scale = 1.0 / (spread + self.eps)
        plus = None if sums.plus is None else sums.plus * scale
        return dataclasses.replace(sums, total=sums.total * scale, plus=plus)


def _spread(counts: IntArray, rewards: FloatArray, ddof: int) -> float:
    """Standard deviation of rewards that occur `counts` times."""
    n = counts.sum()
    mean = (counts * rewards).sum() / n
    return float(np.sqrt((counts * (rewards - mean) ** 2).sum() / (n - ddof)))


def _whiten(counts: IntArray, *, rewards: FloatArray, eps: float, ddof: int) -> FloatArray:
    seen = counts > 0
    if np.ptp(rewards[seen]) == 0.0:
        return np.zeros_like(rewards)
    mean = (counts * rewards).sum() / counts.sum()
    return (rewards - mean) / (_spread(counts, rewards, ddof) + eps)


def actor_of(world: World, run: Run, signed: bool) -> Actor:
    rewards = reward_table(run.reward, world.values)
    cells = sampler.cells_of(world, rewards)
    rng = np.random.default_rng(run.seed)
    n_samples = world.n_questions * run.group_size
    name, size = run.estimator, run.group_size
    if name == "ppo":
        return _Valued(cells, run, rng, signed)
    if name == "rb_exact":
        return Actor(_Exact(cells, world, rewards), world.n_questions)
    row = TABLE[name]
    eps = EPS if run.eps is None else run.eps
    ddof = 1 if run.ddof is None else run.ddof
    if row.scope == "sample":
        block = row.dense(cells.rewards)
        source: _Source = sampler.Counted(cells, size, rng, lambda _: block, signed=signed)
    elif name == "reinforce_pp":
        whiten = functools.partial(_whiten, rewards=cells.rewards, eps=eps, ddof=ddof)
        source = sampler.Counted(cells, size, rng, whiten, signed=signed)
    elif name == "batch_std":
        numerator = TABLE["grpo_no_std"].dense
        groups = sampler.Grouped(cells, size, rng, numerator, signed=signed, counting=True)
        source = _Batched(groups, eps, ddof)
    elif name == "ema_std":
        numerator = TABLE["grpo_no_std"].dense
        source = Remembered(
            cells,
            size,
            rng,
            numerator,
            decay=0.9 if run.decay is None else run.decay,
            eps=eps,
            ddof=ddof,
            signed=signed,
            by_question=run.scale_of == "question",
        )
    elif row.scope == "group":
        dense = functools.partial(row.dense, **run.options)
        source = sampler.Grouped(cells, size, rng, dense, signed=signed)
    else:
        source = Whole(cells, size, rng, row.dense, signed=signed)
    return Actor(source, n_samples)
