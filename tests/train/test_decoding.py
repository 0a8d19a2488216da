"""The two decoders against a plain forward of every row, and attention in two parts against one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead.train import _decoding
from levelhead.train._decoding import PlainDecoder, SharedDecoder, packed_linears, prefill, shares

TOLERANCE = 1e-5


def tiny(**options: Any) -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
        **options,
    )
    return Qwen3ForCausalLM(config).eval()


@pytest.mark.parametrize("kind", [SharedDecoder, PlainDecoder])
@torch.no_grad()
def test_rows_that_leave_and_change_places_go_on_as_a_plain_forward(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_decoding, "FIRST_CAPACITY", 2)
    model = tiny()
    prompts = [torch.tensor(ids) for ids in ([5], [7, 8, 9, 3], [2, 4], [1, 1, 6])]
    rows = [prompts[i].tolist() for i in (0, 0, 1, 1, 1, 2, 3)]
    cache, mask, lengths, first = prefill(model, prompts, 0, torch.device("cpu"))
    assert shares(model, cache)
    for prompt, logits in zip(prompts, first, strict=True):
        assert torch.allclose(logits, model(prompt[None]).logits[0, -1], atol=TOLERANCE)
    decoder = kind(model, cache, mask, lengths, torch.tensor([0, 0, 1, 1, 1, 2, 3]))
    token = 10
    # prompt 0 leaves, then all but two rows of prompts 1 and 3, which change places
    for keep in ([0, 1, 2, 3, 4, 5, 6], [6, 5, 2, 3, 4], [0, 4], [1, 0], [0, 1], [1]):
        decoder.keep(torch.tensor(keep))
        rows = [rows[i] for i in keep]
        tokens = torch.arange(token, token + len(rows)) % 30
        token += len(rows)
        rows = [[*row, int(t)] for row, t in zip(rows, tokens, strict=True)]
        logits = decoder.step(tokens)
        for row, ours in zip(rows, logits, strict=True):
            expected = model(torch.tensor([row])).logits[0, -1]
            assert torch.allclose(ours, expected, atol=TOLERANCE)
    decoder.close()
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_sees_a_window_only_does_not_share() -> None:
    model = tiny(use_sliding_window=True, sliding_window=3, max_window_layers=1)
    with torch.no_grad():
        cache, *_ = prefill(model, [torch.arange(5)], 0, torch.device("cpu"))
    assert not shares(model, cache)


def test_attention_in_two_parts_is_attention() -> None:
    rng = torch.Generator().manual_seed(0)
    query = torch.randn(1, 3, 8, generator=rng) * 4
    key, value = (torch.randn(1, 1, 9, 8, generator=rng) for _ in range(2))
    scores = torch.tanh(query @ key[0].mT * 0.5 / 1.5) * 1.5
    expected = scores.softmax(-1) @ value[0]
    parts = [
        _decoding.attention(query, key[:, :, cut], value[:, :, cut], 0.5, 1.5, None)
        for cut in (slice(0, 6), slice(6, 9))
    ]
    (left, a), (right, b) = parts
    assert torch.allclose(torch.logaddexp(a, b), scores.logsumexp(-1, keepdim=True), atol=TOLERANCE)
    assert torch.allclose(left.lerp(right, torch.sigmoid(b - a)), expected, atol=TOLERANCE)


def test_packed_layers_read_the_weights_of_now_and_leave_no_trace() -> None:
    layers: Any = nn.Sequential(nn.Linear(20, 33), nn.Linear(33, 7, bias=False))
    states = torch.randn(5, 1, 20)
    with torch.no_grad():
        for _ in range(2):
            expected = layers(states)
            with packed_linears(layers, torch.device("cpu")):
                assert torch.allclose(layers(states), expected, atol=TOLERANCE)
            layers[0].weight.mul_(2.0)
        with packed_linears(layers.double(), torch.device("cpu")):
            assert layers(states.double()).dtype == torch.float64
    assert not any("forward" in layer.__dict__ for layer in layers)
