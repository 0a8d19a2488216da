"""The language model as a policy: the log-probability of every token that was sampled, and no more.

The decoder runs once over the rows; the head, whose output is as wide as the vocabulary, only where
something is predicted, and a piece at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from levelhead.errors import InvalidInputError
from levelhead.losses.answer import string_logprobs
from levelhead.train.packing import Packed, pack

__all__ = ["Policy", "Scored", "supports_prefix"]

CHUNK_BYTES = 256 * 2**20
"""How much memory the head's outputs may take at once, their gradients included."""

COPIES = {False: 4, True: 7}
"""Buffers of float32 per logit while a piece is scored and differentiated; True: with entropies."""

AGREEMENT = 1e-3
"""How far two ways to the same numbers may differ, relative to the largest (bfloat16: 16 times that)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """What the policy says of a batch's completions.

    Attributes:
        logprobs: (B, T) float32, of the tokens under softmax(logits / temperature), in nats; 0 where
            `mask` is False; 0 everywhere where they were not asked for.
        mask: (B, T) bool, True where a completion has a token.
        entropy: (B, T) float32, of the distribution that each token was drawn from, in nats, or None.
        values: (B, T) float32, of the state before each token, in the unit of the rewards, or None.
        answer_logprobs: (B, K) float32, of each answer as a string behind the completion's beginning;
            -inf where `has_answer` is False; None where no answers were asked for.
        has_answer: (B,) bool, or None.
    """

    logprobs: torch.Tensor
    mask: torch.Tensor
    entropy: torch.Tensor | None = None
    values: torch.Tensor | None = None
    answer_logprobs: torch.Tensor | None = None
    has_answer: torch.Tensor | None = None


class Policy(nn.Module):
    """A causal language model, scored where completions have tokens, with an optional value head.

    Everything goes through `forward`, so a policy can be sharded or wrapped as one module; shard its
    layers and the policy, not the model between them.

    Args:
        model: a Hugging Face causal language model, PEFT's included.
        value_head: whether to predict values from the trunk's hidden states. The head is linear, in
            float32, and starts at 0.
        chunk_bytes: how much memory the head's outputs may take at once. What does not fit is computed
            piece by piece, and again in the backward pass.

    Raises:
        InvalidInputError: a value head on a model that does not give its hidden states, or a budget
            below 1 byte.
    """

    def __init__(
        self, model: nn.Module, *, value_head: bool = False, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        super().__init__()
        if chunk_bytes < 1:
            raise InvalidInputError(f"chunk_bytes: expected at least 1, got {chunk_bytes}")
        self.model = model
        self.chunk_bytes = chunk_bytes
        causal = _causal(model)
        self.own_head = not _head_is_known(causal)
        self.value_head: nn.Linear | None = None
        if value_head:
            if self.own_head:
                raise InvalidInputError(
                    f"value_head: expected a model whose head is a function of the decoder's hidden "
                    f"states, got {type(causal).__name__}; use a separate critic"
                )
            size = causal.config.get_text_config().hidden_size
            weight = causal.get_input_embeddings().weight
            self.value_head = nn.Linear(size, 1, device=weight.device, dtype=torch.float32)
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)

    @property
    def hidden_size(self) -> int:
        """Width of the decoder's states."""
        return int(_causal(self.model).config.get_text_config().hidden_size)

    def forward(
        self,
        packed: Packed,
        *,
        temperature: float = 1.0,
        entropy: bool | Literal["grad"] = False,
        values: bool = False,
        logprobs: bool = True,
    ) -> Scored:
        """Score the completions of a batch.

        Args:
            packed: the rows, on the model's device.
            temperature: what the logits are divided by, > 0; that of the sampling.
            entropy: whether to give the entropies; "grad" differentiates them too.
            values: whether to give the values.
            logprobs: whether to give log-probabilities; a critic does without, and without the head's
                work. Entropies and answers are then left out too.

        Returns:
            The log-probabilities and what else was asked for.

        Raises:
            InvalidInputError: a temperature that is not above 0, or values without a value head.

        Edge cases: a batch without tokens gives zeros that depend on all weights (with gradient 0).
        """
        if not temperature > 0.0:
            raise InvalidInputError(f"temperature: expected a number above 0, got {temperature}")
        if values and self.value_head is None:
            raise InvalidInputError(
                "values: expected a policy with value_head=True, got one without"
            )
        states = self._states(packed)
        n_sequences, width = packed.mask.shape
        n_edges = 0 if packed.trie is None else len(packed.trie.edges)
        size = n_sequences * (width + n_edges)

        def placed(numbers: torch.Tensor) -> torch.Tensor:
            return numbers.new_zeros(size).index_put((packed.slots,), numbers)

        def tokens_of(flat: torch.Tensor) -> torch.Tensor:
            # A copy, because a view that leaves a sharded module would have to stay unchanged.
            return flat[: n_sequences * width].view(n_sequences, width).clone()

        if logprobs:
            scores, entropies = self._scores(states, packed, temperature, entropy)
            flat = placed(scores)
        else:
            flat, entropies = states.new_zeros(size, dtype=torch.float32), None
        answers = None
        if logprobs and packed.trie is not None:
            edges = flat[n_sequences * width :].view(n_sequences, n_edges)
            answers = string_logprobs(edges, packed.trie.paths)
            if packed.has_answer is not None:
                answers = answers.masked_fill(~packed.has_answer[:, None], float("-inf"))
        value = None
        if values and self.value_head is not None:
            value = tokens_of(placed(self.value_head(states.float()).squeeze(-1)[packed.which]))
        return Scored(
            logprobs=tokens_of(flat),
            mask=packed.mask,
            entropy=None if entropies is None else tokens_of(placed(entropies[packed.which])),
            values=value,
            answer_logprobs=answers,
            has_answer=packed.has_answer,
        )

    def _states(self, packed: Packed) -> torch.Tensor:
        """What the predictions are made from: (U, H) hidden states, or (U, V) logits."""
        causal = _causal(self.model)
        inputs = _inputs(packed, causal)
        if not self.own_head:
            hidden = causal.get_decoder()(**inputs).last_hidden_state
            return hidden.flatten(0, 1)[packed.places]
        length = packed.input_ids.shape[1]
        columns, at = torch.unique(packed.places % length, return_inverse=True)
        logits = causal(**inputs, logits_to_keep=columns).logits
        return logits[packed.places // length, at]

    def _scores(
        self,
        states: torch.Tensor,
        packed: Packed,
        temperature: float,
        entropy: bool | Literal["grad"],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities (Q,) and entropies (U,), by pieces that fit the memory."""
        causal = _causal(self.model)

        def score(
            piece: torch.Tensor, which: torch.Tensor, tokens: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor | None]:
            logits = piece if self.own_head else _logits(causal, piece)
            return _predictions(logits, which, tokens, temperature, entropy)

        n, vocabulary = len(states), causal.config.get_text_config().vocab_size
        step = max(1, self.chunk_bytes // (4 * COPIES[bool(entropy)] * vocabulary))
        if n <= step:
            return score(states, packed.which, packed.tokens)
        starts = torch.arange(0, n, step, device=packed.which.device)
        cuts = [*torch.searchsorted(packed.which, starts).tolist(), len(packed.which)]
        logprobs: list[torch.Tensor] = []
        entropies: list[torch.Tensor] = []
        for i, start in enumerate(range(0, n, step)):
            part = slice(cuts[i], cuts[i + 1])
            arguments = (
                states[start : start + step],
                packed.which[part] - start,
                packed.tokens[part],
            )
            if torch.is_grad_enabled():
                found, spread = checkpoint(score, *arguments, use_reentrant=False)  # type: ignore[misc]
            else:
                found, spread = score(*arguments)
            logprobs.append(found)
            if spread is not None:
                entropies.append(spread)
        return torch.cat(logprobs), torch.cat(entropies) if entropies else None


def supports_prefix(model: nn.Module) -> bool:
    """Whether the layout "prefix" gives this model's own numbers.

    It does where every layer attends to everything that the mask leaves open. The configuration is
    asked first; then four tokens are run in both layouts and compared.

    Args:
        model: a Hugging Face causal language model, before it is sharded.

    Returns:
        False for sliding windows, recurrent and hybrid layers, and attention kernels that take no
        mask (then use the layout "padded").

    Edge cases: a model without weights (on the device "meta") is judged by its configuration alone.
    """
    causal = _causal(model)
    config = causal.config.get_text_config()
    if causal.config._attn_implementation not in ("sdpa", "eager"):
        return False
    kinds = getattr(config, "layer_types", None)
    if any(kind != "full_attention" for kind in kinds or ()):
        return False
    if kinds is None and getattr(config, "sliding_window", None) is not None:
        return False
    weight = causal.get_input_embeddings().weight
    if weight.is_meta:
        return True
    prompt, completions = np.array([1, 2]), [np.array([3, 0, 1]), np.array([2, 2, 1])]
    tokens = [np.minimum(completion, weight.shape[0] - 1) for completion in completions]
    found: list[torch.Tensor] = []
    with _quiet(causal):
        for layout in ("padded", "prefix"):
            rows = pack([prompt], tokens, np.array([0, 0]), layout=layout, device=weight.device)
            try:
                output = causal.get_decoder()(**_inputs(rows, causal)).last_hidden_state
            except (IndexError, RuntimeError, TypeError, ValueError):
                return False  # it does not know what to do with such a mask, or with positions
            states = output.flatten(0, 1)[rows.places][rows.which]
            found.append(states[torch.argsort(rows.slots)])
    return _agree(found[1], found[0])


def _causal(model: nn.Module) -> Any:
    """The Hugging Face model itself, without PEFT's wrapper (whose adapters sit in its layers)."""
    unwrap = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()


def _inputs(packed: Packed, causal: Any) -> dict[str, Any]:
    """The rows as the decoder's arguments; plain rows leave the positions to the model."""
    dtype = causal.get_input_embeddings().weight.dtype
    inputs = {"input_ids": packed.input_ids, "attention_mask": packed.attention_mask(dtype)}
    if packed.ends is not None:
        inputs["position_ids"] = packed.position_ids
    return {**inputs, "use_cache": False}


def _logits(causal: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The head, with what some families do to its output."""
    config = causal.config.get_text_config()
    logits = causal.get_output_embeddings()(hidden)
    scaling = getattr(config, "logits_scaling", None)  # Granite
    if scaling:
        logits = logits / scaling
    scale = getattr(config, "logit_scale", None)  # Cohere
    if scale:
        logits = logits * scale
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    return cap * torch.tanh(logits / cap) if cap else logits


def _head_is_known(causal: Any) -> bool:
    """Whether `_logits` of the decoder's states are the model's own logits, by trying."""
    head = causal.get_output_embeddings()
    weight = causal.get_input_embeddings().weight
    if head is None:
        return False
    if weight.is_meta:
        return True
    ids = torch.arange(min(4, weight.shape[0]), device=weight.device)[None]
    with _quiet(causal):
        own = causal(input_ids=ids, use_cache=False).logits
        states = causal.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return states.shape[-1] == _head_width(head, states) and _agree(
            _logits(causal, states), own
        )


def _head_width(head: nn.Module, states: torch.Tensor) -> int:
    return int(getattr(head, "in_features", states.shape[-1]))


@contextlib.contextmanager
def _quiet(causal: Any) -> Generator[None]:
    """Without gradients and without dropout."""
    training = [module for module in causal.modules() if module.training]
    causal.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    scale = float(b.float().abs().max())
    tolerance = AGREEMENT * (16.0 if b.dtype in (torch.bfloat16, torch.float16) else 1.0)
    return a.shape == b.shape and float((a.float() - b.float()).abs().max()) <= tolerance * scale


def _predictions(
    logits: torch.Tensor,
    which: torch.Tensor,
    tokens: torch.Tensor,
    temperature: float,
    entropy: bool | Literal["grad"],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probabilities (Q,) of tokens under rows of logits (U, V), and the rows' entropies."""
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1.0:
        scaled = scaled / temperature
    total = scaled.logsumexp(dim=-1)
    logprobs = scaled[which, tokens] - total[which]
    if not entropy:
        return logprobs, None
    with torch.set_grad_enabled(torch.is_grad_enabled() and entropy == "grad"):
        # A logit of -inf has probability 0 and adds nothing, where the product would be NaN.
        probs = (scaled - total[:, None]).exp()
        spread = total - torch.where(probs > 0.0, probs * scaled, 0.0).sum(dim=-1)
    return logprobs, spread
