"""`format-floor`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "format-floor"

FIRES = [
    (
        "a recipe",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: brier, floor: -0.5}\n",
        "error",
    ),
    ("log", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: log, floor: -1.0}\n", "error"),
    (
        "a wide clip",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: log, eta: 0.1, floor: -2}\n",
        "error",
    ),
    ("rlcr", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: rlcr, floor: 0.5}\n", "error"),
]

SILENT = [
    (
        "clip",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: log, eta: 0.001, floor: -6.91}\n",
    ),
    (
        "rlcr",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: rlcr, weight: 0.5, floor: -0.5}\n",
    ),
    ("the worst", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: brier, floor: -1.0}\n"),
    ("none", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: brier}\n"),
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
