"""`outcome-filter`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from levelhead.lint import Rule, all_rules

RULE = "outcome-filter"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "custom_reward_function.path=brier.py "
            "algorithm.filter_groups.enable=True "
            "algorithm.filter_groups.metric=acc"
        ),
        "warning",
    ),
]

SILENT = [
    (
        "another number",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "custom_reward_function.path=brier.py "
            "algorithm.filter_groups.enable=True"
        ),
    ),
    (
        "correctness",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.filter_groups.enable=True "
            "algorithm.filter_groups.metric=acc"
        ),
    ),
    (
        "off",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "custom_reward_function.path=brier.py "
            "algorithm.filter_groups.metric=acc"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)


@pytest.mark.parametrize(("size", "kept"), [(4, 0.71), (8, 0.82)])
def test_what_is_left_is_selected(size: int, kept: float) -> None:
    right = weight = 0.0
    for outcomes in itertools.product((0, 1), repeat=size):
        if 0 < sum(outcomes) < size:
            chance = np.prod([0.9 if one else 0.1 for one in outcomes])
            weight += chance
            right += chance * sum(outcomes) / size
    assert right / weight == pytest.approx(kept, abs=0.005)
    assert f"{kept:.2f}" in rules_by_name()["outcome-filter"].effect


def rules_by_name() -> dict[str, Rule]:
    return {rule.id: rule for rule in all_rules()}
