"""Every problem at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelhead.errors import ConfigError
from levelhead.tasks import TABLE
from levelhead.train.config import load
from levelhead.train.config._problems import leaves, model_at

WRONG = """\
stepz: 3
lr: 1e-6
seed: 1.5
algorithm:
  estimator: grop
  clip_low: -1
  updates_per_rollout: 7
rollout:
  prompts: 10
  group_size: 1
task:
  kind: oracle
  factors: 99
  factor: 2
model: 3
"""


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    with pytest.raises(ConfigError) as caught:
        load(file, ["optimizer.eps=0"])
    head, *lines = str(caught.value).splitlines()
    assert head == f"{file}: {len(lines)} problems:"
    told = {line.strip().split(":", 1)[0]: line for line in lines}
    assert set(told) == {
        *(f"line {n}" for n in (1, 2, 3, 5, 6, 7, 13, 14, 15)),
        "--set optimizer.eps=0",
    }
    assert told["line 1"].endswith("stepz: unknown key; did you mean 'steps'?")
    assert told["line 2"].endswith("'algorithm.critic.lr' or 'optimizer.lr'?")
    assert told["line 14"].endswith("unknown key; did you mean 'task.factors'?")
    # A rule is checked where its keys are right: 10 prompts in 7 parts. That one completion is no
    # group cannot be known while the estimator is not.
    assert "a divisor of the 10 prompts" in told["line 7"]
    assert not any("group_size" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("task.kind=surveyy", "task.kind: expected one of "),
        ("task=3", "task: expected a section (keys and values), got 3"),
        ("task={kind: qa}", "task.path: expected a value, got none; it has no default"),
        ("task={kind: qa, path: [1]}", "task.path: expected a path, got [1]"),
        (
            "task={kind: qa, path: x, evaluation: [1]}",
            "task.evaluation: expected a path or a whole number, got [1]",
        ),
        (
            "task={kind: probability, path: x}",
            "task: give either prompt (a template) or messages (a column)",
        ),
        ("optimizer.betas=[0.9]", "optimizer.betas.1: expected a value, got none"),
        ("frobnicate=1", "frobnicate: unknown key, expected one of name, seed, steps, task"),
        ("model.name=x", "model.name: unknown key; did you mean 'name'?"),
        (f"model.path=[{'x' * 100}]", "xx..."),
    ],
)
def test_the_place_is_the_users_and_not_the_libraries(change: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [change])
    assert sentence in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_sections_are_found_by_their_path() -> None:
    data = {"task": {"kind": "oracle"}}
    assert model_at(("task",), data) is TABLE["oracle"].options
    assert model_at(("task",), {}) is TABLE["survey"].options
    assert model_at(("task",), {"task": {"kind": "x"}}) is None
    lora = model_at(("model", "lora"), {})
    assert lora is not None
    assert lora.__name__ == "Lora"
    assert model_at(("steps",), {}) is None
    assert model_at(("nothing", "there"), {}) is None


def test_leaves_are_the_keys_that_hold_a_value() -> None:
    found = set(leaves())
    assert {("steps",), ("algorithm", "kl", "coef"), ("model", "lora", "rank")} <= found
    assert not {("algorithm",), ("task",), ("model", "lora")} & found
