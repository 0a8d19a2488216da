"""`outcome-filter`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from levelhead.lint import Rule, all_rules, check, read_text

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


@pytest.mark.parametrize("case", FIRES, ids=[row[0] for row in FIRES])
def test_fires(case: tuple[str, str, str, str]) -> None:
    _, file, text, severity = case
    found = [one for one in check(read_text(text, file)[0]) if one.rule == RULE]
    assert [one.severity for one in found] == [severity]
    assert found[0].message
    assert found[0].fix


@pytest.mark.parametrize("case", SILENT, ids=[row[0] for row in SILENT])
def test_is_silent(case: tuple[str, str, str]) -> None:
    _, file, text = case
    assert RULE not in {one.rule for one in check(read_text(text, file)[0])}


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
