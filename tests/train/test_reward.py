"""Rewards by hand, the floor, and what a user's own function can do wrong."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from levelhead.errors import ConfigError, DataWarning, InvalidInputError
from levelhead.tasks import Prompt, Task
from levelhead.train.reward import Rewarder, read_texts

CLOSE = 1e-12
ASK = ({"role": "user", "content": "?"},)


def event(outcome: float = 1.0) -> Task:
    values = tuple(k / 100 for k in range(1, 100))
    return Task(
        name="coin",
        kind="event",
        elicitation="percent_tag",
        train=(Prompt("a", ASK, outcome),),
        answers=tuple(str(k) for k in range(1, 100)),
        values=values,
    )


def verify(answer: str, prompt: Prompt) -> float | None:
    return None if "?" in answer else float(answer in prompt.targets)


QUESTION = Task(
    name="quiz",
    kind="answer",
    elicitation="answer_confidence_tags",
    train=(Prompt("q", ASK, targets=("Rome",)),),
    verify=verify,
)


def said(answer: str, confidence: str) -> str:
    return f"<answer>{answer}</answer><confidence>{confidence}</confidence>"


def test_event_rules_by_hand() -> None:
    texts = ["<answer>70</answer>", "<answer>30</answer>", "I cannot tell", "<answer>100</answer>"]
    yes, no = event().train[0], event(0.0).train[0]
    judged = Rewarder("log", task=event())([yes, yes, yes, no], texts)
    expected = [math.log(0.7), math.log(0.3), math.log(0.01), math.log(0.01)]
    np.testing.assert_allclose(judged.rewards, expected, rtol=CLOSE)
    assert judged.status == ["ok", "ok", "missing", "ok"]
    assert judged.statistics["format_rate"] == 0.75
    assert judged.statistics["malformed"] == 0.25
    assert judged.statistics["correct"] == 0.75
    brier = Rewarder("brier", task=event(), floor=-3.0)([yes, yes, yes, no], texts)
    np.testing.assert_allclose(brier.rewards, [-0.09, -0.49, -3.0, -1.0], rtol=CLOSE)
    wide = Rewarder("log", task=event(), eta=0.1)([yes, yes, no], texts[1:])
    np.testing.assert_allclose(wide.rewards, np.log([0.3, 0.1, 0.1]), rtol=CLOSE)


def test_rlcr_is_the_published_reward_up_to_scale() -> None:
    """0.5 each for format, correctness and 1 - (y - q)^2, and 0 for a broken format."""
    prompt = QUESTION.train[0]
    cases = [(a, c) for a in ("Rome", "Oslo") for c in (0.0, 0.3, 1.0)]
    published = [
        0.5 + 0.5 * (a == "Rome") + 0.5 * (1.0 - (float(a == "Rome") - c) ** 2) for a, c in cases
    ]
    texts = [*(said(a, str(c)) for a, c in cases), "Rome, 90%"]
    judged = Rewarder("rlcr", task=QUESTION, floor=-2.0)([prompt] * len(texts), texts)
    np.testing.assert_allclose(1.0 + judged.rewards / 2.0, [*published, 0.0], rtol=CLOSE)
    assert Rewarder("rlcr", task=QUESTION).floor == -1.0
    half = Rewarder("rlcr", task=QUESTION, weight=0.5)([prompt], [said("Rome", "0.6")])
    np.testing.assert_allclose(half.rewards, [1.0 - 0.5 * 0.16], rtol=CLOSE)


def test_answers_without_one_of_their_parts() -> None:
    prompt = QUESTION.train[0]
    texts = ["<answer>Rome</answer>", "<confidence>0.9</confidence>", said("Rome", "0.8")]
    plain = Rewarder("correctness", task=QUESTION)([prompt] * 3, texts)
    np.testing.assert_array_equal(plain.rewards, [1.0, 0.0, 1.0])  # it needs no confidence
    rlcr = Rewarder("rlcr", task=QUESTION)([prompt] * 3, texts)
    np.testing.assert_allclose(rlcr.rewards, [-1.0, -1.0, 0.96], rtol=CLOSE)
    own = Rewarder("log", task=QUESTION)([prompt] * 2, [said("Oslo", "0.8"), said("Rome", "0.8")])
    np.testing.assert_allclose(own.rewards, np.log([0.2, 0.8]), rtol=CLOSE)


def test_what_nobody_can_judge_is_nan() -> None:
    prompt = QUESTION.train[0]
    judged = Rewarder("rlcr", task=QUESTION)(
        [prompt] * 2, [said("Rome?", "0.8"), said("Rome", "1")]
    )
    np.testing.assert_array_equal(judged.rewards, [np.nan, 1.0])
    assert judged.statistics["unscorable"] == 0.5
    assert judged.statistics["reward"] == 1.0


def test_every_possible_answer_as_if_it_had_been_written() -> None:
    task, rewarder = event(), Rewarder("log", task=event())
    yes, no = event().train[0], event(0.0).train[0]
    table = rewarder.answer_rewards([no, yes, no])
    assert table.shape == (3, 99)
    texts = [f"<answer>{k}</answer>" for k in range(1, 100)]
    for row, prompt in zip(table, [no, yes, no], strict=True):
        np.testing.assert_array_equal(row, rewarder([prompt] * 99, texts).rewards)
    letters = Task(
        name="letters",
        kind="answer",
        elicitation="answer_confidence_tags",
        train=(Prompt("q", ASK, targets=("B",)),),
        verify=verify,
        answers=("A", "B"),
        values=(1.0, 1.0),
    )
    found = Rewarder("correctness", task=letters).answer_rewards(letters.train)
    np.testing.assert_array_equal(found, [[0.0, 1.0]])
    with pytest.raises(InvalidInputError, match="quiz: expected a task with a list of answers"):
        Rewarder("correctness", task=QUESTION).answer_rewards(QUESTION.train)
    assert task.answers == rewarder.task.answers


def test_a_batch_without_any_answer_is_said_once(recwarn: pytest.WarningsRecorder) -> None:
    rewarder = Rewarder("log", task=event())
    prompts = [event().train[0]] * 2
    with pytest.warns(
        DataWarning, match="none of 2 completions states an answer.*'first'.*max_new"
    ):
        judged = rewarder(prompts, ["first", "second"])
    np.testing.assert_allclose(judged.rewards, [math.log(0.01)] * 2)
    rewarder(prompts, ["first", "second"])
    assert len(recwarn) == 0


BAD = """
import json
def raises(prompts, texts, elicited):
    raise KeyError("score")
def deep(prompts, texts, elicited):
    return json.loads("{")
def short(prompts, texts, elicited):
    return [0.0]
def infinite(prompts, texts, elicited):
    return [0.0, float("inf")]
def text(prompts, texts, elicited):
    return [0.0, "good"]
def number(prompts, texts, elicited):
    return 1.0
def partly(prompts, texts, elicited):
    return [None if e.confidence is None else e.confidence for e in elicited]
def never(prompts, texts, elicited):
    return [None, float("nan")]
"""


def own(folder: Path, name: str, **options: float) -> Rewarder:
    file = folder / "mine.py"
    file.write_text(BAD)
    return Rewarder(f"{file}:{name}", task=event(), **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "raises",
            r"mine.py:raises: the function raised KeyError: 'score' at .*mine.py:4, given 2",
        ),
        ("deep", r"raised JSONDecodeError: .* at .*mine.py:6, given 2"),
        ("short", r"expected 2 rewards, one for each completion, got 1"),
        ("infinite", r"expected a finite number.* got inf at index 1 for the completion 'no'"),
        ("text", r"returned no number at index 1.*could not convert.*'no'"),
        ("number", r"returned no sequence of numbers.*not iterable"),
    ],
)
def test_own_function_that_fails(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own(tmp_path, name)([event().train[0]] * 2, ["<answer>5</answer>", "no"])


def test_own_function(tmp_path: Path) -> None:
    prompts, texts = [event().train[0]] * 2, ["<answer>5</answer>", "no"]
    judged = own(tmp_path, "partly")(prompts, texts)
    np.testing.assert_array_equal(judged.rewards, [0.05, np.nan])
    assert judged.statistics["unscorable"] == 0.5
    assert own(tmp_path, "partly").answer_rewards(prompts)[1, 41] == 0.42
    with pytest.warns(DataWarning, match="none of 2 completions could be scored"):
        own(tmp_path, "never")(prompts, texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "briar"}, "reward: expected one of .* got 'briar'; did you mean 'brier'?"),
        (
            {"rule": "rlcr"},
            "reward: expected one of brier, log, .* got 'rlcr', which scores answers",
        ),
        ({"rule": "log", "eta": 0.0}, r"eta: expected a number in \(0, 0.5\), got 0.0"),
        ({"rule": "log", "floor": -1.0}, "floor: expected a finite number of at most -4.60517"),
        ({"rule": "log", "floor": math.inf}, "floor: expected a finite number or None, got inf"),
        ({"rule": "log", "weight": 0.5}, "weight: expected 1 with the reward 'log', got 0.5"),
    ],
)
def test_wrong_options(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Rewarder(task=event(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="weight: expected at most 1 for the rule brier"):
        Rewarder("rlcr", task=QUESTION, weight=5.0)


def test_lengths_must_agree() -> None:
    with pytest.raises(InvalidInputError, match="texts: expected 1 completions, .* got 2"):
        read_texts(event(), event().train, ["a", "b"])
