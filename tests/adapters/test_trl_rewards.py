"""Rewards in TRL's signature: values by hand, what cannot be read or scored, what goes into the log."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from levelhead.adapters.trl_rewards import (
    RLCR_TAGS,
    TRLReward,
    brier_reward,
    format_reward,
    log_reward,
    rlcr_reward,
)
from levelhead.errors import InvalidInputError

needs_trl = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None,
    reason="TRL is not installed here; `make test-peers` has it",
)


def say(answer: str, confidence: object) -> str:
    return f"<answer>{answer}</answer> <confidence>{confidence}</confidence>"


def logged(function: TRLReward, **call: Any) -> tuple[list[float | None], dict[str, float]]:
    """Rewards, and what went into the log; every other argument is what TRL passes."""
    log: dict[str, float] = {}
    n = len(call["completions"])
    rewards = function(
        prompts=["?"] * n,
        completion_ids=[[1]] * n,
        trainer_state=object(),
        log_extra=lambda column, values: None,
        log_metric=log.__setitem__,
        **call,
    )
    return rewards, log


def test_rlcr_by_hand() -> None:
    """y - (q - y)^2; unreadable, without an answer, out of range: the worst, -1."""
    texts = [say("4", 0.9), say("5", 0.9), say("4", "70%"), "4", say("", 0.2), say("4", 7)]
    rewards, log = logged(rlcr_reward(), completions=texts, answer=["4"] * 6, level=[1] * 6)
    assert rewards == pytest.approx([1 - 0.01, -0.81, 1 - 0.09, -1, -1, -1])
    assert log == {
        "rlcr_reward/malformed": 0.5,
        "rlcr_reward/unscorable": 0.0,
        "rlcr_reward/confidence": pytest.approx((0.9 + 0.9 + 0.7 + 0.2) / 4),
        "rlcr_reward/truth": pytest.approx(3 / 6),  # the last one is right, whatever it claims
    }


def test_rlcr_with_weight_rule_and_floor() -> None:
    half = rlcr_reward(weight=0.5, floor=-2)
    assert half(completions=[say("a", 0.8), "a"], answer=["a", "a"]) == pytest.approx([0.98, -2])
    log = rlcr_reward(rule="log", weight=0.2)
    got = log(completions=[say("a", 0.8), say("b", 1), "-"], answer=["a"] * 3)
    expected = [1 + 0.2 * math.log(0.8), 0.2 * math.log(0.01), 0.2 * math.log(0.01)]
    assert got == pytest.approx(expected)


def test_the_published_reward_is_an_affine_one_of_ours() -> None:
    """0.5 for the format, for the answer, and times 1 - (y - q)^2; 0 for a broken format."""
    ours = rlcr_reward(floor=-2)
    texts = [say("a", 0.8), say("b", 0.3), "a"]
    published = [0.5 + 0.5 + 0.5 * (1 - 0.04), 0.5 + 0.5 * (1 - 0.09), 0.0]
    got = ours(completions=texts, answer=["a"] * 3)
    assert [1 + r / 2 for r in got if r is not None] == pytest.approx(published)


@pytest.mark.parametrize(
    ("make", "of_80", "floor"),
    [
        (brier_reward, {1: -0.04, 0: -0.64, 0.25: -(0.25 * 0.04 + 0.75 * 0.64)}, -1.0),
        (log_reward, {1: math.log(0.8), 0: math.log(0.2)}, math.log(0.01)),
    ],
)
def test_events(make: Callable[..., TRLReward], of_80: dict[Any, float], floor: float) -> None:
    function = make(outcome="rained")
    for outcome, expected in of_80.items():
        got = function(completions=["It may. <answer>80</answer>"], rained=[outcome])
        assert got == pytest.approx([expected])
    rewards, log = logged(
        function,
        completions=["<answer>80</answer>", "no", "no", "<answer>1</answer>"],
        rained=[None, 1, math.nan, None],
    )
    assert rewards == [None, pytest.approx(floor), None, None]
    name = make.__name__
    assert log[f"{name}/malformed"] == 0.5
    assert log[f"{name}/unscorable"] == 0.75
    assert log[f"{name}/truth"] == 1.0


def test_the_log_reward_clips_predictions() -> None:
    certain = ["<answer>100</answer>"]
    assert log_reward()(completions=certain, outcome=[0]) == pytest.approx([math.log(0.01)])
    assert log_reward(eta=0.1)(completions=certain, outcome=[1]) == pytest.approx([math.log(0.9)])


def test_confidence_in_an_answer_of_ones_own() -> None:
    function = brier_reward(answer="gold", verifier="number")
    texts = [say("12 eggs", 0.5), say("13", 0.1), say("12", 0.9)]
    assert brier_reward()(completions=["<answer>80</answer>"], outcome=[True]) == [
        pytest.approx(-0.04)
    ]
    got = function(completions=texts, gold=["12", 12.0, None])
    assert got == [pytest.approx(-0.25), pytest.approx(-0.01), None]
    several = rlcr_reward(answer="gold")(completions=[say("b", 1)], gold=[["a", "b"]])
    assert several == [1.0]


def test_a_verifier_of_ones_own() -> None:
    function = rlcr_reward(verifier=lambda answer, right: None if answer == "?" else 0.0)
    assert function(completions=[say("?", 0.5), say("a", 0.5)], answer=["a", "a"]) == [None, -0.25]
    with pytest.raises(
        InvalidInputError,
        match=r"^rlcr_reward: expected the verifier to return 1\.0, 0\.0 or None, got 'yes' for the "
        r"answer 'a'$",
    ):
        rlcr_reward(verifier=lambda a, r: "yes")(  # pyright: ignore
            completions=[say("a", 1)], answer=["a"]
        )


@pytest.mark.parametrize(
    "completion",
    [
        [{"role": "assistant", "content": say("4", 0.5)}],
        [
            {"role": "assistant", "content": "", "tool_calls": [{}]},
            {"role": "tool", "content": say("5", 1)},
            {"role": "assistant", "content": [{"type": "text", "text": say("4", 0.5)}]},
            {"role": "tool", "content": "done"},
        ],
        say("4", 0.5),
    ],
)
def test_conversations(completion: Any) -> None:
    assert rlcr_reward()(completions=[completion], answer=["4"]) == [0.75]


@pytest.mark.parametrize(
    "completion", [[], [{"role": "assistant", "content": None}], [{"role": "tool"}], None]
)
def test_a_conversation_without_words_is_malformed(completion: Any) -> None:
    assert rlcr_reward()(completions=[completion], answer=["4"]) == [-1.0]


ORDERED = "".join(f"<{tag}>0.5</{tag}>" for tag in RLCR_TAGS)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (ORDERED, True),
        (f"Well. {ORDERED}\n", True),
        (ORDERED.replace("</think>", ""), False),
        (f"<analysis>x</analysis>{ORDERED}", False),
        (
            "<answer>a</answer><think>t</think><analysis>b</analysis><confidence>1</confidence>",
            False,
        ),
        (ORDERED.replace("<confidence>0.5", "<confidence>high"), False),
        (ORDERED.replace("<answer>0.5", "<answer>"), False),
        ("", False),
    ],
)
def test_the_format_with_tags(text: str, kept: bool) -> None:
    rewards, log = logged(format_reward(tags=RLCR_TAGS, good=0.5, bad=-0.5), completions=[text])
    assert rewards == [0.5 if kept else -0.5]
    assert log == {"format_reward/malformed": 0.0 if kept else 1.0}


def test_the_format_without_tags() -> None:
    texts = [say("a", 0.5), "<confidence>0.5</confidence><answer>a</answer>", "a"]
    assert format_reward()(completions=texts) == [1.0, 1.0, 0.0]
    percent = format_reward(elicitation="percent_tag")
    assert percent(completions=["<answer>5%</answer>", "<answer>0.5</answer>"]) == [1.0, 0.0]
    lenient = format_reward(elicitation="answer_confidence_tags_rlcr")
    assert lenient(completions=["<answer>a</answer>"]) == [
        0.0
    ]  # its 0.0 for nothing is no statement


def test_nothing_to_score() -> None:
    assert brier_reward()(completions=[], outcome=[]) == []
    rewards, log = logged(brier_reward(), completions=["x"], outcome=[None])
    assert rewards == [None]
    assert log == {
        "brier_reward/malformed": 1.0,
        "brier_reward/unscorable": 1.0,
    }  # no mean of nothing


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: rlcr_reward(weight=2.0),
            r"^weight: expected at most 1 for the rule brier, got 2;",
        ),
        (lambda: rlcr_reward(floor=0.0), r"^floor: expected a finite number of at most -1, "),
        (
            lambda: rlcr_reward(verifier="exakt"),
            r"^rlcr_reward verifier: .* did you mean 'exact'\?$",
        ),
        (lambda: brier_reward(elicitation="tag"), r"^brier_reward elicitation: expected one of "),
        (
            lambda: log_reward(eta=0.0),
            r"^log_reward eta: expected a number in \(0, 0\.5\), got 0\.0; ",
        ),
        (lambda: log_reward(floor=-1.0), r"^floor: expected a finite number of at most -4\.605"),
        (lambda: format_reward(bad=2.0), r"^format_reward bad: .* of at most good=1\.0, got 2\.0$"),
        (lambda: format_reward(elicitation="x"), r"^format_reward elicitation: expected one of "),
    ],
)
def test_what_is_refused_before_training(make: Callable[[], TRLReward], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make()


@pytest.mark.parametrize(
    ("function", "columns", "said"),
    [
        (
            rlcr_reward(),
            {"solution": ["4"], "level": [1]},
            r"^rlcr_reward: expected a column 'answer' in the data set, got 'solution', 'level'; name "
            r"the one that holds the truth with answer=\.\.\.$",
        ),
        (
            brier_reward(),
            {},
            r"expected a column 'outcome' .*, got none but the prompt; .* outcome=",
        ),
        (
            brier_reward(),
            {"outcome": ["yes"]},
            r"^brier_reward: expected outcomes in \[0, 1\], .*'outcome', got 'yes' in row 0$",
        ),
        (brier_reward(), {"outcome": [2]}, r"got 2 in row 0$"),
        (
            brier_reward(),
            {"outcome": [1, 0]},
            r"expected 1 value in the column 'outcome', .*got 2$",
        ),
        (rlcr_reward(), {"answer": [{"a": 1}]}, r"'answer', got dict in row 0$"),
    ],
)
def test_wrong_columns(function: TRLReward, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        function(completions=[say("4", 1)], **columns)


def test_a_right_answer_that_is_nan_is_unknown() -> None:
    """A table has NaN where it has nothing; the answer `nan` is an answer."""
    unknown: list[Any] = [float("nan"), np.float32("nan"), [float("nan")], None, "nan"]
    rewards = rlcr_reward()(completions=[say("4", 1)] * 5, answer=unknown)
    assert rewards == [None, None, None, None, -1.0]
    assert rlcr_reward()(completions=[say("4", 1)], answer=[[float("nan"), 4]]) == [1.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rlcr_reward(rule=cast(Any, ["x"])), r"^rlcr_reward rule: .*, got \['x'\]$"),
        (
            lambda: rlcr_reward(verifier=cast(Any, ["x"])),
            r"^rlcr_reward verifier: .*, got \['x'\]$",
        ),
        (lambda: rlcr_reward(elicitation=cast(Any, ["x"])), r"^rlcr_reward elicitation: expected"),
        (lambda: format_reward(elicitation=cast(Any, ["x"])), r"^format_reward elicitation: expec"),
        (
            lambda: log_reward(eta=cast(Any, "x")),
            r"^log_reward eta: expected a number, got str 'x'$",
        ),
    ],
)
def test_options_of_another_kind(make: Callable[[], TRLReward], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make()


def test_the_column_and_the_name_are_told() -> None:
    function = rlcr_reward(answer="solution", floor=-2)
    assert (function.__name__, function.column, function.floor) == ("rlcr_reward", "solution", -2.0)
    assert repr(function) == "<rlcr_reward of solution>"


@needs_trl
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trainer", ["GRPO", "RLOO"])
def test_trl_trains_with_it(trainer: str, make_trainer: Callable[..., Any]) -> None:
    """What TRL logs as a reward is the mean over the batch of what the functions gave."""
    module: Any = importlib.import_module("trl")
    given: list[list[float | None]] = []
    log = log_reward()

    def spied(**call: Any) -> list[float | None]:
        given.append(log(**call))
        return given[-1]

    made = make_trainer(
        getattr(module, f"{trainer}Trainer"), [log, brier_reward(), spied], kind=trainer
    )
    before = [p.detach().clone() for p in made.model.parameters()]
    made.train()
    told = made.state.log_history[0]
    mean = sum(r for r in given[0] if r is not None) / 6
    assert told["rewards/log_reward/mean"] == pytest.approx(mean, rel=1e-5)
    assert told["rewards/brier_reward/mean"] < 0.0
    assert 0.0 <= told["log_reward/malformed"] <= 1.0
    assert told["brier_reward/malformed"] == pytest.approx(told["log_reward/malformed"])
    assert any(not p.equal(q) for p, q in zip(before, made.model.parameters(), strict=True))
