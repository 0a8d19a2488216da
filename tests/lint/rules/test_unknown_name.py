"""`unknown-name`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "unknown-name"
VERL = "python -m verl.trainer.main_ppo algorithm.adv_estimator="
OPENRLHF = "python3 -m openrlhf.cli.train_ppo_ray --advantage_estimator "

FIRES = [
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: grop}\n", "grpo"),
    ("a rule", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: breir}\n", "brier"),
    ("TRL", "run.yaml", "num_generations: 8\nscale_rewards: gruop\n", "group"),
    ("our trainer", "run.py", "CalibratedGRPOTrainer(advantage='rlooo')", "rloo"),
    ("verl", "run.sh", VERL + "gpro", "grpo"),
    ("OpenRLHF", "run.sh", OPENRLHF + "grop", "grpo"),
]

SILENT = [
    ("one's own", "run.sh", VERL + "mine"),
    ("one's own that is near", "run.sh", VERL + "gspo"),
    ("a function", "run.yaml", "algorithm: {estimator: 'mine.py:grop'}\n"),
    ("newer", "run.sh", OPENRLHF + "gd2po"),
    (
        "a name of the file",
        "run.py",
        "from m import G\nfrom trl import GRPOConfig\nGRPOConfig(scale_rewards=G)",
    ),
    ("a function in Python", "run.py", "from m import f\nCalibratedGRPOTrainer(advantage=f)"),
]


@pytest.mark.parametrize("case", FIRES, ids=[row[0] for row in FIRES])
def test_fires(case: tuple[str, str, str, str]) -> None:
    _, file, text, near = case
    found = [one for one in check(read_text(text, file)[0]) if one.rule == RULE]
    assert [one.severity for one in found] == ["error"]
    assert found[0].message.endswith(f"there is no such name; did you mean {near!r}?")
    assert found[0].fix


@pytest.mark.parametrize("case", SILENT, ids=[row[0] for row in SILENT])
def test_is_silent(case: tuple[str, str, str]) -> None:
    _, file, text = case
    assert RULE not in {one.rule for one in check(read_text(text, file)[0])}
