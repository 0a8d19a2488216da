"""What a training step works with."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Literal

import torch
from torch import nn

from levelhead.train.answers import AnswerTrie
from levelhead.train.distributed import Ranks
from levelhead.train.experience import Estimate, PromptSet
from levelhead.train.packing import Layout, Packed
from levelhead.train.policy import Policy
from levelhead.train.reference import Reference
from levelhead.train.reward import Rewarder
from levelhead.train.sampling import Sampler, Sampling

__all__ = ["Parts"]


@dataclasses.dataclass
class Parts:
    """The pieces of a run, put together by `build`.

    Attributes:
        data: prompts to train on.
        sampler: generates completions with the policy's current weights.
        sampling: how.
        rewarder: what a completion earns.
        estimate: the advantage estimator.
        tokenizer: of the policy.
        policy: the model, maybe sharded in place.
        forward: what to call for log-probabilities with gradients: the policy or a wrapper around it.
        critic: a second model whose values count, or None.
        reference: what the penalty measures the distance from, or None.
        optimizer: of all trained parameters.
        schedule: of its learning rate, stepped after every update.
        trie: the answers, for the exact gradient; else None.
        ranks: this process among all.
        device: where tensors are.
        layout: of the rows; "auto" takes the cheaper one for each group.
        mixed: whether matrix products are in bfloat16 though the weights are not.
    """

    data: PromptSet
    sampler: Sampler
    sampling: Sampling
    rewarder: Rewarder
    estimate: Estimate
    tokenizer: Any
    policy: Policy
    forward: nn.Module
    critic: nn.Module | None
    reference: Reference | None
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    trie: AnswerTrie | None
    ranks: Ranks
    device: torch.device
    layout: Layout | Literal["auto"]
    mixed: bool = False

    def arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """The context that forward passes run in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed)

    def separate_values(self, packed: Packed) -> torch.Tensor:
        """(B, T) values of the critic that is a model of its own."""
        if self.critic is None:
            raise TypeError("there is no separate critic")
        with self.arithmetic():
            return self.critic(packed, temperature=1.0, values=True, logprobs=False).values
