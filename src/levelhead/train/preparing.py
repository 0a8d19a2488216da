"""Between rollouts and updates: their rows, and every number that stays while the weights move.

Old log-probabilities, the reference's, a critic's values, advantages and returns. With one update a
rollout the policy is still the one that sampled, so its own numbers are the old ones; otherwise those
that the sampler wrote down are, where they are exact.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import gae, rloo
from levelhead.losses import kl_estimate
from levelhead.train.answers import AnswerBranch, AnswerTrie
from levelhead.train.config import Recipe
from levelhead.train.distributed import Ranks
from levelhead.train.experience import Experience, group_sums
from levelhead.train.packing import (
    Layout,
    Packed,
    cheaper_layout,
    micro_batches,
    pack,
    rows_needed,
)
from levelhead.train.parts import Parts
from levelhead.train.sampling import evaluating

__all__ = ["Rows", "Tables", "prepare"]


@dataclasses.dataclass
class Tables:
    """Numbers of this rank's N sequences, in the order of the experience.

    Attributes:
        advantages: (N,) or, with a critic, (N, T); with the exact answer those of what it left out.
        baseline: (N,) in the unit of the rewards, for the exact answer of single completions; None
            where the others of its group are what a completion is compared with.
        starts: (N,) index of the token that begins the answer, -1 where there is none; None where
            answers are not summed out.
        old_logprobs: (N, T) nats, of the policy that sampled; None where it has not moved since.
        ref_logprobs: (N, T) nats, or None.
        values: (N, T) of the critic before the updates, in the unit of the rewards, or None.
        returns: (N, T) what it should have said, or None.
    """

    advantages: torch.Tensor
    baseline: torch.Tensor | None = None
    starts: IntArray | None = None
    old_logprobs: torch.Tensor | None = None
    ref_logprobs: torch.Tensor | None = None
    values: torch.Tensor | None = None
    returns: torch.Tensor | None = None


class Rows:
    """How sequences of an experience become rows of a forward pass.

    Args:
        parts: the layout, the device and the answers.
        budget: tokens of a micro-batch.
    """

    def __init__(self, parts: Parts, budget: int) -> None:
        self._parts, self._budget = parts, budget

    def micro_batches(self, experience: Experience, chosen: IntArray) -> list[IntArray]:
        """Some of this rank's prompts in stretches that fit into memory, whole groups each."""
        layouts = [self._layout(experience, int(p)) for p in chosen]
        out: list[IntArray] = []
        for layout in ("padded", "prefix"):
            own = chosen[[found == layout for found in layouts]]
            tokens = np.zeros(own.size, dtype=np.int64)
            for i, p in enumerate(own):
                prompt, completions = self._lengths(experience, int(p))
                tokens[i] = math.prod(
                    rows_needed(prompt, completions, layout=layout, trie=self._parts.trie)
                )
            batches = micro_batches(tokens, np.zeros_like(tokens), budget_tokens=self._budget)
            out += [own[part] for part in batches]
        return out

    def _lengths(self, experience: Experience, prompt: int) -> tuple[int, list[int]]:
        """Tokens of a prompt and of each of its completions."""
        size = experience.group_size
        completions = experience.completions[prompt * size : (prompt + 1) * size]
        return len(experience.prompts[prompt]), [len(c) for c in completions]

    def _layout(self, experience: Experience, prompt: int) -> Layout:
        """The rows of a group: as the recipe says, or the cheaper ones."""
        parts = self._parts
        if parts.layout != "auto":
            return parts.layout
        lengths = self._lengths(experience, prompt)
        return cheaper_layout(*lengths, hidden=parts.policy.hidden_size, trie=parts.trie)

    def pack(
        self, experience: Experience, prompts: IntArray, starts: IntArray | None = None
    ) -> tuple[Packed, IntArray]:
        """The rows of some prompts, and which sequences of the experience they are.

        Args:
            experience: the rollouts.
            prompts: which of this rank's prompts.
            starts: (N,) where answers begin, to evaluate every answer there; -1 for none.

        Returns:
            The batch, and (B,) indices of its sequences.
        """
        size, trie = experience.group_size, self._parts.trie
        rows = (prompts[:, None] * size + np.arange(size)).ravel()
        branches: list[AnswerBranch | None] | None = None
        if starts is not None and trie is not None:
            branches = [AnswerBranch(trie, int(s)) if s >= 0 else None for s in starts[rows]]
        layouts = {self._layout(experience, int(p)) for p in prompts}
        packed = pack(
            [experience.prompts[p] for p in prompts],
            [experience.completions[i] for i in rows],
            np.repeat(np.arange(prompts.size), size),
            branches=branches,
            layout="padded" if "padded" in layouts else "prefix",
            device=self._parts.device,
        )
        return packed, rows

    def dummy(self) -> Packed:
        """One token behind one token, for a rank that must take part and has nothing left to do."""
        one, zero = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        layout = "padded" if self._parts.layout == "padded" else "prefix"
        return pack([one], [one], zero, layout=layout, device=self._parts.device)


def prepare(
    experience: Experience, *, recipe: Recipe, parts: Parts, rows: Rows
) -> tuple[Tables, dict[str, float]]:
    """Everything about the rollouts that does not change while the weights do.

    Args:
        experience: this rank's rollouts.
        recipe: what the loss will need.
        parts: what to compute it with.
        rows: how to pack.

    Returns:
        The tables, and sums over this rank that describe the rollouts.
    """
    algorithm = recipe.algorithm
    kl, critic = algorithm.kl, algorithm.critic
    tables = Tables(advantages=torch.zeros(0))
    in_reward = parts.reference is not None and kl.place == "reward"
    sampled = _padded(experience.logprobs, parts.device)
    moving = algorithm.updates_per_rollout * algorithm.epochs > 1
    exact = recipe.rollout.backend == "native" and recipe.model.dtype == "float32"
    if moving or (in_reward and not exact):
        tables.old_logprobs = sampled
    _score(experience, tables, recipe, parts, rows, again=not exact)
    rewards = experience.judged.rewards
    sums = group_sums(experience, rewards)
    penalty: FloatArray | None = None
    if in_reward and tables.ref_logprobs is not None:
        old = sampled if tables.old_logprobs is None else tables.old_logprobs
        distance = kl_estimate(old, tables.ref_logprobs, estimator=kl.estimator)
        mask = _mask(experience, parts.device)
        penalty = (kl.coef * torch.where(mask, distance, 0.0)).double().cpu().numpy()
        sums["kl_in_reward"] = float(penalty.sum())
    if critic is not None:
        _token_advantages(experience, tables, penalty, recipe, parts)
    elif parts.trie is not None:
        limit = parts.sampling.max_new_tokens
        tables.starts = _starts(experience, parts.trie, parts.tokenizer, limit)
        left = _left_out(experience, parts.trie, tables.starts, parts.rewarder.floor)
        if experience.group_size > 1:
            tables.advantages = _tensor(rloo(left, experience.group), parts.device)
        else:
            size = recipe.rollout.prompts // algorithm.updates_per_rollout
            left -= _mean_of_others(left, experience, parts.ranks, size)
            tables.advantages = _tensor(np.nan_to_num(left), parts.device)
            others = _mean_of_others(rewards, experience, parts.ranks, size)
            tables.baseline = _tensor(others, parts.device)
    else:
        if penalty is not None:
            rewards = rewards - penalty.sum(axis=1)
        found = parts.estimate(rewards, experience, parts.ranks)
        tables.advantages = _tensor(found, parts.device)
    return tables, sums


def _starts(experience: Experience, trie: AnswerTrie, tokenizer: Any, limit: int) -> IntArray:
    """(N,) where the answers begin; -1 where none does, or the limit leaves no room for all of them."""
    room = limit - trie.paths.shape[1]
    found = [trie.start(completion, tokenizer) for completion in experience.completions]
    return np.array([-1 if s is None or s > room else s for s in found], dtype=np.int64)


def _left_out(
    experience: Experience, trie: AnswerTrie, starts: IntArray, floor: float
) -> FloatArray:
    """(N,) what each completion earned beyond what the sum over the answers says it did.

    The sum takes an answer for well formed as soon as its last token is there, and everything else for
    malformed. Where a completion fares otherwise (no closing tag, or "75%" that is read as 75), the
    difference is left to the sampled gradient: both together have the mean of the true reward's.
    """
    rewards, table = experience.judged.rewards, experience.answer_rewards
    if table is None:
        return np.zeros_like(rewards)
    spelled = {
        tuple(trie.edges[[e for e in path if e >= 0], 1].tolist()): k
        for k, path in enumerate(trie.paths.tolist())
    }
    lengths = sorted({len(tokens) for tokens in spelled})
    assumed = np.full_like(rewards, floor)
    for i, (completion, start) in enumerate(zip(experience.completions, starts, strict=True)):
        if start < 0:
            continue
        for length in lengths:
            k = spelled.get(tuple(completion[start : start + length].tolist()))
            if k is not None:
                assumed[i] = table[i, k]
    return rewards - assumed


def _mean_of_others(
    values: FloatArray, experience: Experience, ranks: Ranks, size: int
) -> FloatArray:
    """(N,) means over the other prompts of a mini-batch, of single completions; 0 where all are NaN.

    Of the mini-batch and not of the step: an earlier one moves the weights under which a later one
    is judged, and what moved them must not be in the later one's baseline.
    """
    found = ranks.gathered((experience.place, values))
    place = np.concatenate([part[0] for part in found])
    everyone = np.empty(place.size)
    everyone[place] = np.concatenate([part[1] for part in found])
    batch = np.arange(place.size) // size
    known, worth = ~np.isnan(everyone), np.nan_to_num(everyone)
    others = np.bincount(batch, known)[batch] - known
    total = np.bincount(batch, worth)[batch] - worth
    return (total / np.maximum(others, 1))[experience.place]


def _score(
    experience: Experience, tables: Tables, recipe: Recipe, parts: Parts, rows: Rows, *, again: bool
) -> None:
    """Forward passes without gradients: values, the reference's, and old log-probabilities `again`."""
    critic = recipe.algorithm.critic
    head = critic is not None and critic.kind == "head"
    again = again and tables.old_logprobs is not None
    if not (again or critic or parts.reference):
        return
    shape = (len(experience.completions), _width(experience))
    if critic is not None:
        tables.values = torch.zeros(shape, device=parts.device)
    if parts.reference is not None:
        tables.ref_logprobs = torch.zeros(shape, device=parts.device)
    micro = rows.micro_batches(experience, np.arange(len(experience.prompts)))
    temperature = parts.sampling.temperature
    # Sharded models gather their weights in every pass, so all ranks make the same number of them.
    for i in range(max(parts.ranks.gathered(len(micro)))):
        packed, own = rows.pack(experience, micro[i]) if i < len(micro) else (rows.dummy(), None)
        found: list[tuple[torch.Tensor | None, torch.Tensor]] = []
        with torch.no_grad(), evaluating(parts.forward), parts.arithmetic():
            if again or head:
                scored = parts.forward(packed, temperature=temperature, values=head)
                found += [(tables.old_logprobs if again else None, scored.logprobs)]
                found += [(tables.values, scored.values)] if head else []
            if parts.critic is not None:
                found.append((tables.values, parts.separate_values(packed)))
            if parts.reference is not None:
                logprobs = parts.reference.logprobs(packed, temperature=temperature)
                found.append((tables.ref_logprobs, logprobs))
        for table, numbers in found:
            if own is not None and table is not None:
                table[own, : numbers.shape[1]] = numbers.to(table.dtype)


def _token_advantages(
    experience: Experience,
    tables: Tables,
    penalty: FloatArray | None,
    recipe: Recipe,
    parts: Parts,
) -> None:
    """Advantages and returns of every token, from the critic's values; the reward is the last token's."""
    critic = recipe.algorithm.critic
    if critic is None or tables.values is None:
        raise TypeError("there is no critic")
    rewards = experience.judged.rewards
    known = ~np.isnan(rewards)
    mask = _mask(experience, parts.device).cpu().numpy()
    values = tables.values.double().cpu().numpy()
    earned = np.zeros(mask.shape) if penalty is None else -penalty
    last = np.array([len(c) - 1 for c in experience.completions], dtype=np.int64)
    some = np.flatnonzero(known & (last >= 0))
    earned[some, last[some]] += rewards[some]
    found = gae(earned, values, mask=mask, gamma=critic.gamma, lam=critic.lam)
    found[~known] = 0.0  # then what the critic said is what it should have said
    tables.advantages = _tensor(found, parts.device)
    tables.returns = _tensor(np.where(mask, found + values, 0.0), parts.device)


def _padded(rows: Sequence[npt.NDArray[np.float32]], device: torch.device) -> torch.Tensor:
    """(N, T) float32 from arrays of unlike length, zeros behind them."""
    width = max([1, *map(len, rows)])
    out = np.zeros((len(rows), width), dtype=np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out).to(device)


def _tensor(values: FloatArray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _width(experience: Experience) -> int:
    return max([1, *map(len, experience.completions)])


def _mask(experience: Experience, device: torch.device) -> torch.Tensor:
    lengths = torch.tensor([len(c) for c in experience.completions], device=device)
    return torch.arange(_width(experience), device=device) < lengths[:, None]
