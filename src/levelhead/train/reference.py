"""The model that a penalty measures the distance from: a frozen copy, or the adapters switched off."""

from __future__ import annotations

import contextlib
import copy
from typing import Any, Literal

import torch
from torch import nn

from levelhead.errors import ConfigError
from levelhead.train.distributed import Ranks, Sharding, shard
from levelhead.train.packing import Packed
from levelhead.train.policy import Policy
from levelhead.train.sampling import evaluating

__all__ = ["Reference"]


class Reference:
    """Log-probabilities of the model as it was before training.

    Args:
        policy: the policy before training and before it is sharded.
        kind: "initial" copies the weights; "adapter_off" switches the adapters off for a moment, which
            costs no memory.
        sharding: of the copy.
        ranks: this process among all.

    Raises:
        ConfigError: "adapter_off" for a model without adapters.
    """

    def __init__(
        self,
        policy: Policy,
        kind: Literal["initial", "adapter_off"],
        *,
        sharding: Sharding = "none",
        ranks: Ranks | None = None,
    ) -> None:
        self._model: Any = policy.model
        self._copy: nn.Module | None = None
        self._forward: nn.Module = policy
        if kind == "adapter_off":
            if not hasattr(policy.model, "disable_adapter"):
                raise ConfigError(
                    "algorithm.kl.reference: expected initial for a model without adapters, got "
                    "adapter_off; set model.lora, or take initial"
                )
            return
        frozen = copy.deepcopy(policy)
        frozen.value_head = None
        frozen.requires_grad_(False)
        frozen.eval()
        self._copy = frozen
        # Nothing is averaged over ranks here, so that copies are left alone and only shards are made.
        sharded = sharding == "fsdp" and ranks is not None
        self._forward = shard(frozen, "fsdp", ranks) if sharded and ranks else frozen

    def follow(self, forward: nn.Module) -> None:
        """Call the policy through its wrapper, where the adapters are switched off in it."""
        if self._copy is None:
            self._forward = forward

    @torch.no_grad()
    def logprobs(self, packed: Packed, *, temperature: float) -> torch.Tensor:
        """The reference's log-probabilities of the completions of a batch.

        Args:
            packed: the rows.
            temperature: what the logits are divided by, as for the policy.

        Returns:
            (B, T) float32, nats; 0 where there is no token.
        """
        off = contextlib.nullcontext() if self._copy is not None else self._model.disable_adapter()
        with off, evaluating(self._forward):
            return self._forward(packed, temperature=temperature).logprobs
