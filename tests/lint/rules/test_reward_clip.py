"""`reward-clip`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "reward-clip"

FIRES = [
    ("TRL", "run.yaml", "num_generations: 8\nreward_clip_range: [-2.0, 2.0]\n", "warning"),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --reward_clip_range -1 1",
        "warning",
    ),
]

SILENT = [
    ("wide", "run.sh", "python -m openrlhf.cli.train_ppo_ray --reward.clip_range -10 10"),
    (
        "Brier",
        "run.yaml",
        ("num_generations: 8\nreward_clip_range: [-1.0, 1.0]\nreward_funcs: [brier]\n"),
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
