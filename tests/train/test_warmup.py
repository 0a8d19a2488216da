"""The warm-up of a new model: phrases, targets and marks against counts by hand."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead.errors import ConfigError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train import embedded
from levelhead.train._warmup import (
    Phrases,
    WarmUp,
    _continuations,
    bells,
    marks,
    number_line,
    well_formed,
)

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
    tokenizer = embedded.make_tokenizer(["Will it rain?"], ("<answer>", "</answer>"), 400)
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
    warm.update(1e-2, 0.0, 0.0)
    assert torch.equal(warm.reader.weight, reader)  # the reader is left out
    for _ in range(40):
        warm.update(1e-2, 1.0, 0.0)
    assert not torch.equal(warm.reader.weight, reader)
    assert well_formed(model, tokenizer, prompts, task, 6) > 0.5


PERCENTS = tuple(str(k) for k in range(1, 100))


def percents(*answers: str) -> Phrases:
    return Phrases(answers or PERCENTS, "<answer>", "</answer>", confidences=False, numeric=True)


def test_bells_by_hand() -> None:
    # Two places at a distance of 1 and 3 from the center, one width of 2: log odds (9 - 1) / (2 * 4)
    found = bells(torch.tensor([0.0, 4.0]), np.array([1.0]), np.array([2.0]))
    assert found.exp().sum().item() == pytest.approx(1.0)
    assert (found[0, 0] - found[0, 1]).item() == pytest.approx(1.0)


def test_number_line_by_hand() -> None:
    tokenizer = embedded.make_tokenizer(["Will it rain?"], (), 400, numbers=["10", "20", "40"])
    found = number_line(tokenizer, percents("10", "40", "20"))
    assert found is not None
    ids, places = found
    assert tokenizer.convert_ids_to_tokens(ids.tolist()) == ["10", "40", "20"]
    assert places.tolist() == pytest.approx([-1.0, 1.0, -1.0 / 3.0])


def test_no_number_line() -> None:
    tokenizer = embedded.make_tokenizer(["Will it rain?"], (), 400, numbers=["10", "20"])
    assert number_line(tokenizer, percents("10", "20")) is not None
    for answers in (("10", "30"), ("10",)):
        assert number_line(tokenizer, percents(*answers)) is None
    labels = dataclasses.replace(percents("10", "20"), numeric=False)
    assert number_line(tokenizer, labels) is None


def test_only_chances_have_an_order() -> None:
    assert Phrases.of(make_task({"kind": "oracle", "train": 4, "evaluation": 2})).numeric
    assert not Phrases.of(question("1", "2", "3")).numeric


def test_the_numbers_are_practiced_where_the_answer_is_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task({"kind": "oracle", "train": 4, "evaluation": 2})
    tokenizer = embedded.tokenizer_of(task, 400)
    prompts = tokenizer([p.messages[0]["content"] for p in task.train])["input_ids"]
    model = small(tokenizer)
    warm = WarmUp(model, tokenizer, prompts, Phrases.of(task), np.random.default_rng(0))
    opening = tokenizer("<answer>")["input_ids"]
    with torch.no_grad():
        states = [model.model(torch.tensor([[*p, *opening]])).last_hidden_state for p in prompts]
    expected = torch.stack([state[0, -1] for state in states])
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        warm, "_off_the_line", lambda found, *line: seen.append(found.detach()) or found.sum() * 0.0
    )
    warm.update(1e-2, 0.0, 1.0)
    (found,) = seen
    assert len(found) == 64  # 32 prompts with two replies each
    assert torch.cdist(found, expected).min(dim=1).values.max() < 0.01  # others are 0.05 away


def test_updates_teach_the_order_of_the_numbers() -> None:
    task = make_task({"kind": "oracle", "train": 8, "evaluation": 2})
    tokenizer = embedded.tokenizer_of(task, 400)
    prompts = tokenizer([p.messages[0]["content"] for p in task.train])["input_ids"]
    model = small(tokenizer)
    warm = WarmUp(model, tokenizer, prompts, Phrases.of(task), np.random.default_rng(0))
    ids = [tokenizer(answer)["input_ids"][0] for answer in PERCENTS]
    table = model.get_input_embeddings().weight
    assert torch.equal(table[ids], table[ids[0]].expand(99, -1))  # before it, all are the same
    for _ in range(60):
        warm.update(1e-2, 0.0, 3.0)
    asked = [*prompts[0], *tokenizer("<answer>")["input_ids"]]
    for center in (-0.5, 0.5):  # 25.5 and 74.5
        with torch.no_grad():
            state = model.model(torch.tensor([asked])).last_hidden_state[0, -1]
            pushed = state + warm.pointer(torch.tensor([center, 1.0]) / 0.3**2)
            stated = torch.softmax(model.lm_head(pushed)[ids], dim=0).numpy()
        mean = stated @ np.arange(1, 100)
        assert mean == pytest.approx(50 + 49 * center, abs=6)
        assert (stated @ (np.arange(1, 100) - mean) ** 2) ** 0.5 == pytest.approx(14.7, abs=5)
