"""Arithmetic: right results, difficulties in equal parts, no problem twice."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from levelhead.errors import ConfigError
from levelhead.tasks import ArithmeticOptions, make_task
from levelhead.tasks.arithmetic import problems


def test_targets_are_the_results_of_what_is_asked() -> None:
    task = make_task(ArithmeticOptions(train=300, evaluation=30))
    assert (len(task.train), len(task.evaluation)) == (300, 30)
    for prompt in (*task.train, *task.evaluation):
        asked = re.match(r"What is ([0-9]+ [-+*] [0-9]+)\?", prompt.messages[0]["content"])
        assert asked is not None
        assert prompt.targets == (str(eval(asked[1])),)
        digits = {len(one) for one in re.findall("[0-9]+", asked[1])}
        assert digits == {prompt.columns["digits"]}
    said = task.elicit(f"<answer>{task.train[0].targets[0]}</answer><confidence>1</confidence>")
    assert task.correct(said, task.train[0]) == 1.0


def test_cells_are_equally_often_and_no_problem_is_there_twice() -> None:
    options = ArithmeticOptions(train=900, evaluation=300)
    found = problems(options)
    assert len(set(found)) == len(found) == 1200
    assert set(Counter((o, d) for o, d, _, _ in found).values()) == {100}
    # A thousand problems of one digit are all that there are, and each comes once.
    every = problems(ArithmeticOptions(operations=("add",), digits=(1,), train=60, evaluation=40))
    assert {(a, b) for _, _, a, b in every} == {(a, b) for a in range(10) for b in range(10)}


def test_numbers_are_uniform_over_their_digits() -> None:
    options = ArithmeticOptions(operations=("multiply",), digits=(12,), train=4000, evaluation=0)
    found = problems(options)
    for k in (2, 3):
        values = [row[k] for row in found]
        assert min(values) >= 10**11
        assert max(values) < 10**12
        leading = Counter(str(v)[0] for v in values)
        assert all(abs(n - 4000 / 9) < 4.5 * (4000 * 8 / 81) ** 0.5 for n in leading.values())


def test_a_seed_is_a_set_of_problems() -> None:
    options = ArithmeticOptions(train=50, evaluation=5)
    assert problems(options) == problems(options)
    assert problems(options) != problems(options.model_copy(update={"seed": 1}))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"digits": (2, 0)}, "task.digits: expected numbers of digits in [1, 12], got 0"),
        ({"digits": (13,)}, "task.digits: expected numbers of digits in [1, 12], got 13"),
        (
            {"digits": (1,), "train": 290, "evaluation": 11},
            "task.digits: expected at least 301 different problems (train + evaluation), got 300",
        ),
    ],
)
def test_problems_that_cannot_be_made_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_task(ArithmeticOptions(**options))
    assert str(caught.value).startswith(problem)
