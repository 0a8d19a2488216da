"""Samplers against enumeration, plain forwards, slow loops and `generate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from levelhead.errors import ConfigError, InvalidInputError
from levelhead.train import _decoding, sampling
from levelhead.train.sampling import NativeSampler, Rollouts, Sampling, draw, uniforms

VOCABULARY = 40
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
LOGPROB_TOLERANCE = 1e-5


def tiny(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True))
    elif kind == "llama":
        sizes: dict[str, Any] = {**SIZES, "num_key_value_heads": 4}
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    else:  # softcapped scores and logits, and every other layer sees six tokens only
        model = Gemma2ForCausalLM(
            Gemma2Config(
                **SIZES, sliding_window=6, query_pre_attn_scalar=8, attn_logit_softcapping=2.0
            )
        )
    return model.eval()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["qwen3", "llama", "gemma2"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny(request.param)


def prompts(*lengths: int) -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.integers(1, VOCABULARY, length) for length in lengths]


def forced(model: Any, prompt: Any, completion: Any, temperature: float) -> Any:
    """Log-probabilities of a completion by one plain forward without padding or cache."""
    ids = torch.as_tensor(np.concatenate([prompt, completion]))[None]
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    table = torch.log_softmax(logits / temperature, dim=-1)
    return table.gather(1, torch.as_tensor(completion)[:, None])[:, 0].numpy()


def sample(
    model: Any, asked: list[Any], group_size: int, how: Sampling, max_rows: int = 512, step: int = 1
) -> Rollouts:
    draws = uniforms(0, step, len(asked) * group_size, how.max_new_tokens)
    sampler = NativeSampler(model, pad_id=0, max_rows=max_rows)
    return sampler.sample(asked, group_size=group_size, sampling=how, uniforms=draws)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: expected at least 1 token, got 0"),
        ({"temperature": -1.0}, "temperature: expected a finite number >= 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature: expected a finite number >= 0, got nan"),
        ({"top_p": 0.0}, r"top_p: expected a probability in \(0, 1\], got 0.0; 1 keeps all tokens"),
        ({"top_k": -1}, "top_k: expected a whole number >= 0, got -1; 0 keeps all tokens"),
        ({"stop_ids": (3, -1)}, r"stop_ids: expected token ids >= 0, got \(3, -1\)"),
    ],
)
def test_sampling_is_checked(options: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"max_new_tokens": 4, **options}
    with pytest.raises(InvalidInputError, match=text):
        Sampling(**given)


def test_the_numbers_of_a_row_depend_on_nothing_but_seed_step_and_row() -> None:
    table = uniforms(7, 3, 5, 20)
    assert (uniforms(7, 3, 2, 8, first=2) == table[2:4, :8]).all()
    assert (
        len(np.unique(np.concatenate([table, uniforms(7, 4, 5, 20), uniforms(8, 3, 5, 20)]))) == 300
    )
    many = uniforms(0, 0, 1000, 50)
    assert many.min() >= 0.0
    assert many.max() < 1.0
    assert abs(many.mean() - 0.5) < 4 * np.sqrt(1 / 12 / many.size)
    with pytest.raises(
        InvalidInputError, match=r"step: expected a whole number in \[0, 2\*\*64\), got -1"
    ):
        uniforms(0, -1, 1, 1)


def test_a_grid_of_numbers_draws_every_token_as_often_as_it_is_likely() -> None:
    probs = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.125, 0.125, 0.0], dtype=torch.float64)
    numbers = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    tokens, logprobs = draw(probs.log().expand(64, -1), numbers, Sampling(1))
    assert torch.bincount(tokens, minlength=7).tolist() == [0, 32, 0, 16, 8, 8, 0]
    assert torch.allclose(logprobs.double(), probs.log()[tokens], atol=1e-6)


def test_a_large_vocabulary_is_drawn_as_a_slow_running_sum_in_float64_would() -> None:
    rng = np.random.default_rng(1)
    logits = torch.as_tensor(rng.normal(0, 3, (200, 5 * sampling.BLOCK + 17)), dtype=torch.float32)
    numbers = torch.as_tensor(rng.random(200))
    tokens, _ = draw(logits, numbers, Sampling(1, temperature=0.5))
    probs = torch.softmax(logits.double() / 0.5, dim=1).numpy()
    slow = [
        int(np.searchsorted(p.cumsum(), u, "right"))
        for p, u in zip(probs, numbers.numpy(), strict=True)
    ]
    assert tokens.tolist() == slow


def test_the_ends_of_the_unit_interval_draw_no_impossible_token() -> None:
    logits = torch.full((4, 3 * sampling.BLOCK), -torch.inf)
    logits[:2, 300:303], logits[2:, 300] = torch.tensor([0.1, 0.2, 0.3]), 0.7
    numbers = torch.tensor([0.0, np.nextafter(1.0, 0.0)] * 2, dtype=torch.float64)
    assert draw(logits, numbers, Sampling(1))[0].tolist() == [300, 302, 300, 300]


@pytest.mark.parametrize(("top_k", "top_p"), [(5, 1.0), (0, 0.7), (6, 0.8), (1, 1.0), (0, 1e-9)])
def test_what_top_k_and_top_p_keep_is_what_transformers_keeps(top_k: int, top_p: float) -> None:
    logits = torch.as_tensor(np.random.default_rng(2).normal(0, 2, (1, 30)), dtype=torch.float32)
    kept: Any = logits.clone()
    nothing: Any = torch.zeros(1, 1)
    if top_k:
        kept = TopKLogitsWarper(top_k)(nothing, kept)
    if top_p < 1.0:
        kept = TopPLogitsWarper(top_p)(nothing, kept)
    numbers = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    how = Sampling(1, top_k=top_k, top_p=top_p)
    tokens, logprobs = draw(logits.expand(4000, -1), numbers, how)
    count = torch.bincount(tokens, minlength=30)
    assert (count - 4000 * torch.softmax(kept[0].double(), dim=0)).abs().max() <= 1.0
    assert torch.allclose(logprobs, torch.log_softmax(logits, dim=1)[0, tokens], atol=1e-6)


def test_greedy_completions_are_those_of_generate(model: Any) -> None:
    asked = prompts(9, 3, 9, 1)
    ours = sample(model, asked, 2, Sampling(12, temperature=0.0))
    for i, prompt in enumerate(asked):
        ids = torch.as_tensor(prompt)[None]
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
        )
        for row in (2 * i, 2 * i + 1):
            assert ours.completions[row].tolist() == theirs[0, len(prompt) :].tolist()
    assert ours.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert not ours.finished.any()


def test_logprobs_are_those_of_a_plain_forward(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoding, "FIRST_CAPACITY", 3)
    asked = prompts(7, 2, 11, 5, 2)
    how = Sampling(20, temperature=0.8, stop_ids=(4, 9), top_p=0.95)
    ours = sample(model, asked, 3, how)
    lengths = [len(completion) for completion in ours.completions]
    assert min(lengths) < max(lengths) == 20  # rows left early, and the room has grown
    for row, (completion, logprobs) in enumerate(zip(ours.completions, ours.logprobs, strict=True)):
        expected = forced(model, asked[row // 3], completion, 0.8)
        assert np.abs(expected - logprobs).max() < LOGPROB_TOLERANCE
        assert logprobs.dtype == np.float32
        assert completion.dtype == np.int64


def test_a_completion_ends_with_its_first_stop_token(model: Any) -> None:
    free = sample(model, prompts(4, 6), 6, Sampling(10))
    stop_ids = (int(free.completions[0][-1]), int(free.completions[7][4]))
    ours = sample(model, prompts(4, 6), 6, Sampling(10, stop_ids=stop_ids))
    for row, completion in enumerate(free.completions):
        stops = np.flatnonzero(np.isin(completion, stop_ids))
        length = stops[0] + 1 if len(stops) else 10
        assert ours.completions[row].tolist() == completion[:length].tolist()
        assert ours.finished[row] == bool(len(stops))
    assert ours.finished[[0, 7]].all()


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_a_completion_depends_on_no_other_row(kind: str) -> None:
    model = tiny(kind)
    asked, how = prompts(3, 8, 5, 8), Sampling(7, stop_ids=(7, 21, 30))
    whole = sample(model, asked, 4, how)
    for max_rows in (3, 6):
        parts = sample(model, asked, 4, how, max_rows=max_rows)
        assert [c.tolist() for c in parts.completions] == [c.tolist() for c in whole.completions]
    order = [2, 0, 3, 1]
    draws = uniforms(0, 1, 16, 7).reshape(4, 4, 7)[order].reshape(16, 7)
    turned = NativeSampler(model, pad_id=1).sample(
        [asked[i] for i in order], group_size=4, sampling=how, uniforms=draws
    )
    expected = [whole.completions[4 * i + k].tolist() for i in order for k in range(4)]
    assert [c.tolist() for c in turned.completions] == expected


def test_pairs_of_tokens_are_as_frequent_as_the_model_says() -> None:
    model, (prompt,), side = tiny("qwen3"), prompts(4), 48
    points = (np.arange(side) + 0.5) / side
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1).reshape(-1, 2)
    ours = NativeSampler(model, pad_id=0, max_rows=4000).sample(
        [prompt], group_size=side * side, sampling=Sampling(2), uniforms=grid
    )
    pairs = np.array(ours.completions)
    with torch.no_grad():
        ids = torch.as_tensor([[*prompt, v] for v in range(VOCABULARY)])
        table = torch.softmax(model(ids).logits[:, -2:].double(), dim=-1).numpy()
    first, second = table[0, 0], table[:, 1]
    counts = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(counts, tuple(pairs.T), 1)
    times = counts.sum(axis=1) / side  # grid lines of the first number that drew each token
    assert np.abs(times - side * first).max() <= 1.0
    drawn = times > 0
    assert np.abs(counts[drawn] / times[drawn, None] - side * second[drawn]).max() <= 1.0


def test_the_model_is_left_as_it_was(model: Any) -> None:
    model.train()
    model.model.norm.eval()
    attention = model.config._attn_implementation
    state, modes = torch.get_rng_state(), [module.training for module in model.modules()]
    sample(model, prompts(4, 5), 2, Sampling(3))
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == attention
    assert torch.equal(torch.get_rng_state(), state)
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    model.eval()


def test_no_prompts_give_no_completions() -> None:
    none = sample(tiny("qwen3"), [], 4, Sampling(3))
    assert none == Rollouts([], [], none.finished, none.group)
    assert none.finished.shape == none.group.shape == (0,)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"prompts": [np.array([1]), np.array([], int)]},
            "expected at least one token, got none in prompt 1",
        ),
        ({"group_size": 0}, "group_size: expected at least 1 completion, got 0"),
        (
            {"uniforms": np.zeros((4, 2))},
            r"uniforms: expected shape \(4, 3\), one row per completion",
        ),
        (
            {"uniforms": np.ones((4, 3))},
            r"uniforms: expected numbers in \[0, 1\), got some outside",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(changed: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {
        "prompts": prompts(2, 3),
        "group_size": 2,
        "uniforms": np.zeros((4, 3)),
        **changed,
    }
    with pytest.raises(InvalidInputError, match=text):
        NativeSampler(tiny("qwen3"), pad_id=0).sample(
            given.pop("prompts"), sampling=Sampling(3), **given
        )


def test_broken_weights_are_reported() -> None:
    model = tiny("qwen3")
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(
        InvalidInputError, match="logits: expected finite numbers, got NaN .* optimizer.lr"
    ):
        sample(model, prompts(3), 1, Sampling(2))


def test_a_model_without_a_key_value_cache_is_refused() -> None:
    model = MambaForCausalLM(
        MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1)
    )
    with pytest.raises(
        ConfigError, match="got MambaForCausalLM, which .*; use backend: transformers"
    ):
        sample(model, prompts(3), 1, Sampling(2))


def test_a_model_that_differs_without_its_cache_is_refused() -> None:
    class Odd(Qwen3ForCausalLM):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output: Any = super().forward(*args, **kwargs)
            if kwargs.get("use_cache"):
                output.logits[..., 3] += 1.0
            return output

    model = Odd(tiny("qwen3").config).eval()
    with pytest.raises(
        ConfigError, match=r"got Odd, which gives log-probabilities that are .* off"
    ):
        sample(model, prompts(3), 1, Sampling(2))
