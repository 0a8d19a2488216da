"""`reward-model`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "reward-model"

FIRES = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo reward_model.enable=True", "note"),
    ("OpenRLHF", "run.sh", "python -m openrlhf.cli.train_ppo_ray --reward_pretrain m", "note"),
]

SILENT = [
    (
        "OpenRLHF",
        "run.sh",
        ("python -m openrlhf.cli.train_ppo_ray --reward_pretrain m --remote_rm_url r.py"),
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
