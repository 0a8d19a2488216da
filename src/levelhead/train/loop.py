"""The training loop: one step from prompts to new weights, the same for every estimator.

    prompts -> rollouts -> rewards -> advantages -> loss of each mini-batch -> weights

A step's rollouts are cut into mini-batches of whole groups, one optimizer update each, and a
mini-batch into micro-batches that fit into memory. The weight of every sequence in the loss counts
the whole mini-batch on all ranks, so that gradients just add up, and neither the micro-batches nor
the number of processes change the update.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from levelhead import __version__
from levelhead._arrays import IntArray
from levelhead.errors import ConfigError
from levelhead.losses import (
    answer_loss,
    entropy_loss,
    kl_estimate,
    kl_loss,
    policy_loss,
    sequence_weights,
    value_loss,
)
from levelhead.train.config import Critic, Recipe
from levelhead.train.distributed import whole
from levelhead.train.experience import Experience, collect
from levelhead.train.parts import Parts
from levelhead.train.policy import Scored
from levelhead.train.preparing import Rows, Tables, prepare
from levelhead.train.run_json import data_hash

__all__ = ["Trainer"]

MICRO_TOKENS = {"cpu": 512, "cuda": 16_384}
"""Tokens of a micro-batch where the recipe leaves it open."""

T = TypeVar("T")

Sums = dict[str, float]
"""Sums by name, which add over micro-batches and ranks."""


class Trainer:
    """Takes steps.

    Args:
        recipe: what to do.
        parts: what to do it with.
        decode: from token ids to text.
    """

    def __init__(self, recipe: Recipe, parts: Parts, decode: Callable[[IntArray], str]) -> None:
        self.recipe, self.parts, self._decode = recipe, parts, decode
        default = MICRO_TOKENS.get(parts.device.type, MICRO_TOKENS["cuda"])
        self.rows = Rows(parts, recipe.compute.micro_tokens or default)
        if parts.ranks.world > 1:
            told = {"recipe": recipe.to_yaml(), "training prompts": data_hash(parts.data.prompts)}
            parts.ranks.agree(told | {"version of levelhead": __version__})

    def step(self, step: int) -> dict[str, float]:
        """Sample, judge, and update.

        Args:
            step: from 0; decides prompts and draws.

        Returns:
            What happened, by name; NaN where undefined.
        """
        experience = self.collect(step)
        tables, sums = self.prepare(experience)
        for _ in range(self.recipe.algorithm.epochs):
            for chosen in self._mini_batches(experience):
                _add(sums, self.update(experience, tables, chosen))
        return self._summary(self.parts.ranks.added(sums))

    def collect(self, step: int) -> Experience:
        """The rollouts of a step on this rank."""
        parts, rollout = self.parts, self.recipe.rollout
        with whole(parts.policy), parts.arithmetic():
            return collect(
                step,
                parts.data.chosen(step, rollout.prompts),
                data=parts.data,
                sampler=parts.sampler,
                sampling=parts.sampling,
                group_size=rollout.group_size,
                rewarder=parts.rewarder,
                decode=self._decode,
                ranks=parts.ranks,
                every_answer=parts.trie is not None,
            )

    def prepare(self, experience: Experience) -> tuple[Tables, Sums]:
        """Advantages, and every other number that stays while the weights move."""
        return prepare(experience, recipe=self.recipe, parts=self.parts, rows=self.rows)

    def update(self, experience: Experience, tables: Tables, chosen: IntArray) -> Sums:
        """One optimizer update on some of this rank's groups.

        Args:
            experience: the rollouts.
            tables: what `prepare` made of them.
            chosen: which of this rank's prompts.

        Returns:
            Sums over this rank.

        Raises:
            ConfigError: the gradient is infinite or not a number; no weight has changed.
        """
        parts = self.parts
        micro = self.rows.micro_batches(experience, chosen)
        n_tokens, n_sequences, n_micro = self._totals(experience, chosen, len(micro))
        parts.optimizer.zero_grad(set_to_none=True)
        sums: Sums = {}
        for i in range(n_micro):
            with self._synchronized(last=i == n_micro - 1):
                if i < len(micro):
                    loss, seen = self.loss(experience, tables, micro[i], n_sequences, n_tokens)
                    _add(sums, {**seen, "loss": loss.item()})
                else:
                    loss = self._nothing()
                (loss * parts.ranks.world).backward()  # gradients are averaged over the ranks
        norm = self._clip_gradient()
        parts.optimizer.step()
        parts.schedule.step()
        if parts.ranks.first:
            _add(sums, {"updates": 1.0, "grad_norm": norm})
        return sums

    def loss(
        self,
        experience: Experience,
        tables: Tables,
        prompts: IntArray,
        n_sequences: int,
        n_tokens: int,
    ) -> tuple[torch.Tensor, Sums]:
        """The share of a micro-batch in the loss of its mini-batch.

        Args:
            experience: the rollouts.
            tables: what `prepare` made of them.
            prompts: which of this rank's prompts, whole groups.
            n_sequences: sequences of the whole mini-batch on all ranks.
            n_tokens: their tokens.

        Returns:
            A scalar with gradient, and sums.
        """
        algorithm, critic = self.recipe.algorithm, self.recipe.algorithm.critic
        packed, rows = self.rows.pack(experience, prompts, tables.starts)
        with self.parts.arithmetic():
            scored: Scored = self.parts.forward(
                packed,
                temperature=self.parts.sampling.temperature,
                entropy="grad" if algorithm.entropy_coef > 0 else True,
                values=critic is not None and critic.kind == "head",
            )
        weights = sequence_weights(
            scored.mask.sum(dim=1),
            mode=algorithm.aggregation,
            constant=self._constant,
            n_sequences=n_sequences,
            n_tokens=n_tokens,
        )
        loss, sums = self._policy_loss(tables, scored, rows, weights)
        terms = [loss]
        if tables.starts is not None:
            terms.append(self._answer_loss(experience, tables, scored, rows, weights, sums))
        entropy = _there(scored.entropy)
        if algorithm.entropy_coef > 0:
            terms.append(algorithm.entropy_coef * entropy_loss(entropy, scored.mask, weights))
        if algorithm.kl.coef > 0 and algorithm.kl.place == "loss":
            terms.append(self._penalty(tables, scored, rows, weights, sums))
        if critic is not None:
            values = scored.values if critic.kind == "head" else self.parts.separate_values(packed)
            own = (_there(values), critic)
            terms.append(self._value_loss(tables, own, scored.mask, rows, weights, sums))
        sums["entropy"] = float(entropy.detach()[scored.mask].sum())
        return torch.stack(terms).sum(), sums

    def _policy_loss(
        self, tables: Tables, scored: Scored, rows: IntArray, weights: torch.Tensor
    ) -> tuple[torch.Tensor, Sums]:
        algorithm, width = self.recipe.algorithm, scored.mask.shape[1]
        advantages = tables.advantages[rows]
        result = policy_loss(
            scored.logprobs,
            _old(tables, rows, scored),
            advantages[:, :width] if advantages.dim() == 2 else advantages,
            scored.mask,
            weights,
            clip_low=algorithm.clip_low,
            clip_high=algorithm.clip_high,
        )
        return result.loss, result.statistics

    def _answer_loss(
        self,
        experience: Experience,
        tables: Tables,
        scored: Scored,
        rows: IntArray,
        weights: torch.Tensor,
        sums: Sums,
    ) -> torch.Tensor:
        """The answer summed out: every possible one counts with its probability."""
        algorithm, device = self.recipe.algorithm, self.parts.device
        rewards = torch.as_tensor(
            _there(experience.answer_rewards)[rows], dtype=torch.float32, device=device
        )
        answers = scored.answer_logprobs
        if answers is None:  # no completion got as far as an answer
            answers = torch.full_like(rewards, -math.inf)
        starts = torch.as_tensor(_there(tables.starts)[rows], device=device)[:, None]
        columns = torch.arange(scored.mask.shape[1], device=device)
        result = answer_loss(
            answers,
            rewards,
            scored.logprobs,
            scored.mask & ((starts < 0) | (columns < starts)),
            torch.as_tensor(experience.group[rows], device=device),
            weights,
            floor=self.parts.rewarder.floor,
            has_answer=starts[:, 0] >= 0,
            baseline=None if tables.baseline is None else tables.baseline[rows],
            old_prefix_logprobs=_old(tables, rows, scored),
            clip_low=algorithm.clip_low,
            clip_high=algorithm.clip_high,
        )
        names = ("expected_reward", "answered", "invalid_mass")
        _add(sums, {name: result.statistics[name] for name in names})
        _add(sums, {"summed_out": result.statistics["sequences"]})
        return result.loss

    def _penalty(
        self, tables: Tables, scored: Scored, rows: IntArray, weights: torch.Tensor, sums: Sums
    ) -> torch.Tensor:
        """The distance from the reference, in the loss."""
        kl, mask = self.recipe.algorithm.kl, scored.mask
        reference = _there(tables.ref_logprobs)[rows][:, : mask.shape[1]]
        distance = kl_loss(scored.logprobs, reference, mask, weights, estimator=kl.estimator)
        told = kl_estimate(scored.logprobs.detach(), reference, estimator="k3")
        sums["kl"] = float(told[mask].sum())
        return kl.coef * distance

    def _value_loss(
        self,
        tables: Tables,
        own: tuple[torch.Tensor, Critic],
        mask: torch.Tensor,
        rows: IntArray,
        weights: torch.Tensor,
        sums: Sums,
    ) -> torch.Tensor:
        values, critic = own
        width = mask.shape[1]
        result = value_loss(
            values,
            _there(tables.values)[rows][:, :width],
            _there(tables.returns)[rows][:, :width],
            mask,
            weights,
            clip=critic.clip,
        )
        _add(sums, result.statistics)
        return critic.coef * result.loss

    @property
    def _constant(self) -> float | None:
        algorithm = self.recipe.algorithm
        if algorithm.aggregation != "seq-sum-constant":
            return None
        return algorithm.constant or float(self.recipe.rollout.max_new_tokens)

    def _mini_batches(self, experience: Experience) -> list[IntArray]:
        """This rank's prompts in each mini-batch, which are stretches of the step's prompts."""
        cuts = self.recipe.algorithm.updates_per_rollout
        size = self.recipe.rollout.prompts // cuts
        return [np.flatnonzero(experience.place // size == i) for i in range(cuts)]

    def _totals(self, experience: Experience, chosen: IntArray, micro: int) -> tuple[int, int, int]:
        """Tokens and sequences of a mini-batch on all ranks, and the most micro-batches of a rank."""
        size = experience.group_size
        rows = (chosen[:, None] * size + np.arange(size)).ravel()
        tokens = sum(len(experience.completions[i]) for i in rows)
        found = self.parts.ranks.gathered((tokens, rows.size, micro))
        return sum(f[0] for f in found), sum(f[1] for f in found), max(f[2] for f in found)

    @contextlib.contextmanager
    def _synchronized(self, *, last: bool) -> Generator[None]:
        """Gradients of a mini-batch come together over the ranks once, with its last micro-batch."""
        with contextlib.ExitStack() as stack:
            for module in (self.parts.forward, self.parts.critic):
                if isinstance(module, DistributedDataParallel) and not last:
                    stack.enter_context(module.no_sync())
            yield

    def _nothing(self) -> torch.Tensor:
        """A loss of 0 through every model, for a rank that has run out of micro-batches."""
        packed, critic = self.rows.dummy(), self.recipe.algorithm.critic
        head = critic is not None and critic.kind == "head"
        scored = self.parts.forward(packed, temperature=1.0, values=head)
        total = scored.logprobs.sum()
        if critic is not None:
            values = scored.values if head else self.parts.separate_values(packed)
            total = total + _there(values).sum()
        return total * 0.0

    def _clip_gradient(self) -> float:
        """Cut the gradients of policy and critic, each to the longest that is allowed.

        Returns:
            How long the policy's was.

        Raises:
            ConfigError: one of them is infinite or not a number, on all ranks alike.
        """
        limit = self.recipe.optimizer.max_grad_norm
        norms: list[float] = []
        for group in self.parts.optimizer.param_groups:
            norm: Any = nn.utils.clip_grad_norm_(
                group["params"], math.inf if limit is None else limit
            )
            norms.append(float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm))
        for whose, found in zip(("policy", "critic"), norms, strict=False):
            if not math.isfinite(found):
                raise ConfigError(self._not_finite(whose, found))
        return norms[0]

    def _not_finite(self, whose: str, norm: float) -> str:
        algorithm, done = self.recipe.algorithm, self.parts.schedule.last_epoch
        step, update = divmod(done, algorithm.updates_per_rollout * algorithm.epochs)
        return (
            f"step {step + 1}, update {update + 1}: expected a finite gradient of the {whose}, got one "
            f"of length {norm}, so the weights were left as they were; look at loss and grad_norm in "
            "metrics.jsonl, and begin another run with a lower learning rate, more "
            "optimizer.warmup_steps, or model.dtype=float32"
        )

    def _summary(self, sums: Sums) -> dict[str, float]:
        """Means from sums, in the order in which they are shown."""

        def mean(name: str, over: str) -> float:
            return sums[name] / sums[over] if name in sums and sums.get(over, 0.0) > 0 else math.nan

        out = {
            "reward": mean("reward", "scored"),
            "confidence": mean("confidence", "stated"),
            "correct": mean("correct", "judged"),
            "format_rate": mean("formed", "sequences"),
            "unscorable": 1.0 - mean("scored", "sequences"),
            "frac_zero_std": mean("constant_groups", "groups"),
            "completion_tokens": mean("completion_tokens", "sequences"),
            "finished": mean("finished", "sequences"),
            "loss": mean("loss", "updates"),
            "grad_norm": mean("grad_norm", "updates"),
            "clip_fraction": mean("clipped", "tokens"),
            "entropy": mean("entropy", "tokens"),
            "lr": float(self.parts.schedule.get_last_lr()[0]),
            "rollouts": sums["sequences"],
        }
        optional = (
            ("kl", "kl", "tokens"),
            ("kl_in_reward", "kl_in_reward", "sequences"),
            ("expected_reward", "expected_reward", "summed_out"),
            ("invalid_mass", "invalid_mass", "answered"),
            ("value_error", "value_squared_error", "value_tokens"),
        )
        return out | {name: mean(total, over) for name, total, over in optional if total in sums}


def _old(tables: Tables, rows: IntArray, scored: Scored) -> torch.Tensor:
    """(B, T) log-probabilities of the policy that sampled; it is this one where no table says else."""
    if tables.old_logprobs is None:
        return scored.logprobs.detach()
    return tables.old_logprobs[rows][:, : scored.mask.shape[1]]


def _there(value: T | None) -> T:
    """What an earlier part of the step has made."""
    if value is None:
        raise TypeError("a table of this step is missing")
    return value


def _add(sums: Sums, more: Sums) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + float(value)
