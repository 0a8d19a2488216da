"""Scores of packed rows against one plain forward pass per sequence, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from levelhead.errors import InvalidInputError
from levelhead.train.answers import AnswerBranch, AnswerTrie
from levelhead.train.packing import pack
from levelhead.train.policy import Policy, supports_prefix

ATOL = 1e-5
VOCABULARY = 29
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=False))


def qwen3():
    return Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True))


def gemma2():
    config = Gemma2Config(
        **SIZES,
        query_pre_attn_scalar=8,
        final_logit_softcapping=2.0,
        layer_types=["full_attention", "full_attention"],
        attn_implementation="eager",
    )
    return Gemma2ForCausalLM(config)


def granite():
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
    return GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def batch(seed=0, low=0):
    """Three prompts, one of a single token; completions that are empty, equal, or begin alike."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(low, VOCABULARY, n) for n in (5, 1, 7)]
    completions = [rng.integers(low, VOCABULARY, n) for n in (3, 0, 6, 1, 4, 4, 9, 2)]
    completions[5] = completions[4].copy()
    completions[7] = np.array([*completions[6][:5], 3])
    return prompts, completions, np.array([0, 0, 0, 1, 1, 1, 2, 2])


def naive(model, prompts, completions, group, temperature):
    """Log-probabilities, entropies and hidden states, one full forward pass per sequence."""
    found = []
    for completion, p in zip(completions, group, strict=True):
        ids = torch.from_numpy(np.concatenate([prompts[p], completion]))[None]
        out = model(input_ids=ids, output_hidden_states=True, use_cache=False)
        rows = (out.logits[0].float() / temperature).log_softmax(-1)[len(prompts[p]) - 1 : -1]
        entropy = -(rows.exp() * rows).sum(-1)
        hidden = out.hidden_states[-1][0][len(prompts[p]) - 1 : -1]
        logprobs = rows[torch.arange(len(completion)), torch.from_numpy(completion)]
        found.append((logprobs, entropy, hidden))
    return found


def gradients(model):
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    return grads


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=ATOL, rtol=ATOL)


def close_gradients(ours, theirs) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=ATOL * max(1.0, float(b.abs().max())), rtol=0.0)


@pytest.mark.parametrize("layout", ["prefix", "padded"])
@pytest.mark.parametrize("make", [llama, qwen3, gemma2, granite])
def test_equals_a_plain_forward_pass(make, layout) -> None:
    model = make()
    assert supports_prefix(model)
    prompts, completions, group = batch()
    policy = Policy(model, value_head=True, chunk_bytes=3 * 16 * VOCABULARY)  # three places at once
    assert not policy.own_head
    torch.nn.init.normal_(policy.value_head.weight)
    scored = policy(
        pack(prompts, completions, group, layout=layout),
        temperature=0.7,
        entropy="grad",
        values=True,
    )
    expected = naive(model, prompts, completions, group, 0.7)
    weights = torch.randn(scored.mask.shape)
    total, truth = 0.0, 0.0
    for b, (logprobs, entropy, hidden) in enumerate(expected):
        n = len(logprobs)
        values = policy.value_head(hidden).squeeze(-1)
        assert scored.mask[b].tolist() == [True] * n + [False] * (scored.mask.shape[1] - n)
        close(scored.logprobs[b, :n], logprobs)
        close(scored.entropy[b, :n], entropy)
        close(scored.values[b, :n], values)
        for filled in (scored.logprobs, scored.entropy, scored.values):
            assert not filled[b, n:].any()
        truth = truth + (weights[b, :n] * (logprobs + entropy + values)).sum()
        total = total + (weights[b] * (scored.logprobs + scored.entropy + scored.values)[b]).sum()
    total.backward()
    found = gradients(policy)
    truth.backward()
    close_gradients(found, gradients(policy))


def test_entropy_without_gradient_and_without_pieces() -> None:
    model, (prompts, completions, group) = qwen3(), batch()
    scored = Policy(model)(pack(prompts, completions, group), entropy=True)
    assert scored.logprobs.requires_grad
    assert not scored.entropy.requires_grad
    for b, (logprobs, entropy, _) in enumerate(naive(model, prompts, completions, group, 1.0)):
        close(scored.logprobs[b, : len(logprobs)], logprobs)
        close(scored.entropy[b, : len(logprobs)], entropy)


def test_a_head_of_its_own_kind_goes_through_the_models_forward() -> None:
    class Shifted(LlamaForCausalLM):
        def forward(self, **arguments):
            out = super().forward(**arguments)
            out.logits = out.logits + torch.arange(VOCABULARY) / 9.0
            return out

    model, (prompts, completions, group) = Shifted(llama().config), batch()
    policy = Policy(model)
    assert policy.own_head
    for layout in ("prefix", "padded"):
        scored = policy(pack(prompts, completions, group, layout=layout), temperature=2.0)
        for b, (logprobs, *_) in enumerate(naive(model, prompts, completions, group, 2.0)):
            close(scored.logprobs[b, : len(logprobs)], logprobs)
    with pytest.raises(
        InvalidInputError, match="value_head: expected a model whose head .* Shifted"
    ):
        Policy(model, value_head=True)


def answers() -> AnswerTrie:
    """1 ... 99 with one token per digit (0-9), closed by token 10, as a tree."""
    nodes = [(), *((d,) for d in range(1, 10))]
    edges = [(0, d) for d in range(1, 10)]
    edges += [(d, t) for d in range(1, 10) for t in (10, *range(10))]
    paths = []
    for k in range(1, 100):
        d, e = (k, 10) if k < 10 else divmod(k, 10)
        paths.append([edges.index((0, d)), edges.index((d, e))])
    names = tuple(str(k) for k in range(1, 100))
    return AnswerTrie(names, "<", ">", (11,), tuple(nodes), np.array(edges), np.array(paths))


@pytest.mark.parametrize("layout", ["prefix", "padded"])
def test_answers_equal_every_string_by_itself(layout) -> None:
    model, trie = qwen3(), answers()
    prompts = [np.array([12, 13]), np.array([14])]
    # The sampled answers "75" and "7"; one cut at its beginning; one without an answer.
    completions = [
        np.array(c) for c in ([15, 11, 7, 5, 10, 16], [11, 7, 10], [15, 16, 11], [15, 16])
    ]
    starts, group = [2, 1, 3, None], np.array([0, 0, 1, 1])
    branches = [None if s is None else AnswerBranch(trie, s) for s in starts]
    scored = Policy(model)(
        pack(prompts, completions, group, branches=branches, layout=layout), temperature=1.3
    )
    assert scored.has_answer.tolist() == [True, True, True, False]
    assert scored.answer_logprobs.shape == (4, 99)
    assert bool((scored.answer_logprobs[3] == -torch.inf).all())
    weights, truth = torch.randn(3, 99), []
    for b in range(3):
        head = [*prompts[group[b]].tolist(), *completions[b][: starts[b]].tolist()]
        strings = torch.tensor([[k, 10] if k < 10 else divmod(k, 10) for k in range(1, 100)])
        rows = torch.cat([torch.tensor(head).expand(99, -1), strings], dim=1)
        logprobs = (model(input_ids=rows).logits / 1.3).log_softmax(-1)[:, len(head) - 1 : -1]
        truth.append(logprobs.gather(-1, strings[..., None]).sum(dim=(1, 2)))
    truth = torch.stack(truth)
    close(scored.answer_logprobs[:3], truth)
    for b, (logprobs, *_) in enumerate(naive(model, prompts, completions, group, 1.3)):
        close(scored.logprobs[b, : len(logprobs)], logprobs)
    shares = scored.answer_logprobs.exp()
    assert float(shares.detach().sum(dim=1).max()) < 1.0
    (weights * shares[:3] + 0.0 * shares[3:].sum()).sum().backward()
    found = gradients(model)
    (weights * truth.exp()).sum().backward()
    close_gradients(found, gradients(model))


def test_answers_that_no_completion_has() -> None:
    packed = pack([np.array([1])], [np.array([2])], [0], branches=[None], trie=answers())
    scored = Policy(qwen3())(packed)
    assert scored.answer_logprobs.shape == (1, 99)
    assert scored.has_answer.tolist() == [False]


def test_a_critic_never_runs_the_head() -> None:
    model, (prompts, completions, group) = llama(), batch()
    packed, heights = pack(prompts, completions, group), []
    policy = Policy(model, value_head=True)
    torch.nn.init.normal_(policy.value_head.weight)
    expected = policy(packed, values=True, entropy=True).values
    model.lm_head.register_forward_hook(lambda module, inputs, out: heights.append(len(out)))
    scored = policy(packed, values=True, entropy=True, logprobs=False)
    assert heights == []
    assert torch.equal(scored.values, expected)
    assert scored.logprobs.shape == scored.mask.shape
    assert scored.logprobs.dtype == torch.float32
    assert not scored.logprobs.any()
    assert scored.entropy is None


def test_pieces_are_smaller_with_entropies() -> None:
    model, (prompts, completions, group) = llama(), batch()
    policy, heights = Policy(model, chunk_bytes=7 * 4 * 4 * VOCABULARY), []
    model.lm_head.register_forward_hook(lambda module, inputs, out: heights.append(len(out)))
    with torch.no_grad():
        policy(pack(prompts, completions, group))
        assert max(heights) == 7  # four buffers of float32 each
        heights.clear()
        policy(pack(prompts, completions, group), entropy=True)
        assert max(heights) == 4  # seven


def test_the_logits_of_the_whole_batch_never_exist() -> None:
    model, (prompts, completions, group) = llama(), batch()
    packed = pack(prompts, completions, group)
    policy, heights, saved = Policy(model, chunk_bytes=4 * 16 * VOCABULARY), [], []
    model.lm_head.register_forward_hook(lambda module, inputs, out: heights.append(len(out)))

    def keep(tensor):
        if tensor.shape[-1:] == (VOCABULARY,):
            saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        policy(packed).logprobs.sum().backward()
    places = len(packed.places)
    assert places < packed.n_tokens  # no head where nothing is predicted
    assert sum(heights) == 2 * places
    assert max(heights) <= 4
    assert all(size <= 4 * VOCABULARY for size in saved)
    heights.clear()
    with torch.no_grad():
        policy(packed)
    assert sum(heights) == places
    assert max(heights) <= 4


def test_lora_with_checkpointing_in_bfloat16() -> None:
    model, (prompts, completions, group) = llama().to(torch.bfloat16), batch()
    model.gradient_checkpointing_enable()
    plain = Policy(model)(pack(prompts, completions, group)).logprobs.detach()
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    )
    wrapped.enable_input_require_grads()
    policy = Policy(wrapped, value_head=True).train()
    packed = pack(prompts, completions, group)
    scored = policy(packed, values=True)
    assert scored.logprobs.dtype == scored.values.dtype == torch.float32
    with torch.no_grad():
        expected = naive(wrapped.eval(), prompts, completions, group, 1.0)
    for b, (logprobs, *_) in enumerate(expected):
        torch.testing.assert_close(
            scored.logprobs[b, : len(logprobs)], logprobs, atol=0.1, rtol=0.05
        )
    (scored.logprobs.sum() + scored.values.sum()).backward()
    trained = {name for name, parameter in policy.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, p in policy.named_parameters() if p.requires_grad}
    assert any("lora_B" in name for name in trained)
    with wrapped.disable_adapter():
        assert torch.equal(policy(packed).logprobs, plain)


def test_nothing_but_empty_completions() -> None:
    model = qwen3()
    packed = pack([np.array([1, 2])], [np.array([], np.int64)] * 2, [0, 0])
    scored = Policy(model)(packed)
    assert scored.logprobs.tolist() == [[0.0], [0.0]]
    assert not scored.mask.any()
    scored.logprobs.sum().backward()
    assert all(not parameter.grad.any() for parameter in model.parameters())


def test_which_models_can_share_prefixes() -> None:
    sizes = {**SIZES, "sliding_window": 4}
    assert supports_prefix(MistralForCausalLM(MistralConfig(**{**sizes, "sliding_window": None})))
    assert not supports_prefix(MistralForCausalLM(MistralConfig(**sizes)))
    mixed = Qwen3Config(**SIZES, layer_types=["full_attention", "sliding_attention"])
    assert not supports_prefix(Qwen3ForCausalLM(mixed))
    recurrent = MambaForCausalLM(
        MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    assert not supports_prefix(recurrent)
    with torch.device("meta"):
        assert supports_prefix(llama())


def test_a_decoder_that_ignores_the_mask_is_found_out() -> None:
    model = llama()
    plain = model.model.forward
    model.model.forward = lambda **arguments: plain(**{**arguments, "attention_mask": None})
    assert not supports_prefix(model)


def test_padded_rows_of_a_recurrent_model() -> None:
    model = MambaForCausalLM(
        MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    prompts, completions, group = batch()
    scored = Policy(model)(pack(prompts, completions, group, layout="padded"))
    for b, (logprobs, *_) in enumerate(naive(model, prompts, completions, group, 1.0)):
        close(scored.logprobs[b, : len(logprobs)], logprobs)


@pytest.mark.parametrize(
    ("build", "call", "text"),
    [
        ({}, {"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({}, {"values": True}, "values: expected a policy with value_head=True"),
        ({"chunk_bytes": 0}, {}, "chunk_bytes: expected at least 1, got 0"),
    ],
)
def test_errors(build: dict[str, int], call: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Policy(qwen3(), **build)(pack([np.array([1])], [np.array([2])], [0]), **call)
    assert str(caught.value).startswith(text)
