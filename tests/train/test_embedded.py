"""The model that is made on the spot: its tokenizer, its cache, and what it knows afterwards."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from levelhead.errors import ConfigError, DataWarning, InvalidInputError, RecordError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train import embedded
from levelhead.train.answers import AnswerTrie

TINY = {"layers": 1, "hidden": 32, "heads": 2, "kv_heads": 1, "intermediate": 64, "vocabulary": 400}
TAGS = ("<answer>", "</answer>")
TEXTS = [
    "How likely is a CRISPRi perturbation applied to TOR2A to have a strong effect?",
    "Respond with a probability from 1-99. Enclose it in <answer></answer> tags.",
] * 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "levelhead"


@pytest.fixture(scope="module")
def oracle() -> Task:
    return make_task({"kind": "oracle", "train": 64, "evaluation": 8})


@pytest.fixture(scope="module")
def built(oracle: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(embedded, "READING", 0.0)  # the format alone takes fewer updates
        return embedded.build(oracle, **TINY, warmup_steps=70)


def loaded(folder: Path) -> tuple[Any, Any]:
    return (
        AutoModelForCausalLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )


def pieces(tokenizer: Any, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]


# The tokenizer


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(TEXTS))
def test_tokenizer_loses_nothing(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text


def test_tokenizer_words_digits_and_tags() -> None:
    assert pieces(TOKENIZER, " perturbation TOR2A") == [" perturbation", " TOR2A"]
    assert pieces(TOKENIZER, "<answer>99</answer>") == [
        "<answer>",
        "9",
        "9",
        "</answer>",
    ]  # 99 is in TEXTS
    assert pieces(TOKENIZER, " 2026") == [" ", "2", "0", "2", "6"]
    unseen = pieces(TOKENIZER, " BRCA1")
    assert len(unseen) > 1
    assert "".join(unseen) == " BRCA1"
    kept = TOKENIZER.decode(TOKENIZER("<answer>7</answer>")["input_ids"], skip_special_tokens=True)
    assert kept == "<answer>7</answer>"


def test_tokenizer_keeps_every_answer_apart_from_the_tags() -> None:
    answers = [str(k) for k in range(1, 100)]
    trie = AnswerTrie.build(TOKENIZER, answers, *TAGS)
    assert len(trie.nodes) == 10  # the root and nine first digits


def test_numbers_that_are_answers_are_one_token_where_they_stand_alone() -> None:
    numbers = [str(k) for k in range(1, 100)]
    tokenizer = embedded.make_tokenizer(TEXTS, TAGS, 400, numbers=numbers)
    assert pieces(tokenizer, "<answer>75</answer>") == ["<answer>", "75", "</answer>"]
    assert pieces(tokenizer, " 1975") == [" ", "1", "9", "7", "5"]  # a year is no answer
    assert len(pieces(tokenizer, "ND75")) > len(pieces(tokenizer, "75"))
    assert AnswerTrie.build(tokenizer, numbers, *TAGS).nodes == ((),)
    for text in [*TEXTS, "75%, 1-99 or 7.5", "a75 75a"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_answers_that_are_no_numbers_leave_digits_alone(oracle: Task) -> None:
    assert pieces(embedded.tokenizer_of(oracle, 400), "75") == ["75"]
    many = dataclasses.replace(oracle, answers=tuple(map(str, range(102))), values=(0.5,) * 102)
    assert pieces(embedded.tokenizer_of(many, 400), "75") == ["7", "5"]
    sums = make_task({"kind": "arithmetic", "train": 20, "evaluation": 4})
    assert pieces(embedded.tokenizer_of(sums, 400), "75") == ["7", "5"]


def test_tokenizer_is_the_same_each_time() -> None:
    again = embedded.make_tokenizer(TEXTS, TAGS, 400)
    assert again.backend_tokenizer.to_str() == TOKENIZER.backend_tokenizer.to_str()


def test_tokenizer_respects_its_size() -> None:
    letters = "abcdefghij"
    words = [f"word{a}{b}{c} " * 3 for a in letters for b in letters for c in letters]
    assert len(embedded.make_tokenizer(words, TAGS, 450)) == 450
    numbers = [str(k) for k in range(10, 100)]
    assert len(embedded.make_tokenizer(words, TAGS, 450, numbers=numbers)) == 450


def test_tokenizer_bad_input() -> None:
    with pytest.raises(InvalidInputError, match=r"^texts: expected at least one .* got none$"):
        embedded.make_tokenizer([], TAGS, 400)
    with pytest.raises(InvalidInputError, match=r"^vocabulary: expected at least 400 .* got 200$"):
        embedded.make_tokenizer(TEXTS, TAGS, 200)


TOKENIZER = embedded.make_tokenizer(TEXTS, TAGS, 400)


# What the model does after the warm-up


def answer_probs(model: Any, tokenizer: Any, prompt: Prompt) -> np.ndarray:
    """(99,) the probability of each `<answer>k</answer><end>`, one forward pass for each."""
    text = tokenizer.apply_chat_template(
        list(prompt.messages), tokenize=False, add_generation_prompt=True
    )
    start = tokenizer(text)["input_ids"]
    found = []
    for k in range(1, 100):
        said = [*tokenizer(f"<answer>{k}</answer>")["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([start + said])).logits[0].double()
        logprobs = torch.log_softmax(logits[len(start) - 1 : -1], dim=-1)
        found.append(float(logprobs[range(len(said)), said].sum().exp()))
    return np.array(found)


def test_answers_are_well_formed_and_say_nothing(built: Path, oracle: Task) -> None:
    model, tokenizer = loaded(built)
    probs = np.stack([answer_probs(model, tokenizer, oracle.train[i]) for i in (0, 5, 9)])
    assert probs.sum(axis=1).min() > 0.98  # nearly all of what it says can be read
    assert np.abs(probs - 1 / 99).sum(axis=1).max() < 0.2  # evenly spread
    assert np.ptp(probs @ np.arange(1, 100) / 100) < 0.05  # the same to every prompt


def test_it_knows_the_order_of_the_numbers(built: Path) -> None:
    model, tokenizer = loaded(built)
    ids = [tokenizer(str(k))["input_ids"][0] for k in (20, 30, 80)]
    low, near, far = model.get_input_embeddings().weight[ids].detach()
    assert 0.0 < 2.0 * (low - near).norm() < (low - far).norm()


def test_story(built: Path) -> None:
    story = json.loads((built / "embedded.json").read_text())
    assert story["well_formed"] >= 0.98
    assert story["parameters"] == sum(p.numel() for p in loaded(built)[0].parameters())
    assert story["torch"] == torch.__version__
    assert [p.name for p in built.parent.iterdir()] == [built.name]  # nothing unfinished stays


# The cache


def test_second_call_takes_the_cache(cache: Path, oracle: Task) -> None:
    seen: list[tuple[int, int]] = []
    first = quick(oracle, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert quick(oracle, progress=lambda done, of: seen.append((done, of))) == first
    assert len(seen) == 2
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert first.parent == cache


def test_same_weights_and_no_trace_in_the_global_generator(cache: Path, oracle: Task) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = (quick(oracle) / "model.safetensors").read_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)
    for old in cache.iterdir():
        old.rename(cache.parent / "elsewhere")
    torch.manual_seed(4)
    assert (quick(oracle) / "model.safetensors").read_bytes() == first


def test_whatever_matters_makes_another_model(cache: Path, oracle: Task) -> None:
    other = make_task({"kind": "oracle", "train": 64, "evaluation": 8, "seed": 1})
    folders = {quick(oracle), quick(oracle, seed=1), quick(oracle, layers=2), quick(other)}
    assert len(folders) == 4
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 4


def quick(task: Task, **changes: Any) -> Path:
    """A model that is hardly warmed up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "EXTRA_ROUNDS", 0)
        patch.setattr(embedded, "WELL_FORMED", 0.0)
        return embedded.build(task, **{**TINY, "warmup_steps": 2, **changes})


def _build_beside(task: Task, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        torch.set_num_threads(1)
        (folder / quick(task).name).touch()


def test_two_processes_at_once_end_with_one_folder(cache: Path, oracle: Task) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_build_beside, args=(oracle, cache.parent)) for _ in range(2)]
    cache.parent.mkdir()
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    (only,) = cache.iterdir()
    assert quick(oracle) == only


def test_a_failure_leaves_nothing(cache: Path, oracle: Task) -> None:
    def broken(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(oracle, progress=broken)
    assert list(cache.iterdir()) == []


def test_no_place_for_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle: Task
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        RecordError, match=r"cannot be kept here: Not a directory; .* XDG_CACHE_HOME"
    ):
        quick(oracle)


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert embedded.cache_folder() == Path.home() / ".cache" / "levelhead"


# What it says to bad input


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"hidden": 30, "heads": 4}, "hidden: expected an even multiple of heads, got 30 and 4"),
        ({"heads": 2, "kv_heads": 3}, "kv_heads: expected a divisor of heads, got 3 and 2"),
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"vocabulary": 10}, "vocabulary: expected at least 400 tokens"),
    ],
)
def test_sizes_that_do_not_fit(oracle: Task, sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^from_scratch\.{said}"):
        embedded.build(oracle, **{**TINY, **sizes})


def test_too_short_a_warm_up_is_told(
    cache: Path, oracle: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "EXTRA_ROUNDS", 0)
    with pytest.warns(DataWarning, match=r"0\.0% of its samples only, expected 99%; raise from_sc"):
        embedded.build(oracle, **TINY, warmup_steps=1)
