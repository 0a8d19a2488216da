"""What a reader is told to do, for each verdict that calls for something."""

from __future__ import annotations

import dataclasses

import pytest

from levelhead.diagnose.difficulty import diagnose_difficulty
from levelhead.diagnose.difficulty._amplify import count_advantages
from levelhead.diagnose.difficulty._shortcuts import ShortcutTest
from levelhead.diagnose.difficulty._steps import next_steps
from levelhead.diagnose.difficulty._view import DifficultyResult
from levelhead.records import Predictions

TEST = ShortcutTest(0.5, 0.1, 0.4, 0.3, 0.5, 0.01, 0.12, 12, 20, 15, 0.05, 0.1)


def result(test: ShortcutTest | None = TEST, **change: object) -> DifficultyResult:
    ids = [f"q{i // 8}" for i in range(16)]
    made = Predictions.from_arrays("answer", [None] * 16, [1, 0] * 8, prompt_id=ids)
    found = diagnose_difficulty(made, dataclasses.replace(made, model="before"))
    return dataclasses.replace(found, **{"has_texts": True, "test": test, **change})


def test_a_finding_names_what_repairs_it() -> None:
    steps = " ".join(next_steps(result()))
    assert "prompt_filter" in steps
    assert "rare_success_gate" in steps
    assert "grpo weighs lone successes 1.33 times too much; rloo and grpo_no_std do not" in steps
    plain = next_steps(result(by_count=count_advantages("grpo_no_std", 8)))
    assert "too much" not in " ".join(plain)


def test_where_nothing_was_learned_nothing_is_to_be_done() -> None:
    assert next_steps(result(dataclasses.replace(TEST, p_value=0.3, high=0.05))) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result(None, has_texts=False), "a column text, or name theirs with --trace"),
        (result(None, base=None), "levelhead diagnose difficulty TUNED --baseline BASE"),
        (result(None), "both files have responses"),
        (result(dataclasses.replace(TEST, n_prompts=9)), "such as 16 times a prompt in place of 8"),
        (result(dataclasses.replace(TEST, p_value=0.2)), "four times as many halve the interval"),
    ],
)
def test_what_a_verdict_needs(found: DifficultyResult, said: str) -> None:
    assert found.verdict == "INCONCLUSIVE"
    (step,) = next_steps(found)
    assert said in step


def test_how_many_prompts_would_rule_out_the_margin() -> None:
    # 0.16 above the difference, and 0.08 would do: four times as many
    short = dataclasses.replace(TEST, difference=0.02, high=0.18, p_value=0.4)
    (step,) = next_steps(result(short))
    assert "with about 48 that the base rarely solves and both solved, in place of 12" in step
    many = dataclasses.replace(short, n_prompts=1003)
    assert "about 4,100 that" in next_steps(result(many))[0]
