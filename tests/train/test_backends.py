"""`generate` behind the samplers' interface, and vLLM's interface without vLLM."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead.errors import ConfigError, InvalidInputError, MissingDependencyError
from levelhead.train.backends import TransformersSampler, VllmSampler, make_sampler
from levelhead.train.sampling import NativeSampler, Sampling, uniforms

LOGPROB_TOLERANCE = 1e-5
PROMPTS = [np.array([3, 5, 1, 9]), np.array([7]), np.array([2, 2, 6])]


def tiny() -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        initializer_range=0.3,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def test_greedy_completions_are_the_native_ones_in_any_batch() -> None:
    model = tiny()
    how = Sampling(8, temperature=0.0, stop_ids=(4, 10))
    draws = uniforms(0, 0, 6, 8)
    native = NativeSampler(model, pad_id=0).sample(
        PROMPTS, group_size=2, sampling=how, uniforms=draws
    )
    for max_rows in (1, 4, 512):
        ours = TransformersSampler(model, pad_id=0, max_rows=max_rows).sample(
            PROMPTS, group_size=2, sampling=how, uniforms=draws
        )
        assert [c.tolist() for c in ours.completions] == [c.tolist() for c in native.completions]
        assert ours.finished.tolist() == native.finished.tolist()
        assert ours.group.tolist() == [0, 0, 1, 1, 2, 2]
        for a, b in zip(ours.logprobs, native.logprobs, strict=True):
            assert np.abs(a - b).max() < LOGPROB_TOLERANCE


def test_the_drawn_tokens_have_the_models_distribution_whatever_its_own_options_say() -> None:
    model, n = tiny(), 4000
    model.generation_config.update(top_k=1, temperature=0.1, repetition_penalty=3.0)
    own, state = model.generation_config, torch.get_rng_state()
    sampler = TransformersSampler(model, pad_id=0, max_rows=2 * n)
    how = Sampling(1, temperature=1.5)
    ours = sampler.sample(PROMPTS[:1], group_size=n, sampling=how, uniforms=uniforms(0, 0, n, 1))
    with torch.no_grad():
        logits = model(torch.as_tensor(PROMPTS[0])[None]).logits[0, -1].double()
    probs = torch.softmax(logits / 1.5, dim=0).numpy()
    tokens = np.concatenate(ours.completions)
    expected = n * probs
    assert expected.min() > 5.0
    chi_square = ((np.bincount(tokens, minlength=12) - expected) ** 2 / expected).sum()
    assert chi_square < 31.26  # the 0.999 quantile of 11 degrees of freedom
    assert np.abs(np.concatenate(ours.logprobs) - np.log(probs)[tokens]).max() < LOGPROB_TOLERANCE
    assert model.generation_config is own
    assert torch.equal(torch.get_rng_state(), state)


def test_lora_is_part_of_the_model_for_every_backend() -> None:
    lora: Any = peft.get_peft_model(tiny(), peft.LoraConfig(r=2, init_lora_weights=False))
    lora.eval()
    how, draws = Sampling(5, temperature=0.7), uniforms(0, 0, 3, 5)
    for name in ("native", "transformers"):
        sampler = make_sampler(name, model=lora, pad_id=0, max_rows=2)
        ours = sampler.sample(PROMPTS, group_size=1, sampling=how, uniforms=draws)
        for prompt, completion, logprobs in zip(
            PROMPTS, ours.completions, ours.logprobs, strict=True
        ):
            ids = torch.as_tensor(np.concatenate([prompt, completion]))[None]
            with torch.no_grad():
                logits = lora(ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
            table = torch.log_softmax(logits / 0.7, dim=-1)
            expected = table.gather(1, torch.as_tensor(completion)[:, None])[:, 0].numpy()
            assert np.abs(expected - logprobs).max() < LOGPROB_TOLERANCE


def test_an_unknown_backend_is_named_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"rollout.backend: .*; did you mean 'native'\?"):
        make_sampler("natve", model=tiny(), pad_id=0)


def test_without_vllm_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[vllm\]'"):
        make_sampler("vllm", model=tiny(), pad_id=0)


class StandIn:
    """The part of vLLM's interface that is used: it takes weights and answers 4, 10, 10, ..."""

    def __init__(self, **options: Any) -> None:
        self.options, self.weights = options, {}
        runner = types.SimpleNamespace(model=types.SimpleNamespace(load_weights=self.load))
        worker = types.SimpleNamespace(model_runner=runner)
        executor = types.SimpleNamespace(driver_worker=worker)
        self.llm_engine = types.SimpleNamespace(model_executor=executor)

    def load(self, weights: Any) -> None:
        self.weights = {name: weight.clone() for name, weight in weights}

    def reset_prefix_cache(self) -> None:
        pass

    def generate(self, requests: Any, params: Any, use_tqdm: bool) -> list[Any]:
        self.requests, self.params = requests, params
        step = [{t: types.SimpleNamespace(logprob=-t / 4)} for t in (4, 10)]
        outputs = [types.SimpleNamespace(token_ids=(4, 10), logprobs=step)]
        return [types.SimpleNamespace(outputs=outputs) for _ in requests]


def test_vllm_gets_merged_weights_under_their_first_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    vllm = types.SimpleNamespace(LLM=StandIn, SamplingParams=types.SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm", vllm)  # pyright: ignore[reportArgumentType]
    plain = tiny()
    names = {name for name, _ in plain.named_parameters()}
    lora: Any = peft.get_peft_model(plain, peft.LoraConfig(r=2, init_lora_weights=False))
    projection = lora.get_base_model().model.layers[0].self_attn.q_proj
    before = projection.base_layer.weight.clone()
    expected = before + projection.get_delta_weight("default")
    sampler = VllmSampler(lora)
    how, draws = Sampling(3, temperature=0.7, stop_ids=(10,)), uniforms(0, 0, 6, 3)
    ours = sampler.sample(PROMPTS, group_size=2, sampling=how, uniforms=draws)
    assert set(sampler.engine.weights) == names
    got = sampler.engine.weights["model.layers.0.self_attn.q_proj.weight"]
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.allclose(projection.base_layer.weight, before, atol=1e-6)
    assert [r["prompt_token_ids"] for r in sampler.engine.requests[::2]] == [
        p.tolist() for p in PROMPTS
    ]
    assert len({p.seed for p in sampler.engine.params}) == 6
    assert ours.completions[5].tolist() == [4, 10]
    assert ours.logprobs[5].tolist() == [-1.0, -2.5]
    assert ours.finished.all()
    with pytest.raises(ConfigError, match="expected 1.0 and 0 with backend: vllm, got 0.9 and 0"):
        sampler.sample(PROMPTS, group_size=2, sampling=Sampling(3, top_p=0.9), uniforms=draws)
