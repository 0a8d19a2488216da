"""Training runs in the tabular world, all of them at once.

A rollout is reduced to sums by category and token (`levelhead.lab.sampler`), after which an update is
arithmetic on one array over runs, categories and tokens. Every run has a generator of its own and
shares nothing with the others, so that its result is the same whatever it is advanced with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab._actors import actor_of
from levelhead.lab._history import History, Records, normalized
from levelhead.lab.policy import AdamW
from levelhead.lab.ratio_loss import RatioLoss
from levelhead.lab.run import ESTIMATORS, Run
from levelhead.lab.world import World

__all__ = ["ESTIMATORS", "History", "Run", "Trained", "simulate"]

STATE = np.float32
"""Of logits and moments, as in torch. Sums over samples are float64."""

TOGETHER = 32  # runs in one array: larger ones fall out of the cache
TINY = 1e-17
"""Added to every gradient: a step of 1e-9 lr, below the resolution of a logit, which keeps the moments
of dead tokens out of the denormal numbers, where some processors are a hundred times slower."""

State = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What a run ended in.

    Attributes:
        run: the settings.
        policy: (C, K) probabilities.
        value: (C,) the value model, or None where there is none.
        history: what was recorded, or None.
        n_updates: how many updates were made; fewer than asked for where the run was stopped.
    """

    run: Run
    policy: FloatArray
    value: FloatArray | None
    history: History | None
    n_updates: int


def simulate(
    world: World,
    runs: Sequence[Run],
    *,
    progress: Callable[[float], None] | None = None,
    record: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> list[Trained]:
    """Train a tabular policy for each run.

    Every rollout asks every question G times and sums the advantages by category and token; each of
    its updates takes one AdamW step against the gradient of the loss, the mean over all samples of

        -min(rho A, clip(rho, 1 - clip, 1 + clip) A),  rho = pi(token) / pi_rollout(token)

    Policies start uniform. The value model of `ppo` starts at 0 and takes one step on the squared error
    to the rewards of each rollout, after the advantages and before the updates.

    Args:
        world: the questions.
        runs: in any number and mixture; those with the same schedule advance as one array.
        progress: is told the share that is done, in [0, 1], now and then.
        record: number of updates between two rows of the history; 0 records nothing.
        should_stop: asked now and then; True ends all runs where they are.

    Returns:
        One result for each run, in order.

    Raises:
        InvalidInputError: `record` is negative.

    Edge cases: no runs give no results. The result of a run is the same, bit for bit, whatever runs it
        is trained with.
    Reference: experiment 1 of arXiv:2508.11800; the clipped loss: Schulman et al. 2017
        (arXiv:1707.06347).

    Example:
        >>> from levelhead.lab.world import paper_world
        >>> run = Run("rb_exact", seed=0, n_updates=200, lr=0.1)
        >>> trained = simulate(paper_world(), [run])[0]
        >>> trained.policy.shape, bool(trained.policy.max() > 0.5)
        ((20, 99), True)
    """
    if record < 0:
        raise InvalidInputError(f"record: expected an integer >= 0, got {record}")
    _keep_heap()
    batches: dict[tuple[Any, ...], list[int]] = {}
    for i, run in enumerate(runs):
        key = tuple(getattr(run, name) for name in _SCHEDULE)
        batches.setdefault(key, []).append(i)
    stacks = [
        _Stack(world, [runs[i] for i in places[at : at + TOGETHER]], record)
        for places in batches.values()
        for at in range(0, len(places), TOGETHER)
    ]
    order = [i for places in batches.values() for i in places]
    total = float(sum(stack.work for stack in stacks))
    done = 0.0
    results: list[Trained] = []
    for stack in stacks:

        def tell(share: float, before: float = done, size: float = stack.work) -> None:
            if progress is not None:
                progress((before + share * size) / total)

        results += stack.train(tell, should_stop)
        done += stack.work
    placed = dict(zip(order, results, strict=True))
    return [placed[i] for i in range(len(runs))]


def _keep_heap() -> None:
    """Free one large block, after which the GNU allocator keeps smaller ones for reuse.

    Otherwise it gives every array of a rollout back to the system, and clearing new pages for the next
    one takes several times as long as the rollout. Elsewhere this does nothing.
    """
    np.empty(HEAP, np.uint8)


HEAP = 24 << 20
"""Bytes, above any array of a rollout; the allocator's limit is 32 MiB. No page of them is touched."""

_SCHEDULE = ("n_updates", "updates_per_rollout", "clip", "lr", "weight_decay", "schedule")
"""What the runs of one array have in common."""

CHECKS = 200  # how often a stack of runs reports and asks


class _Stack:
    """Runs with the same schedule as one array (R, C, K)."""

    def __init__(self, world: World, runs: Sequence[Run], record: int) -> None:
        self.world, self.runs = world, runs
        first = runs[0]
        self.n_updates, self.per_rollout = first.n_updates, first.updates_per_rollout
        self.linear = first.schedule == "linear"
        self.clip = first.clip if first.updates_per_rollout > 1 else None
        self.work = float(len(runs) * first.n_updates)
        shape = (len(runs), world.n_categories, world.n_tokens)
        self.logits = np.zeros(shape, STATE)
        self.policy = np.full(shape, 1.0 / world.n_tokens, STATE)
        self.gradient = np.empty(shape, STATE)
        self.adam = AdamW(shape, lr=first.lr, weight_decay=first.weight_decay, dtype=STATE)
        self.loss = RatioLoss(shape, self.clip, STATE)
        self.actors = [actor_of(world, run, self.clip is not None) for run in runs]
        self.records = None if record == 0 else Records(world, runs, record, first.clip)

    def train(
        self, tell: Callable[[float], None], should_stop: Callable[[], bool] | None
    ) -> list[Trained]:
        made = 0
        every = max(self.per_rollout, self.n_updates // CHECKS)
        due = 0
        if self.records is not None:
            self.records.take(0, self.policy)
        while made < self.n_updates:
            if made >= due:
                tell(made / self.n_updates)
                if should_stop is not None and should_stop():
                    break
                due = made + every
            self.rollout()
            for _ in range(min(self.per_rollout, self.n_updates - made)):
                self.update(1.0 - made / self.n_updates if self.linear else 1.0)
                made += 1
                if self.records is not None and self.records.due(made, self.n_updates):
                    self.records.take(made, self.policy)
        tell(1.0)
        return [
            Trained(
                run,
                normalized(self.policy[i]),
                actor.value,
                None if self.records is None else self.records.history(i),
                made,
            )
            for i, (run, actor) in enumerate(zip(self.runs, self.actors, strict=True))
        ]

    def rollout(self) -> None:
        for i, actor in enumerate(self.actors):
            now = self.policy[i].astype(np.float64)
            self.loss.take(i, now, actor.draw(now), actor.n_samples)

    def update(self, scale: float) -> None:
        if self.records is not None and self.clip is not None:
            self.records.add_clipped(self.loss.clipped(self.policy))
        self.loss.gradient(self.policy, out=self.gradient)
        self.gradient += TINY
        self.adam.step_in_place(self.logits, self.gradient, scale=scale)
        _softmax(self.logits, out=self.policy)


def _softmax(logits: State, out: State) -> None:
    np.subtract(logits, logits.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=-1, keepdims=True)
