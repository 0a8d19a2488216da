"""One decoding step of many rows: the keys and values of a prompt are stored once for its rows.

Attention of a generated token has two parts: the prompt's keys, which all rows of a group share, so
that their queries are one matrix product per prompt, and the row's own keys. Both are normalized apart
and merged by their total weights. Nothing is copied when a row ends but the row that takes its place.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from levelhead.errors import ConfigError

__all__ = [
    "Decoder",
    "PlainDecoder",
    "SharedDecoder",
    "inner",
    "packed_linears",
    "prefill",
    "shares",
    "unsupported",
]

FIRST_CAPACITY = 64
"""Generated tokens that the cache has room for at first; it doubles when they are used up."""

PRUNE = 0.75
"""Share of prompts with rows left at which the others are dropped, which copies those that stay."""

PACKED_BYTES = 1 << 30
"""Up to this size of its linear weights a float32 model on a CPU is sampled from a packed copy."""

_names = itertools.count()


class Decoder(Protocol):
    """The state of the rows of a chunk between two tokens."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token (n,) to each row; the logits (n, V) of the next."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows (m,), in this order."""
        ...

    def close(self) -> None:
        """Undo what was changed in the model's configuration."""
        ...


def prefill(
    model: nn.Module, prompts: Sequence[Tensor], pad_id: int, device: torch.device
) -> tuple[DynamicCache, Tensor, Tensor, Tensor]:
    """Run prompts once, padded on the left.

    Returns:
        The cache, the mask (P, L) of real tokens, the lengths (P,), and the logits (P, V) of the
        first completion token.
    """
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[width - len(prompt) :] = prompt
    places = torch.arange(width, device=device) - (width - lengths)[:, None]
    mask = places >= 0
    cache = DynamicCache(config=model.config)  # pyright: ignore[reportArgumentType]
    output = model(
        input_ids=ids.to(device),
        attention_mask=None if bool(mask.all()) else mask.long(),
        position_ids=places.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    if getattr(output, "past_key_values", None) is not cache or cache.get_seq_length() != width:
        raise unsupported(model, "does not fill the key-value cache that it is given")
    return cache, mask, lengths, output.logits[:, -1]


def shares(model: nn.Module, cache: DynamicCache) -> bool:
    """Whether every layer attends to all that is before it, through a function that can be exchanged."""
    return bool(getattr(inner(model), "_supports_attention_backend", False)) and all(
        type(layer) is DynamicLayer for layer in cache.layers
    )


def unsupported(model: nn.Module, what: str) -> ConfigError:
    """The error for a model that the native sampler cannot run."""
    return ConfigError(
        f"rollout.backend: expected a model that the native sampler can run, got "
        f"{type(inner(model)).__name__}, which {what}; use backend: transformers"
    )


class PlainDecoder:
    """Every row has a cache of its own, in the model's own classes: sliding windows and the like."""

    def __init__(
        self, model: nn.Module, cache: DynamicCache, mask: Tensor, lengths: Tensor, owner: Tensor
    ) -> None:
        self.model, self.cache = model, cache
        cache.batch_select_indices(owner)
        self.mask, self.position = mask[owner].long(), lengths[owner]

    def step(self, tokens: Tensor) -> Tensor:
        self.mask = nn.functional.pad(self.mask, (0, 1), value=1)
        output = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.position[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.position = self.position + 1
        return output.logits[:, -1]

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask, self.position = self.mask[rows], self.position[rows]

    def close(self) -> None:
        pass


class _SharedLayer(CacheLayerMixin):
    """The prompts' keys and values of one layer (P, H, L, D), and the rows' own (n, H, capacity, D)."""

    def __init__(self, prompt: DynamicLayer, rows: int) -> None:
        super().__init__()
        if prompt.keys is None or prompt.values is None:
            raise ValueError("the layer has seen no prompt")
        self.prompt_keys, self.prompt_values = prompt.keys, prompt.values
        self.room_keys, self.room_values = (
            states.new_empty(rows, states.shape[1], FIRST_CAPACITY, states.shape[3])
            for states in (prompt.keys, prompt.values)
        )
        self.length, self.is_initialized = 0, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        pass

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows, at = key_states.shape[0], self.length
        if at == self.room_keys.shape[2]:
            self.room_keys, self.room_values = (
                torch.cat([room[:rows], torch.empty_like(room[:rows])], dim=2)
                for room in (self.room_keys, self.room_values)
            )
        self.room_keys[:rows, :, at] = key_states[:, :, 0]
        self.room_values[:rows, :, at] = value_states[:, :, 0]
        self.length = at + 1
        return self.room_keys[:rows, :, : at + 1], self.room_values[:rows, :, : at + 1]

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy the rows `source` over the rows `target`."""
        for room in (self.room_keys, self.room_values):
            room[target, :, : self.length] = room[source, :, : self.length]

    def forget(self, prompts: Tensor) -> None:
        """Go on with these prompts only."""
        self.prompt_keys, self.prompt_values = (
            self.prompt_keys[prompts],
            self.prompt_values[prompts],
        )

    def get_seq_length(self) -> int:
        return self.prompt_keys.shape[2] + self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_cache_shape(self) -> int:
        return -1


class SharedDecoder:
    """The prompts are stored once; the rows have room of their own for what they generate."""

    def __init__(
        self, model: nn.Module, cache: DynamicCache, mask: Tensor, lengths: Tensor, owner: Tensor
    ) -> None:
        self.model = model
        self.config: Any = model.config
        self.layers = [_SharedLayer(layer, len(owner)) for layer in cache.layers]  # pyright: ignore[reportArgumentType]
        self.cache = Cache(layers=list(self.layers))
        self.bias = None
        if not bool(mask.all()):
            zero = torch.zeros(mask.shape, device=mask.device)
            self.bias = zero.masked_fill(~mask, torch.finfo(zero.dtype).min)
        self.position, self.owner = lengths[owner], owner
        self._arrange()
        self.before = self.config._attn_implementation
        self.name = f"levelhead_shared_{next(_names)}"
        ALL_ATTENTION_FUNCTIONS[self.name] = self._attend

    def step(self, tokens: Tensor) -> Tensor:
        self.config._attn_implementation = self.name
        try:
            output = self.model(
                input_ids=tokens[:, None],
                position_ids=self.position[:, None],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        finally:
            self.config._attn_implementation = self.before
        self.position = self.position + 1
        return output.logits[:, -1]

    def keep(self, rows: Tensor) -> None:
        here = torch.arange(len(rows), device=rows.device)
        moved = rows != here
        source, target = rows[moved], here[moved]
        for layer in self.layers:
            layer.move(source, target)
        self.position, self.owner = self.position[rows], self.owner[rows]
        left, owner = torch.unique(self.owner, return_inverse=True)
        if len(left) <= PRUNE * self.layers[0].prompt_keys.shape[0]:
            self.owner = owner
            self.bias = None if self.bias is None else self.bias[left]
            for layer in self.layers:
                layer.forget(left)
        self._arrange()

    def close(self) -> None:
        del ALL_ATTENTION_FUNCTIONS[self.name]

    def _arrange(self) -> None:
        """Seat the rows (n,) in a table of prompts by places: `seats` (P * places,), `seat` (n,)."""
        prompts = self.layers[0].prompt_keys.shape[0]
        order = torch.argsort(self.owner, stable=True)
        count = torch.bincount(self.owner, minlength=prompts)
        first = torch.cumsum(count, 0) - count
        owner = self.owner[order]
        self.places = int(count.max())
        place = torch.arange(len(order), device=order.device) - first[owner]
        self.seat = torch.empty_like(order)
        self.seat[order] = owner * self.places + place
        self.seats = torch.zeros(prompts * self.places, dtype=torch.long, device=order.device)
        self.seats[self.seat] = torch.arange(len(order), device=order.device)

    def _attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        if s_aux is not None or query.shape[2] != 1:
            raise unsupported(self.model, "has attention sinks or looks at several tokens at once")
        layer = self.layers[int(module.layer_idx)]  # pyright: ignore[reportArgumentType]
        rows, heads, _, width = query.shape
        kv_heads = key.shape[1]
        share, prompts = heads // kv_heads, layer.prompt_keys.shape[0]
        scale = width**-0.5 if scaling is None else scaling
        q = query.reshape(rows, kv_heads, share, width)
        seated = q.index_select(0, self.seats).view(prompts, self.places, kv_heads, share, width)
        seated = seated.transpose(1, 2).reshape(prompts * kv_heads, self.places * share, width)
        bias = None if self.bias is None else self.bias.repeat_interleave(kv_heads, dim=0)[:, None]
        common, common_weight = attention(
            seated, layer.prompt_keys, layer.prompt_values, scale, softcap, bias
        )
        own, own_weight = attention(
            q.view(rows * kv_heads, share, width), key, value, scale, softcap, None
        )
        share_of_prompt = torch.sigmoid(self._unseat(common_weight, share) - own_weight)
        own.lerp_(self._unseat(common, share), share_of_prompt.to(own.dtype))
        return own.view(rows, 1, heads, own.shape[-1]), None

    def _unseat(self, seated: Tensor, share: int) -> Tensor:
        """(P * H, places * share, D) by prompt to (n * H, share, D) by row."""
        prompts, width = self.layers[0].prompt_keys.shape[0], seated.shape[-1]
        table = seated.view(prompts, -1, self.places, share, width).transpose(1, 2)
        rows = table.reshape(prompts * self.places, -1, width).index_select(0, self.seat)
        return rows.view(-1, share, width)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    softcap: float | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Attention of (B, Q, D) to (b, H, K, D) with b H = B, and the log of its total weight (B, Q, 1)."""
    scores = torch.bmm(query, key.flatten(0, 1).transpose(1, 2)).float().mul_(scale)
    if softcap is not None:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    if bias is not None:
        scores = scores.add_(bias)
    top = scores.amax(dim=-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(dim=-1, keepdim=True)
    out = torch.bmm(weights.to(value.dtype), value.flatten(0, 1)).div_(total)
    return out, total.log_().add_(top)


@contextlib.contextmanager
def packed_linears(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside, float32 linear layers on a CPU multiply by a copy of their weights packed for few rows.

    oneDNN's packed product is up to twice as fast as the plain one at the batch sizes of decoding.
    """
    plain = device.type != "cpu" or torch.is_autocast_enabled("cpu")  # which multiplies in bfloat16
    layers: list[Any] = [] if plain else [m for m in model.modules() if _packable(m)]
    if sum(layer.weight.numel() * 4 for layer in layers) > PACKED_BYTES:
        layers = []
    try:
        for layer in layers:
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), 32)
            layer.forward = functools.partial(_packed_linear, packed, layer.bias)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _packed_linear(packed: Tensor, bias: Tensor | None, states: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")


def _packable(module: nn.Module) -> bool:
    return (
        type(module) is nn.Linear
        and type(module.weight.data) is Tensor
        and module.weight.dtype == torch.float32
        and "forward" not in module.__dict__
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def inner(model: nn.Module) -> nn.Module:
    """The Hugging Face model inside of a wrapper such as LoRA's."""
    unwrap: Any = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()
