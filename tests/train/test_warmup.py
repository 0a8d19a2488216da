"""The warm-up of a new model: phrases, targets and marks against counts by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead.errors import ConfigError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train import embedded
from levelhead.train._warmup import Phrases, WarmUp, _continuations, marks, well_formed

USER = ({"role": "user", "content": "Which is it?"},)


def question(*targets: str, elicitation: str = "answer_confidence_tags") -> Task:
    prompts = [Prompt(f"q{i}", USER, targets=(target,)) for i, target in enumerate(targets)]
    return Task("quiz", "answer", elicitation, prompts, verify=lambda a, p: float(a in p.targets))


def test_phrases_of_an_event() -> None:
    phrases = Phrases.of(make_task({"kind": "oracle", "train": 4, "evaluation": 2}))
    assert phrases.text("75", 0.3) == "<answer>75</answer>"
    assert phrases.texts(2) == ["<answer>1</answer>", "<answer>2</answer>"]


def test_phrases_of_a_question_are_other_questions_targets_with_a_confidence() -> None:
    task = question("Rome", "Paris", "Rome")
    phrases = Phrases.of(task)
    assert phrases.answers == ("Rome", "Paris")
    text = phrases.text("Paris", 0.3)
    assert text == "<answer>Paris</answer> <confidence>0.30</confidence>"
    assert task.elicit(text).confidence == 0.3
    rng = np.random.default_rng(0)
    drawn = Counter(phrases.draw(rng).split("<confidence>")[0] for _ in range(1000))
    assert abs(drawn["<answer>Rome</answer> "] - 500) < 80  # five standard deviations


def test_a_format_that_cannot_be_practiced() -> None:
    bare = Task("ask", "event", "percent_tag", [Prompt("p", USER, outcome=1.0)])
    with pytest.raises(ConfigError, match=r"task 'ask' lists no answers and no targets"):
        Phrases.of(bare)


def test_marks_by_hand() -> None:
    # 7 is in all prompts; 1 and 2 in half of them; the pair (7, 1) in one of four
    held = marks([[7, 1], [7, 2], [1, 7], [2, 7]])
    counts = sorted(held.sum(axis=0).tolist())
    assert counts == [1.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    assert held[:, :2].tolist() in (
        [[1, 0], [0, 1], [1, 0], [0, 1]],
        [[0, 1], [1, 0], [0, 1], [1, 0]],
    )


def small(tokenizer: object) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Qwen3Config(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return Qwen3ForCausalLM(config)


def test_targets_are_all_that_an_answer_may_go_on_with() -> None:
    task = make_task({"kind": "oracle", "train": 4, "evaluation": 2})
    tokenizer = embedded.make_tokenizer(["Will it rain?"], ("<answer>", "</answer>"), 300)
    model = small(tokenizer)
    prompts = [tokenizer("Will it rain?")["input_ids"]] * 3 + [tokenizer("Will?")["input_ids"]]
    warm = WarmUp(model, tokenizer, prompts, Phrases.of(task), np.random.default_rng(0))
    opening, closing, one = (tokenizer(t)["input_ids"][0] for t in ("<answer>", "</answer>", "1"))
    assert warm.next[()][opening] == 1.0
    assert warm.next[(opening,)][one] == pytest.approx(11 / 99)  # 1 and 10 to 19
    assert warm.next[(opening, one)][closing] == pytest.approx(1 / 11)
    assert warm.next[(opening, one, one)][closing] == 1.0
    assert warm.next[(opening, one, one, closing)][tokenizer.eos_token_id] == 1.0


def test_continuations_count_phrases_and_not_tokens() -> None:
    after = _continuations([[0, 1], [0, 2], [0, 3], [1, 1]], size=4)[()]
    assert after.tolist() == [0.75, 0.25, 0.0, 0.0]


def test_updates_teach_format_and_reading() -> None:
    task = make_task({"kind": "oracle", "train": 32, "evaluation": 2})
    texts = [p.messages[0]["content"] for p in task.train]
    tokenizer = embedded.make_tokenizer(texts, ("<answer>", "</answer>"), 400)
    prompts = tokenizer(texts)["input_ids"]
    model = small(tokenizer)
    assert well_formed(model, tokenizer, prompts, task, 6) < 0.1
    warm = WarmUp(model, tokenizer, prompts, Phrases.of(task), np.random.default_rng(0))
    reader = warm.reader.weight.detach().clone()
    warm.update(1e-2, 0.0)
    assert torch.equal(warm.reader.weight, reader)  # the reader is left out
    for _ in range(40):
        warm.update(1e-2, 1.0)
    assert not torch.equal(warm.reader.weight, reader)
    assert well_formed(model, tokenizer, prompts, task, 6) > 0.5
