"""`std-switch-ignored`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "std-switch-ignored"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "algorithm.adv_estimator=grpo_vectorized "
            "algorithm.norm_adv_by_std_in_grpo=False"
        ),
        "error",
    ),
    (
        "gdpo",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=gdpo "
            "algorithm.norm_adv_by_std_in_grpo=false"
        ),
        "error",
    ),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --algo.advantage.estimator "
            "group_norm --algo.advantage.no_std_norm"
        ),
        "error",
    ),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "algorithm.norm_adv_by_std_in_grpo=False "
            "actor_rollout_ref.rollout.n=8 "
        ),
    ),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --advantage_estimator "
            "reinforce_baseline --no_advantage_std_norm"
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
