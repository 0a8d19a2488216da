"""The verdict of a result is that of its test, or none."""

from __future__ import annotations

import dataclasses

from levelhead.diagnose.difficulty import DifficultyResult, diagnose_difficulty
from levelhead.diagnose.difficulty._shortcuts import ShortcutTest
from levelhead.records import Predictions

TEST = ShortcutTest(0.5, 0.1, 0.4, 0.3, 0.5, 0.01, 0.1, 10, 20, 10, 0.05, 0.1)


def bare() -> DifficultyResult:
    return diagnose_difficulty(
        Predictions.from_arrays("answer", [None] * 4, [1, 0, 1, 1], prompt_id=[1, 1, 2, 2])
    )


def test_the_verdict() -> None:
    result = bare()
    assert result.verdict == "INCONCLUSIVE"
    for change, verdict in (
        ({}, "SHORTCUTS"),
        ({"p_value": 0.06}, "INCONCLUSIVE"),
        ({"n_prompts": 9}, "INCONCLUSIVE"),
        ({"p_value": 0.06, "high": 0.09}, "NO SHORTCUTS"),
        ({"p_value": None, "difference": 0.0, "high": 0.1}, "INCONCLUSIVE"),
    ):
        test = dataclasses.replace(TEST, **change)
        assert dataclasses.replace(result, test=test).verdict == verdict
